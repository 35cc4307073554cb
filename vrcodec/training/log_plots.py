"""Plots of the logs of a run."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_log(log: Path, output: Path) -> None:
    """Draw loss and PSNR of ``log`` over steps into the PNG ``output``."""
    rows = _rows(log)
    steps = [int(row["step"]) for row in rows]
    with _two_panels(output) as axes:
        for axis, column, label in zip(axes, ("loss", "psnr"), ("loss", "PSNR (dB)"), strict=True):
            values = [float(row[column]) for row in rows]
            axis.plot(steps, values, linewidth=0.5, color="silver")
            axis.plot(steps, _smooth(values), color="black")
            axis.set_ylabel(label)
        if rows:
            axes[0].set_yscale("log")


def plot_search(log: Path, output: Path) -> None:
    """Draw slopes and reaches of a search (`vrcodec.training.reach_search`) over steps into the PNG ``output``.

    Dots: where the width was the one that the search was at.
    """
    rows = _rows(log)
    with _two_panels(output) as axes:
        for width in dict.fromkeys(row["width"] for row in rows):
            own = [row for row in rows if row["width"] == width]
            for axis, column in zip(axes, ("slope", "reach"), strict=True):
                points = [
                    (int(row["step"]), float(row[column]), row["searched"] == "1")
                    for row in own
                    if row[column]
                ]
                if not points:
                    continue
                steps, values, searched = zip(*points, strict=True)
                (line,) = axis.plot(steps, values, linewidth=1, label=f"width {width}")
                marked = [index for index, is_searched in enumerate(searched) if is_searched]
                axis.plot(steps, values, "o", markevery=marked, color=line.get_color())
        axes[0].set_ylabel("slope to the next wider, dB for a bit")
        axes[1].set_ylabel("reach")
        axes[1].legend(fontsize="small")


def _rows(log: Path) -> list[dict[str, str]]:
    """All rows but those that a full disk has cut."""
    with log.open() as file:
        return [row for row in csv.DictReader(file) if None not in row.values()]


@contextmanager
def _two_panels(output: Path) -> Iterator[tuple[Axes, Axes]]:
    """Two panels, one above the other, over steps; written to ``output``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    axes: Any
    figure, axes = pyplot.subplots(2, 1, sharex=True, figsize=(8, 6))
    try:
        yield axes
        axes[1].set_xlabel("step")
        figure.tight_layout()
        figure.savefig(output)
    finally:
        pyplot.close(figure)


def _smooth(values: list[float], weight: float = 0.95) -> list[float]:
    smooth: list[float] = []
    for value in values:
        smooth.append(weight * smooth[-1] + (1 - weight) * value if smooth else value)
    return smooth
