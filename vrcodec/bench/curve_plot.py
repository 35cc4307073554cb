"""Plots of rate-distortion curves, for papers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import cycle

from vrcodec.bench.curves import Curve, quality_column
from vrcodec.metrics import METRICS

_LEGEND_COLUMNS = 2
# One for each pass through the colours.
_MARKERS = (".", "^", "s", "x")
# Inches.
_LEGEND_LINE = 0.2


def plot_curves(curves: Sequence[Curve], metrics: Sequence[str], file_format: str) -> bytes:
    """One panel for each metric, as a file of ``file_format``: png, svg or pdf.

    Measured curves are solid, published ones dashed.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    columns = _LEGEND_COLUMNS * len(metrics)
    styles = cycle((m, colormaps["tab20"](number)) for m in _MARKERS for number in range(20))
    styled = [(curve, *style) for curve, style in zip(curves, styles, strict=False)]
    height = 4.2 + _LEGEND_LINE * -(-len(curves) // columns)
    figure = Figure(figsize=(5.5 * len(metrics), height), layout="constrained")
    for axes, metric in zip(
        figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True
    ):
        column = quality_column(metric)
        for curve, marker, colour in styled:
            if column in curve.columns:
                solid = {"linestyle": "-", "marker": marker}
                line = solid if curve.measured else {"linestyle": "--"}
                x, y = curve.columns["bpp"], curve.columns[column]
                width = 2.4 if curve.is_ours else 1.2
                axes.plot(x, y, label=_as_label(curve.title), color=colour, linewidth=width, **line)
        # Logarithmic: codecs differ by factors of bits, at low rates as at high ones.
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("bits per pixel")
        axes.set_ylabel(METRICS[metric].title)
        axes.grid(alpha=0.3)
    # Below the panels: inside, two dozen names would hide the curves.
    legend = figure.axes[0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside lower center", ncols=columns, fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, dpi=160)
    return buffer.getvalue()


def _as_label(title: str) -> str:
    """``title``, which may have any characters: between two of $, Matplotlib would read a formula."""
    return title.encode(errors="backslashreplace").decode().replace("$", r"\$")
