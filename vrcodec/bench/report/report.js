const data = JSON.parse($("data").textContent);

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
    showImage(side, view.uri, words(view));
  }
  fit(picture().width, picture().height);
  showCrops();
}

/* Show in an element, pixel for pixel, what lies at a place (0 .. 1 across and down) of a picture. */
function cropTo(element, uri, across, down) {
  element.style.backgroundImage = `url(${uri})`;
  element.style.backgroundPosition = `${100 * across}% ${100 * down}%`;
}

function showCrops() {
  const figures = views().map((view) => {
    const figure = document.createElement("figure");
    const crop = Object.assign(document.createElement("div"), { className: "crop" });
    crop.setAttribute("role", "img");
    crop.setAttribute("aria-label", words(view));
    cropTo(crop, view.uri, Number($("across").value) / 100, Number($("down").value) / 100);
    const caption = document.createElement("figcaption");
    caption.textContent = words(view);
    figure.append(crop, caption);
    return figure;
  });
  $("crops").replaceChildren(...figures);
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
  $("across").addEventListener("input", showCrops);
  $("down").addEventListener("input", showCrops);
  startSlider();
  show();
}

/* --- blind comparison --- */

const blind = { pairs: [], at: 0, tally: new Map() };

function shuffle(items) {
  for (let last = items.length - 1; last > 0; last -= 1) {
    const other = Math.floor(Math.random() * (last + 1));
    [items[last], items[other]] = [items[other], items[last]];
  }
  return items;
}

/* Ours against each other codec, of every picture and size, in random order and on random sides. */
function makePairs() {
  const pairs = data.shown.flatMap((shown) => shown.levels.flatMap(([ours, ...others]) => others.map(
    (other) => ({ sides: shuffle([ours, other]), ours, other, original: shown.original }),
  )));
  return shuffle(pairs).map((pair) => ({ ...pair, across: Math.random(), down: Math.random() }));
}

function showPair() {
  const pair = blind.pairs[blind.at];
  const uris = pair.sides.map((view) => ($("blind-original").checked ? pair.original : view.uri));
  cropTo($("blind-a"), uris[0], pair.across, pair.down);
  cropTo($("blind-b"), uris[1], pair.across, pair.down);
  $("blind-progress").textContent = `${blind.at + 1} of ${blind.pairs.length}`;
}

function beginBlind() {
  Object.assign(blind, { pairs: makePairs(), at: 0, tally: new Map() });
  $("blind-tally").replaceChildren();
  setBlind(true);
  showPair();
}

function setBlind(running) {
  $("blind-pair").hidden = !running;
  $("blind-end").hidden = !running;
  $("blind-begin").hidden = running;
}

/* Count a choice, 0 or 1 for a side, null for none, and go on. */
function choose(side) {
  const { sides, ours, other } = blind.pairs[blind.at];
  const counts = blind.tally.get(other.title) || { ours: 0, none: 0, other: 0 };
  if (side === null) counts.none += 1;
  else if (sides[side] === ours) counts.ours += 1;
  else counts.other += 1;
  blind.tally.set(other.title, counts);
  blind.at += 1;
  $("blind-original").checked = false;
  if (blind.at < blind.pairs.length) showPair();
  else endBlind();
}

function endBlind() {
  setBlind(false);
  $("blind-progress").textContent = `${blind.at} of ${blind.pairs.length} compared`;
  const table = document.createElement("table");
  const addRow = (cells, tag) => {
    const row = table.insertRow();
    row.append(...cells.map((text) => Object.assign(document.createElement(tag), { textContent: text })));
  };
  addRow(["against", `${data.shown[0].levels[0][0].title} better`, "no difference", "the other better"], "th");
  [...blind.tally].sort().forEach(([title, { ours, none, other }]) => addRow([title, ours, none, other], "td"));
  $("blind-tally").replaceChildren(table);
}

function startBlind() {
  if (!data.shown.some((shown) => shown.levels[0].length > 1)) return;
  $("blind").hidden = false;
  $("blind-begin").addEventListener("click", beginBlind);
  $("blind-end").addEventListener("click", endBlind);
  $("blind-original").addEventListener("change", showPair);
  [["choose-a", 0], ["choose-none", null], ["choose-b", 1]].forEach(([id, side]) => {
    $(id).addEventListener("click", () => choose(side));
  });
}

startCurves();
startViewer();
startBlind();
