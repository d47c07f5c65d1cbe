// Requests to the server. What goes wrong is an Error with words for the user.

/** The response, once the server agrees. An error has the answer's `status`, and `needsKey` if the key is at fault. */
export async function ask(path, key, options = {}) {
  const headers = new Headers(key ? { Authorization: `Bearer ${key}` } : {});
  const response = await fetch(path, { ...options, headers }).catch(() => {
    throw new Error("The server cannot be reached: try again.");
  });
  if (response.ok) return response;
  const { status } = response;
  if (status === 401) {
    const words = key ? "The server refuses this API key: check it" : "This server asks for an API key: enter yours";
    throw Object.assign(new Error(`${words} under Options.`), { needsKey: true, status });
  }
  const told = await response.json().catch(() => null); // a proxy may answer in plain text
  throw Object.assign(new Error(told?.error?.message ?? `The server answered with status ${status}: try again.`), { status });
}
