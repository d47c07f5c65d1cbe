// The fields of a request, and what the server offers for them.

import { ask } from "./ask.js";

const EXAMPLES = [
  ["Add", "add a red balloon above the boy"], ["Remove", "remove the trash can on the left"],
  ["Replace", "replace the mug with a teacup"], ["Background", "change background to a beach"],
  ["Color", "make the car blue"], ["Material", "turn the sofa into leather"], ["Text", "change text to 'OPEN'"],
  ["Motion", "raise the person's right hand"], ["Portrait", "smooth skin and brighten eyes"], ["Style", "convert to watercolor style"],
  ["Tone", "apply warm cinematic grade"],
];
const NUMBERS = { variations: "n", steps: "num_inference_steps", seed: "seed", guidance: "guidance_scale", strength: "strength" };
const TEXTS = { size: "size", format: "output_format", lora: "lora", preserve: "preserve", sign: "sign" };
const $ = (id) => document.getElementById(id);

/** The fields that differ from the server's defaults. */
export function chosen() {
  const fields = { prompt: $("prompt").value.trim() };
  for (const [id, name] of Object.entries(NUMBERS)) if ($(id).value !== "") fields[name] = Number($(id).value);
  for (const [id, name] of Object.entries(TEXTS)) if ($(id).value) fields[name] = $(id).value;
  if ($("negative").value.trim()) fields.negative_prompt = $("negative").value.trim();
  return fields;
}

function button(text, title, click) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.title = title;
  made.addEventListener("click", click);
  return made;
}

export function write(words) {
  $("prompt").value = words;
  $("prompt").focus();
}

/** The examples of the tasks, for a model that says nothing of what it knows. */
export function tasks() {
  for (const [name, text] of EXAMPLES) {
    const made = button(name, text, () => write(text));
    made.setAttribute("aria-label", `${name}: ${text}`);
    $("examples").append(made);
  }
}

/** What the server offers. One that asks for keys tells it only to a key, so each that is entered asks again. */
export async function offered(key, take) {
  const { data: [model] } = await (await ask("v1/models", key)).json();
  const picked = $("lora").value;
  $("lora").length = 1; // none
  for (const name of model.loras) $("lora").append(new Option(name, name, false, name === picked));
  $("steps").placeholder = model.steps;
  $("steps").max = model.max_steps;
  $("samples").replaceChildren(...(model.examples ?? []).map((example) => sample(example, take)));
  $("knows").textContent = model.knows ?? "";
  $("samples-box").hidden = !model.knows;
  $("sign-label").hidden = !model.signs;
  $("card").textContent = model.card ?? "";
  $("card-box").hidden = !model.card;
  $("examples").hidden = Boolean(model.knows);
  return { bytes: model.upload_bytes, pixels: model.source_pixels };
}

/** A picture to click that brings its instruction and its seed. */
function sample({ picture, instruction, seed }, take) {
  const image = new Image(), words = document.createElement("span");
  image.src = picture;
  image.alt = "";
  words.textContent = instruction;
  const made = button("", instruction, async () => {
    const blob = await (await ask(picture, "")).blob();
    await take(new File([blob], picture.split("/").at(-1), { type: "image/png" }));
    $("seed").value = seed;
    write(instruction);
  });
  made.append(image, words);
  return made;
}
