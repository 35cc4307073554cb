"""Rate-distortion plots for papers."""

from __future__ import annotations

import io
from collections.abc import Sequence

from vrcodec.bench.curves import Curve, quality_column
from vrcodec.bench.metrics import METRICS


def plot(curves: Sequence[Curve], metrics: Sequence[str], file_format: str) -> bytes:
    """One panel for each metric, as a file of ``file_format``: png, svg or pdf.

    Measured curves are solid, published ones dashed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(metrics), 4.5), layout="constrained")
    for axes, metric in zip(
        figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True
    ):
        column = quality_column(metric)
        for curve in curves:
            if column in curve.columns:
                style = {"linestyle": "-", "marker": "."} if curve.measured else {"linestyle": "--"}
                x, y = curve.columns["bpp"], curve.columns[column]
                axes.plot(x, y, label=curve.title, linewidth=2.4 if curve.own else 1.2, **style)
        axes.set_xlabel("bits per pixel")
        axes.set_ylabel(METRICS[metric].title)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, dpi=160)
    return buffer.getvalue()
