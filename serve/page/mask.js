// The mask: painted over the source by pointer or keyboard, and sent white where to edit.

const FINE = 1024; // pixels along the mask's longer side at most; the server gets it at the source's size
const $ = (id) => document.getElementById(id);
const canvas = $("mask"), context = canvas.getContext("2d", { willReadFrequently: true });
let size = [0, 0]; // of the source
let erasing = false, painted = false, at = [0, 0]; // `at`: the brush, in the mask's pixels

/** An empty mask over the picture at `url`. */
export function over(url, width, height) {
  const scale = Math.min(1, FINE / Math.max(width, height));
  size = [width, height];
  [canvas.width, canvas.height] = size.map((side) => Math.max(1, Math.round(side * scale)));
  at = [canvas.width / 2, canvas.height / 2];
  $("under").src = url;
  $("mask-box").hidden = false;
  clear();
}

export function clear() {
  context.clearRect(0, 0, canvas.width, canvas.height);
  tell(false);
}

/** The mask as a file, or null where nothing is painted. */
export async function file() {
  if (!painted) return null;
  const whole = new OffscreenCanvas(...size), ink = whole.getContext("2d");
  ink.fillRect(0, 0, ...size);
  ink.filter = "brightness(0) invert(1)"; // the brush's colour to white
  ink.drawImage(canvas, 0, 0, ...size);
  return whole.convertToBlob({ type: "image/png" });
}

function tell(on) {
  painted = on;
  $("mask-state").textContent = on ? "(on)" : "";
}

function dab(from, to) {
  context.globalCompositeOperation = erasing ? "destination-out" : "source-over";
  context.strokeStyle = "#e0218a";
  context.lineCap = "round";
  context.lineWidth = (Number($("brush-size").value) / 100) * Math.max(canvas.width, canvas.height);
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(to[0] + 0.01, to[1]); // a line of no length has no cap
  context.stroke();
  at = to;
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  tell(data.some((value, k) => k % 4 === 3 && value > 0));
}

function place({ clientX, clientY }) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  return [((clientX - left) / width) * canvas.width, ((clientY - top) / height) * canvas.height];
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  event.preventDefault();
  canvas.focus();
  canvas.setPointerCapture(event.pointerId);
  dab(place(event), place(event));
});
canvas.addEventListener("pointermove", (event) => { if (canvas.hasPointerCapture(event.pointerId)) dab(at, place(event)); });

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
canvas.addEventListener("keydown", (event) => {
  if (event.key !== " " && !ARROWS[event.key]) return;
  event.preventDefault();
  const by = Math.max(canvas.width, canvas.height) / 25, [x, y] = ARROWS[event.key] ?? [0, 0], from = at;
  at = [Math.min(canvas.width, Math.max(0, at[0] + x * by)), Math.min(canvas.height, Math.max(0, at[1] + y * by))];
  if (event.key === " ") dab(from, at);
  canvas.parentElement.style.setProperty("--x", `${(100 * at[0]) / canvas.width}%`);
  canvas.parentElement.style.setProperty("--y", `${(100 * at[1]) / canvas.height}%`);
});

for (const id of ["brush", "eraser"]) $(id).addEventListener("click", () => {
  erasing = id === "eraser";
  for (const other of ["brush", "eraser"]) $(other).setAttribute("aria-pressed", other === id);
});
$("clear").addEventListener("click", clear);
