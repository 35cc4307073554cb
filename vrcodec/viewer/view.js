const data = JSON.parse($("data").textContent);

/* Pictures of the file as it arrives, the whole one last. */
const arrivals = data.views.filter((view) => view.bytes !== null);
/* In kB/s, which are bytes a millisecond. */
const SPEEDS = [5, 20, 100, 500];
const NOT_RUNNING = "cannot be shown: is vrcodec view still running?";
/* The number of the play that is running: a later one, or a choice of a picture, ends it. */
let play = 0;

function show() {
  $("right-image").hidden = false;
  for (const side of ["left", "right"]) {
    const view = data.views[Number($(side).value)];
    showImage(side, view.uri, view.title);
  }
  fit(data.width, data.height);
}

function choose() {
  play += 1;
  $("arrived").textContent = "";
  show();
}

/* Ask for a picture; kept, or it would be asked for again when it is shown. */
function load(view) {
  view.image ??= Object.assign(new Image(), { src: view.uri });
  return view.image.decode();
}

/* Show on the right what has arrived after so many milliseconds; returns how many pictures have. */
function showArrived(milliseconds, speed, shown) {
  const bytes = milliseconds * speed;
  const whole = arrivals[arrivals.length - 1].bytes;
  $("progress").value = Math.min(1, bytes / whole);
  const count = arrivals.filter((view) => view.bytes <= bytes).length;
  if (count > shown) {
    const view = arrivals[count - 1];
    $("right").value = String(data.views.indexOf(view));
    show();
    const [kilobytes, all] = [view.bytes, whole].map((size) => (size / 1000).toFixed(1));
    const seconds = (milliseconds / 1000).toFixed(2);
    $("arrived").textContent = `${kilobytes} of ${all} kB after ${seconds} s`;
  }
  return count;
}

/* Let the file arrive at the chosen speed. All is decoded before, as that takes longer than the file. */
async function startPlay() {
  play += 1;
  const number = play;
  $("progress").value = 0;
  $("arrived").textContent = "decoding";
  try {
    await Promise.all(arrivals.map(load));
  } catch {
    $("arrived").textContent = NOT_RUNNING;
    return;
  }
  if (number !== play) return;
  $("right-image").hidden = true;
  $("right-tag").textContent = $("arrived").textContent = "nothing to see yet";
  const speed = SPEEDS[Number($("speed").value)];
  const start = performance.now();
  let shown = 0;
  const step = () => {
    if (number !== play) return;
    shown = showArrived(performance.now() - start, speed, shown);
    if (shown < arrivals.length) requestAnimationFrame(step);
  };
  step();
}

function startView() {
  const last = data.views.length - 1;
  for (const [side, first] of [["left", 0], ["right", last]]) {
    addOptions($(side), data.views.map((view) => view.title));
    $(side).value = String(first);
    $(side).addEventListener("change", choose);
    $(`${side}-image`).addEventListener("error", () => {
      $(`${side}-tag`).textContent = NOT_RUNNING;
    });
  }
  document.body.classList.toggle("single", last === 0);
  document.body.classList.toggle("whole", arrivals.length < 2);
  addOptions($("speed"), SPEEDS.map((speed) => `${speed} kB/s`));
  $("speed").value = "1";
  $("play").addEventListener("click", startPlay);
  startSlider();
  show();
}

startView();
