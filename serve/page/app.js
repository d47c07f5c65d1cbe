import { ask } from "./ask.js";
import { keepOnly, urlOf, urlOfBase64 } from "./blobs.js";
import { events } from "./events.js";
import { slider } from "./slider.js";
import { asCurl, asPython } from "./snippets.js";

const EXAMPLES = [
  ["Add", "add a red balloon above the boy"], ["Remove", "remove the trash can on the left"],
  ["Replace", "replace the mug with a teacup"], ["Background", "change background to a beach"],
  ["Color", "make the car blue"], ["Material", "turn the sofa into leather"], ["Text", "change text to 'OPEN'"],
  ["Motion", "raise the person's right hand"], ["Portrait", "smooth skin and brighten eyes"], ["Style", "convert to watercolor style"],
  ["Tone", "apply warm cinematic grade"],
];
const HISTORY = 50; // edits that are kept in memory
const $ = (id) => document.getElementById(id);
let source = null; // {url, file} or {url, id}: what the next edit starts from
let shown = null; // the edit that is shown
let running = null; // AbortController of the request under way
let watching = false; // whether its previews are shown: until it ends, or another edit is looked at

function say(text, error = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", error);
}

function setSource(next, words) {
  source = next;
  $("source").src = next.url;
  $("source").hidden = false;
  $("drop-words").textContent = words;
  tidy();
}

function take(file) {
  if (!file) return;
  if (!file.type.startsWith("image/")) return say(`${file.name} is no image: choose a PNG, JPEG, WebP or GIF.`, true);
  setSource({ url: urlOf(file), file }, `Source: ${file.name || "pasted image"}`);
  say("");
  $("prompt").focus();
}

/** The fields that differ from the server's defaults. */
function chosen() {
  const fields = { prompt: $("prompt").value.trim() };
  const names = { steps: "num_inference_steps", seed: "seed", guidance: "guidance_scale" };
  for (const [id, name] of Object.entries(names)) if ($(id).value !== "") fields[name] = Number($(id).value);
  if ($("negative").value.trim()) fields.negative_prompt = $("negative").value.trim();
  if ($("lora").value) fields.lora = $("lora").value;
  return fields;
}

async function edit(event) {
  event.preventDefault();
  if (running) return;
  if (!source) return say("Choose an image first.", true);
  const fields = chosen(), from = source, body = new FormData();
  if (!fields.prompt) return say("Write an instruction first.", true);
  if (from.id) body.append("file_id", from.id);
  else body.append("image", from.file);
  const all = { ...fields, stream: true, partial_images: 3, output: "both", clip_format: "mp4" };
  for (const [name, value] of Object.entries(all)) body.append(name, value);
  running = new AbortController();
  watching = true;
  busy(true);
  say("Waiting for the model …");
  try {
    const response = await ask("/v1/images/edits", $("key").value, { method: "POST", body, signal: running.signal });
    let done = null;
    for await (const told of events(response)) {
      if (told.error) throw new Error(told.error.message);
      if (told.steps) {
        $("progress").max = told.steps;
        $("progress").value = told.step;
        say(`Step ${told.step} of ${told.steps}`);
      } else if (told.type === "image_edit.partial_image") {
        if (!watching) continue;
        compare(from.url, urlOfBase64(told.b64_json, "image/png"), "The edit as it evolves");
        mark(null);
        if (told.partial_image_index === 0) whenDrawn(() => $("compare").scrollIntoView({ block: "nearest" }));
      } else {
        done = {
          before: from.url,
          after: urlOfBase64(told.b64_json, "image/png"),
          clip: urlOfBase64(told.clip_b64_json, "video/mp4"),
          id: told.id, fields: { ...fields, seed: told.seed }, fromId: from.id,
        };
        remember(done);
        show(done);
        say("Done.");
      }
    }
    if (!done) throw new Error("The connection was cut before the edit was ready: try again.");
  } catch (error) {
    fail(error);
  } finally {
    running = null;
    if (watching) unshow();
    busy(false);
    tidy();
  }
}

