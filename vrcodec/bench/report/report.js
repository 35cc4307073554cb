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
  startSlider();
  show();
}

startCurves();
startViewer();
