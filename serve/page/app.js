import { blobOf, keepOnly, urlOf, urlOfBase64 } from "./blobs.js";
import * as history from "./history.js";
import { cancel, follow, start, told } from "./jobs.js";
import * as kept from "./kept.js";
import * as mask from "./mask.js";
import { chosen, offered, tasks } from "./options.js";
import { regionOf } from "./region.js";
import { slider } from "./slider.js";
import { asCurl, asPython } from "./snippets.js";
import { check, named, sizeOf } from "./source.js";

const $ = (id) => document.getElementById(id);
const key = () => $("key").value;
const base = () => new URL(".", location.href).href.replace(/\/$/, "");
let source = null; // {url, name, file or id}: what the next edit starts from
let shown = null; // the edit that is shown
let running = null; // {id} of the job under way; without an id while it is sent
let watching = false; // whether its previews are shown: until it ends, or another edit is looked at
let most = {}; // the server's limits

function say(text, error = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", error);
}

function setSource(next, words, [width, height]) {
  source = next;
  $("source").src = next.url;
  $("source").hidden = false;
  $("source").classList.toggle("small", width < 128);
  $("drop-words").textContent = words;
  mask.over(next.url, width, height);
  tidy();
}

async function take(file) {
  if (!file) return;
  const url = urlOf(file);
  try {
    const size = await check(file, url, most);
    setSource({ url, file, name: file.name || "pasted image" }, `Source: ${file.name || "pasted image"}`, size);
    say("");
    $("prompt").focus();
  } catch (error) {
    say(error.message, true);
    tidy();
  }
}

async function edit(event) {
  event.preventDefault();
  if (running) return;
  if (!source) return say("Choose an image first.", true);
  const fields = chosen(), from = source, body = new FormData();
  if (!fields.prompt) return say("Write an instruction first.", true);
  running = {};
  busy(true);
  say("Sending …");
  const where = await mask.file();
  if (where) fields.mask_from = "white";
  if (from.id) body.append("file_id", from.id);
  else body.append("image", from.file);
  if (where) body.append("mask", where, "mask.png");
  if (where || fields.preserve) body.append("region", true); // else there is none
  for (const [name, value] of Object.entries({ ...fields, output: "both", clip_format: "mp4" })) body.append(name, value);
  try {
    const { id } = await start(body, key());
    const job = { id, fields, name: from.name, fromId: from.id, before: blobOf(from.url) };
    kept.keepJob(job);
    await watch(job, from.url);
  } catch (error) {
    end(error);
  }
}

/** Shows a job until it ends, and then its edits. */
async function watch(job, before) {
  if (running?.stop) await cancel(job.id, key());
  running = job;
  watching = true;
  busy(true);
  let preview = null;
  for await (const now of follow(job.id, key())) {
    say(told(now));
    $("progress").max = now.progress.steps;
    $("progress").value = now.progress.step;
    if (now.status === "cancelled") return end(null, "Stopped.");
    if (now.status === "failed") return end(Object.assign(new Error(now.error.message), { status: 400 }));
    if (now.result) return finish(job, before, now.result);
    if (!now.preview_b64_json || now.preview_b64_json === preview || !watching) continue;
    const first = preview === null;
    preview = now.preview_b64_json;
    compare(before, urlOfBase64(preview, "image/jpeg"), "The edit as it evolves");
    history.mark(null);
    if (first) bringIntoView();
  }
}

async function finish(job, before, result) {
  const format = result.output_format;
  for (const item of result.data.toReversed()) {
    const { n, ...fields } = job.fields; // each of n edits has a seed of its own
    const done = {
      before, after: urlOfBase64(item.b64_json, `image/${format}`), clip: urlOfBase64(item.clip_b64_json, "video/mp4"),
      region: item.region_b64_json && urlOfBase64(item.region_b64_json, "image/png"),
      id: item.id, fromId: job.fromId, name: job.name, format, fields: { ...fields, seed: item.seed }, notes: item.warnings ?? [],
    };
    history.add(done, show);
    await history.keep(done);
    if (item === result.data[0]) show(done);
  }
  end(null, "Done.");
  bringIntoView();
}

/** The end of what was under way, by an error or with words. One that the server still makes is asked for again later. */
function end(error, words) {
  if (!error || error.status && !error.needsKey) kept.forgetJob();
  if (error?.needsKey) $("options").open = true;
  running = null;
  if (watching) unshow();
  busy(false);
  tidy();
  say(error ? error.message : words, Boolean(error));
}

/** In place of the previews of an edit that came to nothing, what was there before. */
function unshow() {
  watching = false;
  if (shown) return show(shown);
  $("result").hidden = true;
  $("hint").hidden = false;
}

/** Frees the pictures and clips that cannot be shown any more. */
function tidy() {
  if (!running) keepOnly([source?.url, ...history.urls()]);
}

function busy(on) {
  $("go").disabled = on;
  $("stop").hidden = !on;
  $("progress").hidden = !on;
  $("progress").value = 0;
  $("result").setAttribute("aria-busy", on);
  for (const id of ["actions", "evolution", "about"]) $(id).hidden = on || !shown;
}

