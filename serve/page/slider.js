/** The bar between before and after goes where `range` is, and `range` to where the pointer is dragged in `box`. */
export function slider(box, range) {
  const move = () => {
    box.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} percent source`);
  };
  const drag = (event) => {
    const { left, width } = box.getBoundingClientRect();
    range.value = (100 * (event.clientX - left)) / width;
    move();
  };
  range.addEventListener("input", move);
  box.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    box.setPointerCapture(event.pointerId); // the drag may leave the box
    drag(event);
  });
  box.addEventListener("pointermove", (event) => { if (box.hasPointerCapture(event.pointerId)) drag(event); });
}
