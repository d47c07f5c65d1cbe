// The list of edits that were made, also before the page was loaded again.

import { blobOf, urlOf } from "./blobs.js";
import * as kept from "./kept.js";

const MOST = 50; // edits that are kept
const $ = (id) => document.getElementById(id);
const pictures = (done) => [done.before, done.after, done.clip, done.region];
const buttons = () => [...$("history").querySelectorAll("button")];

/** Adds an edit {before, after, clip, fields, ...} whose pictures are URLs of blobs; `show` is called when it is chosen. */
export function add(done, show) {
  const button = document.createElement("button"), image = new Image(), words = document.createElement("span");
  image.src = done.after;
  image.alt = "";
  image.draggable = false; // else let go of a little aside it would be the next source
  words.textContent = done.fields.prompt;
  button.type = "button";
  button.title = `${done.fields.prompt}, seed ${done.fields.seed}`;
  button.done = done;
  button.append(image, words);
  button.addEventListener("click", () => show(done));
  const item = document.createElement("li");
  item.append(button);
  $("history").prepend(item);
  if ($("history").children.length > MOST) {
    kept.forget(buttons().at(-1).done.number);
    $("history").lastElementChild.remove();
  }
  $("history-box").hidden = false;
}

/** Keeps an edit for the next time that the page is loaded. */
export async function keep(done) {
  const [before, after, clip, region] = pictures(done).map(blobOf);
  done.number = await kept.keep({ ...done, before, after, clip, region });
}

/** Adds what was kept, and returns the newest edit. */
export async function restore(show) {
  let newest = null;
  for (const { before, after, clip, region, ...rest } of await kept.edits()) {
    newest = { ...rest, before: urlOf(before), after: urlOf(after), clip: urlOf(clip), region: region && urlOf(region) };
    add(newest, show);
  }
  return newest;
}

/** Marks which edit is shown. */
export function mark(done) {
  for (const button of buttons()) button.setAttribute("aria-current", button.done === done);
}

/** Empties the list, once nothing of it is kept: a reload before that would bring it back. */
export async function forgetAll() {
  await kept.forgetAll();
  $("history").replaceChildren();
  $("history-box").hidden = true;
}

/** The URLs of all its pictures. */
export const urls = () => buttons().flatMap(({ done }) => pictures(done));
