"""Results in words and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vrcodec.bench.bdrate import BdRate
from vrcodec.bench.comparison import Comparison
from vrcodec.bench.curves import Columns, Curve, quality_column
from vrcodec.bench.results import Results
from vrcodec.metrics import METRICS

Table = tuple[list[str], list[list[str]]]


def curve_table(curve: Curve, metrics: Sequence[str]) -> Table:
    """One line for each setting of a curve."""
    c = curve.columns
    shown = [m for m in metrics if m in c]
    head = ["rate", "bpp", *(METRICS[m].title for m in shown), "encode s", "decode s"]
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
    """One line for each curve: range, and BD-rates against the anchor."""
    shown = [m for m in metrics if m in results.comparisons]
    head = ["codec", "bpp", "PSNR dB"]
    for metric in shown:
        name = METRICS[metric].title.partition(" (")[0]
        head += [f"BD-rate {name}", "over"]
    by_metric = {m: {c.curve: c for c in results.comparisons[m]} for m in shown}
    rows = []
    for curve in results.curves:
        row = [curve.title, _range(curve.columns, "bpp", 3), _range(curve.columns, "psnr", 1)]
        for metric in shown:
            found = by_metric[metric].get(curve.name)
            row += [percentages(found.pooled), overlap(found.pooled)] if found else ["anchor", ""]
        rows.append(row)
    return head, rows


def picture_table(results: Results, metric: str) -> Table:
    """BD-rates against the anchor, one line for each picture."""
    found = [c for c in results.comparisons.get(metric, []) if c.pictures]
    titles = {curve.name: curve.title for curve in results.curves}
    rows = [
        [info.name, *(_signed(c.pictures.get(info.name)) for c in found)]
        for info in results.pictures
    ]
    rows.append(["median", *(_signed(c.median) for c in found)])
    return ["picture", *(titles[c.curve] for c in found)], rows


def _signed(value: float | None) -> str:
    return "no overlap" if value is None else f"{value:+.1f} %"


def _range(columns: Columns, name: str, digits: int) -> str:
    return f"{min(columns[name]):.{digits}f} .. {max(columns[name]):.{digits}f}"


def percentages(rate: BdRate | None) -> str:
    """The BD-rate by PCHIP, and by Akima in brackets."""
    if rate is None or rate.pchip is None:
        return "no overlap"
    akima = f" ({rate.akima:+.1f})" if rate.akima is not None else ""
    return f"{rate.pchip:+.1f} %{akima}"


def overlap(rate: BdRate | None) -> str:
    """The range of quality that a BD-rate is an average over."""
    return f"{rate.low:.1f} .. {rate.high:.1f}" if rate else ""


def cost_table(results: Results) -> Table:
    """Speed and memory of the measured codecs, one line for each."""
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


def verdicts(results: Results) -> list[str]:
    """What the PSNR comparison of each of our families comes to, in a sentence."""
    sentences = []
    for curve in results.own:
        for comparison in results.comparisons.get("psnr", []):
            rate = comparison.pooled
            if comparison.curve == curve.name and rate and rate.pchip is not None:
                assert results.anchor is not None
                word = "fewer" if rate.pchip < 0 else "more"
                sentences.append(
                    f"{curve.title} needs {abs(rate.pchip):.1f} % {word} bits than "
                    f"{results.anchor.title} at equal PSNR ({rate.low:.1f} to {rate.high:.1f} dB)"
                    + _by_picture(comparison)
                )
    return sentences


def _by_picture(comparison: Comparison) -> str:
    if comparison.worst is None or len(comparison.pictures) == 1:
        return "."
    name, value = comparison.worst
    return (
        f"; median of the pictures {_signed(comparison.median)}, worst {_signed(value)} ({name})."
    )


def markdown(table: Table) -> str:
    """A table for a Markdown file."""
    head, rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
