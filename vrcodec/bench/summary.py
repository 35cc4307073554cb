"""Results as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vrcodec.bench.bdrate import BdRate
from vrcodec.bench.comparison import Comparison
from vrcodec.bench.curves import Columns, Curve, quality_column
from vrcodec.bench.results import Results
from vrcodec.metrics import METRICS

Table = tuple[list[str], list[list[str]]]

# What people see, and what most papers compare.
_SUMMARISED = ("ssimulacra2", "psnr")


def curve_table(curve: Curve, metrics: Sequence[str]) -> Table:
    """One row for each setting of a curve."""
    c = curve.columns
    shown = [m for m in metrics if m in c]
    head = [curve.scale, "bpp", *(METRICS[m].title for m in shown), "encode s", "decode s"]
    rows = [
        [
            f"{c['setting'][i]:.3f}",
            f"{c['bpp'][i]:.4f}",
            *(f"{c[quality_column(m)][i]:.2f}" for m in shown),
            f"{c['encoding_time'][i]:.3f}",
            f"{c['decoding_time'][i]:.3f}",
        ]
        for i in range(len(c["bpp"]))
    ]
    return head, rows


def codec_table(results: Results, metrics: Sequence[str]) -> Table:
    """One row for each curve: ranges of rate and PSNR, and BD-rates against the anchor."""
    shown = [m for m in metrics if m in results.comparisons]
    head = ["codec", "bpp", "PSNR dB"]
    for metric in shown:
        name = METRICS[metric].title.partition(" (")[0]
        head += [f"BD-rate {name}", "over"]
    by_metric = {m: {c.curve: c for c in results.comparisons[m]} for m in shown}
    rows = []
    for curve in results.curves:
        row = [
            curve.title,
            _format_range(curve.columns, "bpp", 3),
            _format_range(curve.columns, "psnr", 1),
        ]
        for metric in shown:
            comparison = by_metric[metric].get(curve.name)
            if comparison:
                rate = comparison.pooled
                row += [_format_bd_rate(rate, comparison.lack), _format_quality_range(rate)]
            else:
                row += ["anchor", ""]
        rows.append(row)
    return head, rows


def picture_table(results: Results, metric: str) -> Table:
    """BD-rates against the anchor, one row for each picture."""
    comparisons = [c for c in results.comparisons.get(metric, []) if c.pictures]
    titles = {curve.name: curve.title for curve in results.curves}
    rows = [
        [info.name, *(_picture_cell(c, info.name) for c in comparisons)]
        for info in results.pictures
    ]
    rows.append(["median", *(_format_percent(c.median) for c in comparisons)])
    return ["picture", *(titles[c.curve] for c in comparisons)], rows


def _picture_cell(comparison: Comparison, name: str) -> str:
    if name in comparison.pictures:
        return _format_percent(comparison.pictures[name])
    return comparison.lacks[name]


def _format_percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f} %"


def _format_range(columns: Columns, name: str, digits: int) -> str:
    return f"{min(columns[name]):.{digits}f} .. {max(columns[name]):.{digits}f}"


def _format_bd_rate(rate: BdRate | None, lack: str) -> str:
    """The BD-rate by PCHIP, and by Akima in brackets; without one, why it is lacking."""
    if rate is None or rate.pchip is None:
        return lack
    akima = f" ({rate.akima:+.1f})" if rate.akima is not None else ""
    return f"{rate.pchip:+.1f} %{akima}"


def _format_quality_range(rate: BdRate | None) -> str:
    """The range of quality over which a BD-rate is an average."""
    return f"{rate.low:.1f} .. {rate.high:.1f}" if rate else ""


def cost_table(results: Results) -> Table:
    """Speed and peak memory of the measured codecs, one row for each."""
    head = ["codec"]
    for side in ("encode", "decode"):
        head += [f"{side} s", "MP/s", "MiB"]
    rows = [
        [c.title, *_cost_cells(c.details["encode"]), *_cost_cells(c.details["decode"])]
        for c in results.curves
        if c.measured
    ]
    return head, rows


def _cost_cells(side: dict[str, Any]) -> list[str]:
    memory = side["peak_memory_mib"]
    return [
        f"{side['seconds']:.3f}",
        f"{side['megapixels_per_second']:.2f}",
        "" if memory is None else f"{memory:.0f}",
    ]


def summarise(results: Results) -> list[str]:
    """The BD-rates of each of our families against the anchor, by `_SUMMARISED`, in a sentence each."""
    sentences = []
    for curve in results.our_curves:
        for metric in _SUMMARISED:
            for comparison in results.comparisons.get(metric, []):
                rate = comparison.pooled
                if comparison.curve == curve.name and rate and rate.pchip is not None:
                    assert results.anchor is not None
                    word = "fewer" if rate.pchip < 0 else "more"
                    sentences.append(
                        f"{curve.title} needs {abs(rate.pchip):.1f} % {word} bits than "
                        f"{results.anchor.title} at equal {_quality_words(metric, rate)}"
                        + _picture_words(comparison)
                    )
    return sentences


def _quality_words(metric: str, rate: BdRate) -> str:
    """A metric, and the range of it that was compared: PSNR (27.0 to 40.8 dB)."""
    name, _, unit = METRICS[metric].title.partition(" (")
    ends = " ".join(filter(None, (f"{rate.low:.1f} to {rate.high:.1f}", unit.rstrip(")"))))
    return f"{name} ({ends})"


def _picture_words(comparison: Comparison) -> str:
    if comparison.worst is None or len(comparison.pictures) == 1:
        return "."
    name, worst = comparison.worst
    median = _format_percent(comparison.median)
    return f"; median of the pictures {median}, worst {_format_percent(worst)} ({name})."


def markdown(table: Table) -> str:
    """A table for a Markdown file."""
    head, rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
