const data = JSON.parse($("data").textContent);

function show() {
  for (const side of ["left", "right"]) {
    const view = data.views[Number($(side).value)];
    showImage(side, view.uri, view.title);
  }
  fit(data.width, data.height);
}

function startView() {
  const last = data.views.length - 1;
  for (const [side, first] of [["left", 0], ["right", last]]) {
    addOptions($(side), data.views.map((view) => view.title));
    $(side).value = String(first);
    $(side).addEventListener("change", show);
    $(`${side}-image`).addEventListener("error", () => {
      $(`${side}-tag`).textContent = "cannot be shown: is vrcodec view still running?";
    });
  }
  document.body.classList.toggle("single", last === 0);
  startSlider();
  show();
}

startView();
