"use strict";

/* Two pictures over each other, in the elements of slider.html: `showImage` on each side, `fit` both, `startSlider`. */

const $ = (id) => document.getElementById(id);
const place = { x: 0, y: 0, scale: 1 };

function addOptions(select, texts) {
  select.replaceChildren(...texts.map((text, index) => new Option(text, String(index))));
}

/* Put a picture on a side, "left" or "right". */
function showImage(side, uri, description) {
  $(`${side}-image`).src = uri;
  $(`${side}-image`).alt = description;
  $(`${side}-tag`).textContent = description;
}

/* Give both the shape of a picture. */
function fit(width, height) {
  $("viewport").style.aspectRatio = `${width} / ${height}`;
  arrange();
}

function arrange() {
  const { scale } = place;
  const { clientWidth: width, clientHeight: height } = $("viewport");
  place.x = Math.min(0, Math.max(width * (1 - scale), place.x));
  place.y = Math.min(0, Math.max(height * (1 - scale), place.y));
  for (const side of ["left", "right"]) {
    $(`${side}-image`).style.transform = `translate(${place.x}px, ${place.y}px) scale(${scale})`;
  }
  $("viewport").classList.toggle("near", scale > 2);
  const position = $("slider").value;
  /* Both are cut, or the left one would show through what is transparent in the right one. */
  $("left-layer").style.clipPath = `inset(0 ${100 - position}% 0 0)`;
  $("right-layer").style.clipPath = `inset(0 0 0 ${position}%)`;
  $("divider").style.left = `${position}%`;
}

/* Zoom so that the point under (x, y) stays where it is. */
function zoomTo(value, x, y) {
  $("zoom").value = String(value);
  const scale = 2 ** Number($("zoom").value);
  place.x = x - (x - place.x) * (scale / place.scale);
  place.y = y - (y - place.y) * (scale / place.scale);
  place.scale = scale;
  arrange();
}

function zoomBy(step, x, y) {
  zoomTo(Number($("zoom").value) + step, x, y);
}

function onKey(event) {
  const { clientWidth: width, clientHeight: height } = $("viewport");
  const moves = {
    ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40],
  };
  if (moves[event.key]) {
    place.x += moves[event.key][0];
    place.y += moves[event.key][1];
    arrange();
  } else if (event.key === "+" || event.key === "=") zoomBy(0.5, width / 2, height / 2);
  else if (event.key === "-") zoomBy(-0.5, width / 2, height / 2);
  else if (event.key === "0") zoomTo(0, 0, 0);
  else return;
  event.preventDefault();
}

function startSlider() {
  $("slider").addEventListener("input", arrange);
  $("zoom").addEventListener("input", () => {
    const { clientWidth: width, clientHeight: height } = $("viewport");
    zoomTo(Number($("zoom").value), width / 2, height / 2);
  });
  $("reset").addEventListener("click", () => { $("slider").value = "50"; zoomTo(0, 0, 0); });
  const viewport = $("viewport");
  viewport.addEventListener("keydown", onKey);
  viewport.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && document.activeElement !== viewport) return;
    event.preventDefault();
    zoomBy(event.deltaY < 0 ? 0.25 : -0.25, event.offsetX, event.offsetY);
  }, { passive: false });
  viewport.addEventListener("pointerdown", (event) => viewport.setPointerCapture(event.pointerId));
  viewport.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    place.x += event.movementX;
    place.y += event.movementY;
    arrange();
  });
  window.addEventListener("resize", arrange);
}
