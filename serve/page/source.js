// Files that a user brings: read, or refused at once in words.

const TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/avif"];

/** The size of the picture at `url`; throws where the browser cannot show it. */
export async function sizeOf(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return [image.naturalWidth, image.naturalHeight];
}

/** Throws the reason why a file cannot be sent as it is; `most` are the server's limits. */
export async function check(file, url, most) {
  const name = file.name || "the pasted image";
  if (/\.hei[cf]$/i.test(name) || /hei[cf]/.test(file.type))
    throw new Error(`${name} is HEIC, which this page cannot show: save it as JPEG first.`);
  if (!TYPES.includes(file.type)) throw new Error(`${name} is no PNG, JPEG, WebP, GIF or AVIF: choose one of these.`);
  if (most.bytes && file.size > most.bytes)
    throw new Error(`${name} has ${mib(file.size)} MiB, and the server takes ${mib(most.bytes)}: make it smaller.`);
  const size = await sizeOf(url).catch(() => {
    throw new Error(`${name} cannot be read: it is damaged, or no picture.`);
  });
  if (most.pixels && size[0] * size[1] > most.pixels)
    throw new Error(`${name} has ${size[0]} x ${size[1]} pixels, more than the server takes: scale it down.`);
  return size;
}

const mib = (bytes) => Math.ceil(bytes / 2 ** 20);

/** A name for a result's file: of its source, its instruction and its seed. */
export function named(name, { prompt, seed }, ending) {
  const words = prompt.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const base = (name || "image").replace(/\.[^.]*$/, "");
  return [base, ...words.slice(0, 6), seed].join("-").slice(0, 100) + `.${ending}`;
}
