// URLs of blobs. The browser holds each blob in memory until its URL is revoked.

const made = new Map();

export function urlOf(blob) {
  const url = URL.createObjectURL(blob);
  made.set(url, blob);
  return url;
}

export const blobOf = (url) => made.get(url);

export function urlOfBase64(base64, type) {
  return urlOf(new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], { type }));
}

/** Revokes all but `urls`. */
export function keepOnly(urls) {
  const kept = new Set(urls);
  for (const url of made.keys()) {
    if (kept.has(url)) continue;
    URL.revokeObjectURL(url);
    made.delete(url);
  }
}
