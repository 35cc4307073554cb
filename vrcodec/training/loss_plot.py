"""Plot of the loss log."""

from __future__ import annotations

import csv
from pathlib import Path


def plot_log(log: Path, output: Path) -> None:
    """Draw loss and PSNR of ``log`` over steps into the PNG ``output``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with log.open() as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    figure, axes = pyplot.subplots(2, 1, sharex=True, figsize=(8, 6))
    for axis, column, label in zip(axes, ("loss", "psnr"), ("loss", "PSNR (dB)"), strict=True):
        values = [float(row[column]) for row in rows]
        axis.plot(steps, values, linewidth=0.5, color="silver")
        axis.plot(steps, _smooth(values), color="black")
        axis.set_ylabel(label)
    if rows:
        axes[0].set_yscale("log")
    axes[1].set_xlabel("step")
    figure.tight_layout()
    figure.savefig(output)
    pyplot.close(figure)


def _smooth(values: list[float], weight: float = 0.95) -> list[float]:
    smooth: list[float] = []
    for value in values:
        smooth.append(weight * smooth[-1] + (1 - weight) * value if smooth else value)
    return smooth
