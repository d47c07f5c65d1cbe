import { events } from "./events.js";
import { asCurl, asPython } from "./snippets.js";

const EXAMPLES = [
  ["Add", "add a red balloon above the boy"], ["Remove", "remove the trash can on the left"],
  ["Replace", "replace the mug with a teacup"], ["Background", "change background to a beach"],
  ["Color", "make the car blue"], ["Material", "turn the sofa into leather"], ["Text", "change text to 'OPEN'"],
  ["Motion", "raise the person's right hand"], ["Portrait", "smooth skin and brighten eyes"], ["Style", "convert to watercolor style"],
  ["Tone", "apply warm cinematic grade"],
];
const $ = (id) => document.getElementById(id);
let source = null; // {url, file} or {url, id}: what the next edit starts from
let shown = null; // the edit that is shown
let running = null; // AbortController of the request under way

function say(text, error = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", error);
}

function setSource(next, words) {
  source = next;
  $("source").src = next.url;
  $("source").alt = words;
  $("source").hidden = false;
  $("drop-words").textContent = words;
}

function take(file) {
  if (!file) return;
  if (!file.type.startsWith("image/")) return say(`${file.name} is no image: choose a PNG, JPEG, WebP or GIF.`, true);
  setSource({ url: URL.createObjectURL(file), file }, `Source: ${file.name || "pasted image"}`);
  say("");
  $("prompt").focus();
}

const blobUrl = (base64, type) => {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type }));
};

/** The fields that differ from the server's defaults. */
function chosen() {
  const fields = { prompt: $("prompt").value.trim() };
  const names = { steps: "num_inference_steps", seed: "seed", guidance: "guidance_scale" };
  for (const [id, name] of Object.entries(names)) if ($(id).value !== "") fields[name] = Number($(id).value);
  if ($("negative").value.trim()) fields.negative_prompt = $("negative").value.trim();
  if ($("lora").value) fields.lora = $("lora").value;
  return fields;
}

const headers = () => ($("key").value ? { Authorization: `Bearer ${$("key").value}` } : {});

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
  busy(true);
  say("Waiting for the model …");
  try {
    const response = await fetch("/v1/images/edits", { method: "POST", body, headers: headers(), signal: running.signal });
    if (!response.ok) throw new Error((await response.json()).error.message);
    for await (const told of events(response)) {
      if (told.error) throw new Error(told.error.message);
      if (told.steps) {
        $("progress").max = told.steps;
        $("progress").value = told.step;
        say(`Step ${told.step} of ${told.steps}`);
      } else if (told.type === "image_edit.partial_image") {
        compare(from.url, blobUrl(told.b64_json, "image/png"), "The edit as it evolves");
        if (told.partial_image_index === 0) whenDrawn(() => $("compare").scrollIntoView({ block: "nearest" }));
      } else {
        const done = {
          before: from.url, after: blobUrl(told.b64_json, "image/png"), clip: blobUrl(told.clip_b64_json, "video/mp4"),
          id: told.id, fields: { ...fields, seed: told.seed }, fromId: from.id,
        };
        remember(done);
        show(done);
        say("Done.");
      }
    }
  } catch (error) {
    say(error.name === "AbortError" ? "Stopped." : error.message, error.name !== "AbortError");
  } finally {
    running = null;
    busy(false);
  }
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
  compare(done.before, done.after, `The edit: ${done.fields.prompt}`);
  $("clip").src = done.clip;
  // Its frames have the aspect of the model's grid.
  whenDrawn(() => { $("clip").style.aspectRatio = `${$("after").naturalWidth} / ${$("after").naturalHeight}`; });
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) $("clip").play().catch(() => {}); // or by its button
  $("save").href = done.after;
  $("save-clip").href = done.clip;
  for (const id of ["actions", "evolution"]) $(id).hidden = false;
  for (const button of $("history").querySelectorAll("button")) button.setAttribute("aria-current", button.done === done);
}

function remember(done) {
  const button = document.createElement("button"), image = new Image(), words = document.createElement("span");
  image.src = done.after;
  image.alt = "";
  words.textContent = done.fields.prompt;
  button.type = "button";
  button.done = done;
  button.append(image, words);
  button.addEventListener("click", () => show(done));
  const item = document.createElement("li");
  item.append(button);
  $("history").prepend(item);
  $("history-box").hidden = false;
}

function slide() {
  const at = $("slide").value;
  $("compare").style.setProperty("--at", `${at}%`);
  $("slide").setAttribute("aria-valuetext", `${at} percent source`);
}

async function copy(text, name) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied as ${name}.`);
  } catch {
    say("The browser does not let this page copy.", true);
  }
}

function theme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").setAttribute("aria-pressed", dark);
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
$("file").addEventListener("change", (event) => take(event.target.files[0]));
for (const kind of ["dragover", "dragleave", "drop"])
  $("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files[0]);
  });
addEventListener("paste", (event) => { if (event.clipboardData.files.length) take(event.clipboardData.files[0]); });
$("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); $("form").requestSubmit(); }
});
$("slide").addEventListener("input", slide);
$("compare").addEventListener("pointermove", (event) => {
  if (event.pointerType === "mouse" && !event.buttons) return;
  const box = $("compare").getBoundingClientRect();
  $("slide").value = (100 * (event.clientX - box.left)) / box.width;
  slide();
});
$("again").addEventListener("click", () => {
  setSource({ url: shown.after, id: shown.id }, `Source: the result of “${shown.fields.prompt}”`);
  $("prompt").value = "";
  $("prompt").focus();
  say("The result is the next source.");
});
$("curl").addEventListener("click", () => copy(asCurl(location.origin, shown.fields, shown.fromId, $("key").value), "curl"));
$("python").addEventListener("click", () => copy(asPython(location.origin, shown.fields, shown.fromId), "Python"));
theme(localStorage.theme ? localStorage.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
$("theme").addEventListener("click", () => {
  localStorage.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  theme(localStorage.theme === "dark");
});
fetch("/v1/models", { headers: headers() }).then((r) => r.json()).then(({ data }) => {
  for (const name of data?.[0]?.loras ?? []) $("lora").append(new Option(name, name));
  if (data) $("steps").placeholder = data[0].steps;
});
