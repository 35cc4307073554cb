"""Results of a benchmark: curves and comparisons, as JSON in CompressAI's shape and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vrcodec.bench.comparison import Comparison, choose_anchor, compare_to_anchor
from vrcodec.bench.curves import ALIASES, Curve, build_curve
from vrcodec.bench.runner import Outcome, PictureInfo, Plan
from vrcodec.extras import is_installed


@dataclass(frozen=True)
class Results:
    """Everything to report: measured curves first, ours before rivals, then published ones.

    ``provenance``: machine, versions, weights, command line.
    """

    curves: list[Curve]
    pictures: list[PictureInfo]
    anchor: Curve | None
    comparisons: dict[str, list[Comparison]]
    provenance: dict[str, Any]
    problems: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def our_curves(self) -> list[Curve]:
        """The curves of our families."""
        return [curve for curve in self.curves if curve.is_ours]

    def document(self) -> dict[str, Any]:
        """For JSON. Its top level is the first of our curves in CompressAI's results shape, or null."""
        first = _curve_document(self.our_curves[0]) if self.our_curves else {}
        return {
            **{key: first.get(key) for key in ("name", "description", "results")},
            "curves": [_curve_document(curve) for curve in self.curves],
            "bd_rate": {
                "anchor": self.anchor.name if self.anchor else None,
                **{
                    metric: {c.curve: c.as_dict() for c in comparisons}
                    for metric, comparisons in self.comparisons.items()
                },
            },
            "pictures": [asdict(info) for info in self.pictures],
            **self.provenance,
            "problems": self.problems,
            "interrupted": self.interrupted,
        }


def _curve_document(curve: Curve) -> dict[str, Any]:
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


def gather_results(
    plan: Plan,
    outcome: Outcome,
    published: Sequence[Curve],
    anchor: str | None,
    provenance: dict[str, Any],
) -> Results:
    """The curves of ``outcome`` and the ``published`` ones, and all of them against the anchor."""
    measured = [build_curve(codec, outcome) for codec in plan.codecs]
    curves = [curve for curve in measured if curve] + list(published if any(measured) else [])
    comparable = curves and is_installed("bjontegaard")
    chosen = choose_anchor(curves, anchor) if comparable else None
    comparisons = {m: compare_to_anchor(chosen, curves, m) for m in plan.metrics} if chosen else {}
    return Results(
        curves,
        outcome.complete_pictures(),
        chosen,
        comparisons,
        provenance,
        outcome.problems,
        outcome.interrupted,
    )


def as_csv(outcome: Outcome, metrics: Sequence[str]) -> str:
    """One row for each codec, picture and setting."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    sides = [f"{side}_{unit}" for side in ("encode", "decode") for unit in ("seconds", "mib")]
    head = ["codec", "picture", "width", "height", "setting", "bytes", "bpp"]
    writer.writerow([*head, *metrics, *sides])
    for codec, by_picture in outcome.samples.items():
        for name, samples in by_picture.items():
            info = outcome.pictures[name]
            for s in samples:
                size = [info.width, info.height, s.setting, s.bytes, 8 * s.bytes / info.pixels]
                costs = [s.encode.seconds, s.encode.mib, s.decode.seconds, s.decode.mib]
                writer.writerow([codec, name, *size, *(s.quality[m] for m in metrics), *costs])
    return buffer.getvalue()
