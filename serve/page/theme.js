// Dark or light: as the system is, until the button says otherwise, which is remembered.

const root = document.documentElement, button = document.getElementById("theme");
const system = matchMedia("(prefers-color-scheme: dark)");

function show() {
  const dark = localStorage.theme ? localStorage.theme === "dark" : system.matches;
  root.dataset.theme = dark ? "dark" : "light";
  button?.setAttribute("aria-pressed", dark);
}

show();
system.addEventListener("change", show);
button?.addEventListener("click", () => {
  localStorage.theme = root.dataset.theme === "dark" ? "light" : "dark";
  show();
});