function compare(before, after, words, region) {
  $("result").hidden = false;
  $("hint").hidden = true;
  $("before").src = before;
  $("after").src = after;
  $("after").alt = words;
  regionOf(region);
}

/** Calls `then` when the picture that is now shown has its size, not if another takes its place before. */
const whenDrawn = (then) => $("after").decode().then(then, () => {});

const bringIntoView = () => whenDrawn(() => $("compare").scrollIntoView({ block: "nearest" }));

function show(done) {
  shown = done;
  watching = false;
  compare(done.before, done.after, `The edit: ${done.fields.prompt}`, done.region);
  $("clip").src = done.clip;
  $("far").value = done.fields.strength ?? 1;
  // Its frames have the aspect of the model's grid.
  whenDrawn(() => {
    $("clip").style.aspectRatio = `${$("after").naturalWidth} / ${$("after").naturalHeight}`;
    $("compare").classList.toggle("small", $("after").naturalWidth < 128);
  });
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) $("clip").play().catch(() => {}); // or by its button
  $("about").textContent = [`Seed ${done.fields.seed}.`, ...done.notes].join(" ");
  for (const [id, url, ending] of [["save", done.after, done.format], ["save-clip", done.clip, "mp4"]]) {
    $(id).href = url;
    $(id).download = named(done.name, done.fields, ending);
  }
  for (const id of ["actions", "evolution", "about"]) $(id).hidden = false;
  history.mark(done);
}

async function copy(text, name) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied as ${name}.`);
  } catch {
    say("The browser does not let this page copy.", true);
  }
}

async function models() {
  const asked = key();
  try {
    most = await offered(asked, take);
    await resume();
  } catch (error) {
    if (asked !== key() || running) return; // it is told elsewhere
    if (error.needsKey) $("options").open = true;
    say(error.message, true);
  }
}

/** Goes on with the job that was under way when the page was closed. */
async function resume() {
  const job = running ? null : await kept.job();
  if (!job || running) return;
  running = job;
  await watch(job, job.before ? urlOf(job.before) : "").catch(end);
}

tasks();
$("form").addEventListener("submit", edit);
$("stop").addEventListener("click", () => {
  if (running?.id) cancel(running.id, key()).catch((error) => say(error.message, true));
  else if (running) running.stop = true; // as soon as it has an id
});
$("file").addEventListener("click", () => { $("file").value = ""; }); // else the same file again would be no change
$("file").addEventListener("change", (event) => take(event.target.files[0]));
// To a field that is wrong the browser can only go if it is visible.
const reveal = (event) => { if ($("options").contains(event.target)) $("options").open = true; };
$("form").addEventListener("invalid", reveal, true); // it does not bubble
$("key").addEventListener("change", () => {
  if (!running) say("");
  models();
});
// A file that is let go of beside the box would otherwise take the page's place in the tab.
for (const kind of ["dragover", "dragleave", "drop"])
  addEventListener(kind, (event) => {
    if (!event.dataTransfer.types.includes("Files") && !$("drop").contains(event.target)) return;
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files[0]);
  });
addEventListener("paste", (event) => { if (event.clipboardData.files.length) take(event.clipboardData.files[0]); });
$("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("form").requestSubmit(); }
});
slider($("compare"), $("slide"));
$("again").addEventListener("click", async () => {
  const { after: url, id, fields, name } = shown;
  setSource({ url, id, name }, `Source: the result of “${fields.prompt}”`, await sizeOf(url));
  $("prompt").value = "";
  $("prompt").focus();
  say("The result is the next source.");
});
$("reuse").addEventListener("click", () => {
  $("seed").value = shown.fields.seed;
  $("options").open = true;
  say(`The next edit has seed ${shown.fields.seed}.`);
});
// The slider shows the state of the evolution that the same edit at this strength would end in.
const reach = () => {
  $("far").setAttribute("aria-valuetext", `${Math.round(100 * $("far").value)} percent of the edit`);
  $("clip").pause();
  if (Number.isFinite($("clip").duration)) $("clip").currentTime = Math.min($("far").value * $("clip").duration, $("clip").duration - 0.01);
};
$("far").addEventListener("input", reach);
$("this-far").addEventListener("click", async () => {
  if (running) return;
  const { before: url, fromId: id, name } = shown;
  setSource({ url, id, file: blobOf(url), name }, `Source: ${name}`, await sizeOf(url));
  $("strength").value = $("far").value;
  $("seed").value = shown.fields.seed;
  $("prompt").value = shown.fields.prompt;
  $("form").requestSubmit();
});
$("forget").addEventListener("click", async () => { await history.forgetAll(); tidy(); say("The history is empty."); });
$("curl").addEventListener("click", () => copy(asCurl(base(), shown.fields, shown.fromId, key()), "curl"));
$("python").addEventListener("click", () => copy(asPython(base(), shown.fields, shown.fromId), "Python"));
history.restore(show).then((newest) => { if (newest && !shown) show(newest); models(); });
