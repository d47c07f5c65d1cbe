// An edit as a job of the server, which goes on when the page is closed or loaded again.

import { ask } from "./ask.js";

const PAUSE_MS = 300, TRIES = 10; // polls that may fail in a row: the server may be starting again
const ENDED = ["succeeded", "failed", "cancelled"];
const rest = (ms) => new Promise((done) => setTimeout(done, ms));

export async function start(body, key) {
  return (await ask("v1/edits/jobs", key, { method: "POST", body })).json();
}

export const cancel = (id, key) => ask(`v1/edits/jobs/${id}/cancel`, key, { method: "POST" });

/** Yields the job `id` again and again as it changes, until it has ended. */
export async function* follow(id, key) {
  for (let failed = 0; ;) {
    let job = null;
    try {
      job = await (await ask(`v1/edits/jobs/${id}`, key)).json();
      failed = 0;
    } catch (error) {
      if (error.status && error.status < 500 || (failed += 1) >= TRIES) throw error;
    }
    if (job) yield job;
    if (job && ENDED.includes(job.status)) return;
    await rest(PAUSE_MS);
  }
}

/** What a job waits for or does, in words. */
export function told({ status, progress, queue }) {
  if (status === "running" || progress.step) return `Step ${progress.step} of ${progress.steps}`;
  if (queue && !queue.replicas) return "The model is starting …";
  if (queue && queue.place > 1) return `Place ${queue.place} of ${queue.waiting} in the queue`;
  return "Waiting for the model …";
}
