// Requests to the server. What goes wrong is an Error with words for the user.

/** The response, once the server agrees. `needsKey` of an error: the API key is missing or refused. */
export async function ask(path, key, options = {}) {
  const headers = new Headers(key ? { Authorization: `Bearer ${key}` } : {});
  const response = await fetch(path, { ...options, headers }).catch((error) => {
    throw error.name === "AbortError" ? error : new Error("The server cannot be reached: try again.");
  });
  if (response.ok) return response;
  if (response.status === 401) {
    const words = key ? "The server refuses this API key: check it" : "This server asks for an API key: enter yours";
    throw Object.assign(new Error(`${words} under Options.`), { needsKey: true });
  }
  const told = await response.json().catch(() => null); // a proxy may answer in plain text
  throw new Error(told?.error?.message ?? `The server answered with status ${response.status}: try again.`);
}
