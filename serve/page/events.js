// Server-sent events of a POST, which the browser's own EventSource cannot make.

/** Yields {step, steps} of comments and the parsed data of events, as they arrive, until the stream ends or breaks. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      return { done: true }; // a connection that breaks, as one that is closed too early
    });
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const step = block.match(/^: step (\d+)\/(\d+)/);
      if (step) yield { step: Number(step[1]), steps: Number(step[2]) };
      const data = block.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}
