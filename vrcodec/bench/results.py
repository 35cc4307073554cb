"""The outcome of a benchmark as a document: JSON in CompressAI's shape, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vrcodec.bench.comparison import Comparison, choose_anchor, comparisons
from vrcodec.bench.curves import ALIASES, Curve, curve_of
from vrcodec.bench.runner import Outcome, PictureInfo, Plan


@dataclass(frozen=True)
class Results:
    """Everything that is reported: measured curves first, ours before rivals, then published ones.

    ``context``: machine, versions, weights, command line.
    """

    curves: list[Curve]
    pictures: list[PictureInfo]
    anchor: Curve | None
    comparisons: dict[str, list[Comparison]]
    context: dict[str, Any]
    problems: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def own(self) -> list[Curve]:
        """The curves of our families."""
        return [curve for curve in self.curves if curve.own]

    def document(self) -> dict[str, Any]:
        """For JSON. Its top level is the first of our curves in CompressAI's results shape."""
        first = _curve(self.curves[0]) if self.curves else {"name": None, "results": {}}
        return {
            **{key: first.get(key) for key in ("name", "description", "results")},
            "curves": [_curve(curve) for curve in self.curves],
            "bd_rate": {
                "anchor": self.anchor.name if self.anchor else None,
                **{
                    m: {c.curve: c.as_dict() for c in found}
                    for m, found in self.comparisons.items()
                },
            },
            "pictures": [asdict(info) for info in self.pictures],
            **self.context,
            "problems": self.problems,
            "interrupted": self.interrupted,
        }


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "name": curve.name,
        "title": curve.title,
        "description": curve.description,
        "results": {
            **curve.columns,
            **{
                alias: curve.columns[name]
                for name, alias in ALIASES.items()
                if name in curve.columns
            },
        },
        "results_of_pictures": curve.pictures,
        **curve.details,
    }


def gather(
    plan: Plan,
    outcome: Outcome,
    published: Sequence[Curve],
    anchor: str | None,
    context: dict[str, Any],
) -> Results:
    """Put curves and comparisons together."""
    measured = [curve_of(codec, outcome) for codec in plan.codecs]
    curves = [curve for curve in measured if curve] + list(published if any(measured) else [])
    chosen = choose_anchor(curves, anchor) if curves else None
    found = {m: comparisons(chosen, curves, m) for m in plan.metrics} if chosen else {}
    return Results(
        curves,
        outcome.complete(),
        chosen,
        found,
        context,
        outcome.problems,
        outcome.interrupted,
    )


def as_csv(outcome: Outcome, metrics: Sequence[str]) -> str:
    """One row for each codec, picture and setting."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    sides = [f"{side}_{what}" for side in ("encode", "decode") for what in ("seconds", "mib")]
    head = ["codec", "picture", "width", "height", "setting", "bytes", "bpp"]
    writer.writerow([*head, *metrics, *sides])
    for codec, of_codec in outcome.samples.items():
        for name, samples in of_codec.items():
            info = outcome.pictures[name]
            for s in samples:
                size = [info.width, info.height, s.setting, s.bytes, 8 * s.bytes / info.pixels]
                costs = [s.encode.seconds, s.encode.mib, s.decode.seconds, s.decode.mib]
                writer.writerow([codec, name, *size, *(s.quality[m] for m in metrics), *costs])
    return buffer.getvalue()