function fail(error) {
  if (error.needsKey) $("options").open = true;
  say(error.name === "AbortError" ? "Stopped." : error.message, error.name !== "AbortError");
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
  if (running) return;
  const edits = [...$("history").querySelectorAll("button")].map((button) => button.done);
  keepOnly([source?.url, ...edits.flatMap((done) => [done.before, done.after, done.clip])]);
}

function busy(on) {
  $("go").disabled = on;
  $("stop").hidden = !on;
  $("progress").hidden = !on;
  $("progress").value = 0;
  $("result").setAttribute("aria-busy", on);
  for (const id of ["actions", "evolution"]) $(id).hidden = on || !shown;
}

function compare(before, after, words) {
  $("result").hidden = false;
  $("hint").hidden = true;
  $("before").src = before;
  $("after").src = after;
  $("after").alt = words;
}

/** Calls `then` when the picture that is now shown has its size, not if another takes its place before. */
const whenDrawn = (then) => $("after").decode().then(then, () => {});

function show(done) {
  shown = done;
  watching = false;
  compare(done.before, done.after, `The edit: ${done.fields.prompt}`);
  $("clip").src = done.clip;
  // Its frames have the aspect of the model's grid.
  whenDrawn(() => { $("clip").style.aspectRatio = `${$("after").naturalWidth} / ${$("after").naturalHeight}`; });
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) $("clip").play().catch(() => {}); // or by its button
  $("save").href = done.after;
  $("save-clip").href = done.clip;
  for (const id of ["actions", "evolution"]) $(id).hidden = false;
  mark(done);
}

/** In the history, which edit is shown. */
function mark(done) {
  for (const button of $("history").querySelectorAll("button")) button.setAttribute("aria-current", button.done === done);
}

function remember(done) {
  const button = document.createElement("button"), image = new Image(), words = document.createElement("span");
  image.src = done.after;
  image.alt = "";
  image.draggable = false; // else let go of a little aside it would be the next source
  words.textContent = done.fields.prompt;
  button.type = "button";
  button.title = done.fields.prompt;
  button.done = done;
  button.append(image, words);
  button.addEventListener("click", () => show(done));
  const item = document.createElement("li");
  item.append(button);
  $("history").prepend(item);
  if ($("history").children.length > HISTORY) $("history").lastElementChild.remove();
  $("history-box").hidden = false;
}

async function copy(text, name) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied as ${name}.`);
  } catch {
    say("The browser does not let this page copy.", true);
  }
}

/** What the server offers. One that asks for keys tells it only to a key, so each that is entered asks again. */
async function models() {
  const key = $("key").value;
  try {
    const { data: [model] } = await (await ask("/v1/models", key)).json();
    const picked = $("lora").value;
    $("lora").length = 1; // none
    for (const name of model.loras) $("lora").append(new Option(name, name, false, name === picked));
    $("steps").placeholder = model.steps;
    $("steps").max = model.max_steps;
  } catch (error) {
    if (key === $("key").value && !running) fail(error); // else it is told elsewhere
  }
}

for (const [name, text] of EXAMPLES) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  button.title = text;
  button.setAttribute("aria-label", `${name}: ${text}`);
  button.addEventListener("click", () => { $("prompt").value = text; $("prompt").focus(); });
  $("examples").append(button);
}
$("form").addEventListener("submit", edit);
$("stop").addEventListener("click", () => running?.abort());
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
$("again").addEventListener("click", () => {
  setSource({ url: shown.after, id: shown.id }, `Source: the result of “${shown.fields.prompt}”`);
  $("prompt").value = "";
  $("prompt").focus();
  say("The result is the next source.");
});
$("curl").addEventListener("click", () => copy(asCurl(location.origin, shown.fields, shown.fromId, $("key").value), "curl"));
$("python").addEventListener("click", () => copy(asPython(location.origin, shown.fields, shown.fromId), "Python"));
models();
