"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

function addOptions(select, texts) {
  select.replaceChildren(...texts.map((text, index) => new Option(text, String(index))));
}

/* --- curves --- */

const quantities = [
  ...data.metrics.map((m) => ({ column: m.column, title: m.title, type: "linear" })),
  { column: "encoding_time", title: "Time to encode (s)", type: "log" },
  { column: "decoding_time", title: "Time to decode (s)", type: "log" },
];
const colours = [
  "#d1242f", "#0969da", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#57606a", "#1b7c83", "#a04100",
];
// One for every round through the colours.
const symbols = ["circle", "square", "triangle-up", "diamond", "x"];
const dashes = ["dot", "dash", "dashdot", "longdash", "longdashdot"];
const round = (index) => Math.floor(index / colours.length) % symbols.length;

function columnsOf(curve) {
  const index = Number($("of-picture").value);
  return index === 0 ? curve.columns : curve.pictures[data.pictures[index - 1]];
}

function draw() {
  const quantity = quantities[Number($("metric").value)];
  const traces = [];
  data.curves.forEach((curve, index) => {
    const columns = columnsOf(curve);
    if (!$(`codec-${index}`).checked || !columns || !columns[quantity.column]) return;
    traces.push({
      x: columns.bpp,
      y: columns[quantity.column],
      name: curve.title,
      mode: curve.measured ? "lines+markers" : "lines",
      line: {
        color: colours[index % colours.length],
        dash: curve.measured ? "solid" : dashes[round(index)],
      },
      marker: { symbol: symbols[round(index)] },
      hovertemplate: "%{x:.3f} bpp, %{y:.3f}",
    });
  });
  const layout = {
    margin: { l: 60, r: 10, t: 10, b: 50 },
    xaxis: { title: { text: "bits per pixel" }, rangemode: "tozero" },
    yaxis: { title: { text: quantity.title }, type: quantity.type },
    legend: { orientation: "h", y: -0.2 },
    showlegend: true,
    hovermode: "closest",
  };
  Plotly.react("chart", traces, layout, { responsive: true, displaylogo: false });
}

function startCurves() {
  addOptions($("metric"), quantities.map((q) => q.title));
  addOptions($("of-picture"), ["all pictures (mean)", ...data.pictures]);
  data.curves.forEach((curve, index) => {
    const box = Object.assign(document.createElement("input"), {
      type: "checkbox", id: `codec-${index}`, checked: true,
    });
    box.addEventListener("change", draw);
    const label = document.createElement("label");
    label.append(box, ` ${curve.title}`);
    $("codecs").append(label);
  });
  $("metric").addEventListener("change", draw);
  $("of-picture").addEventListener("change", draw);
  draw();
}

/* --- pictures --- */

const place = { x: 0, y: 0, scale: 1 };
const picture = () => data.shown[Number($("picture").value)];
const views = () => [
  { title: "original", uri: picture().original },
  ...picture().levels[Number($("level").value)],
];
const words = (view) =>
  view.bpp === undefined
    ? view.title
    : `${view.title}, ${view.bpp.toFixed(3)} bpp, ${view.psnr.toFixed(2)} dB`;

function fillViews() {
  const titles = views().map((view) => view.title);
  for (const [id, fallback] of [["left", 0], ["right", 1]]) {
    const before = $(id).options.length ? Number($(id).value) : fallback;
    addOptions($(id), titles);
    $(id).value = String(before);
  }
}

function fillLevels() {
  const before = $("level").options.length ? $("level").value : "0";
  addOptions($("level"), picture().levels.map((level) => `${level[0].bpp.toFixed(3)} bpp`));
  $("level").value = before;
}

function show() {
  for (const side of ["left", "right"]) {
    const view = views()[Number($(side).value)];
    $(`${side}-image`).src = view.uri;
    $(`${side}-image`).alt = words(view);
    $(`${side}-tag`).textContent = words(view);
  }
  $("viewport").style.aspectRatio = `${picture().width} / ${picture().height}`;
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

function startViewer() {
  if (!data.shown.length) return;
  $("viewer").hidden = false;
  addOptions($("picture"), data.shown.map((shown) => shown.name));
  fillLevels();
  fillViews();
  $("picture").addEventListener("change", () => { fillLevels(); fillViews(); show(); });
  $("level").addEventListener("change", () => { fillViews(); show(); });
  $("left").addEventListener("change", show);
  $("right").addEventListener("change", show);
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
  show();
}

startCurves();
startViewer();
