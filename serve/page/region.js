// The region of the edit that is shown: on demand, what was kept of the source is darkened.

const $ = (id) => document.getElementById(id);
const button = $("show-region");

/** Takes the region of another edit, the URL of a picture that is opaque where the source was kept, if there is one. */
export function regionOf(url) {
  button.hidden = !url;
  if (url) $("region").src = url;
  draw();
}

function draw() {
  $("region").hidden = button.hidden || button.getAttribute("aria-pressed") === "false";
}

function toggle() {
  button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") === "false");
  draw();
}

button.addEventListener("click", toggle);
// Only within the result: a key alone must not act where people write.
$("result").addEventListener("keydown", (event) => {
  const alone = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (event.key.toLowerCase() === "r" && alone && !event.repeat && !button.hidden) toggle();
});
