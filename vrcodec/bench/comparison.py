"""BD-rates of every curve against one of them, the anchor."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vrcodec.bench.bdrate import BdRate
from vrcodec.bench.curves import Curve, compare_columns, explain_lack
from vrcodec.errors import UsageError


@dataclass(frozen=True)
class Comparison:
    """A curve's BD-rates in per cent against the anchor.

    ``pooled``: of the mean curves; ``pictures``: of each picture that both have. ``lack`` and ``lacks``: why
    there is none, for where there is none.
    """

    curve: str
    metric: str
    pooled: BdRate | None
    pictures: dict[str, float] = field(default_factory=dict)
    lack: str = ""
    lacks: dict[str, str] = field(default_factory=dict)

    @property
    def median(self) -> float | None:
        """Median BD-rate of the pictures."""
        return statistics.median(self.pictures.values()) if self.pictures else None

    @property
    def worst(self) -> tuple[str, float] | None:
        """The picture with the highest BD-rate."""
        return max(self.pictures.items(), key=lambda item: item[1], default=None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "pooled": asdict(self.pooled) if self.pooled else None,
            "median_of_pictures": self.median,
            "pictures": self.pictures,
        }


def choose_anchor(curves: Sequence[Curve], name: str | None) -> Curve | None:
    """The curve called ``name``; without a name the first that is not ours.

    None when there is no such curve.
    """
    if name is None:
        return next((curve for curve in curves if not curve.is_ours), None)
    return next((curve for curve in curves if curve.name == name), None)


def check_anchor(name: str | None, known: Sequence[str]) -> None:
    """Raise UsageError, before anything is measured, when no curve will be called ``name``."""
    if name is not None and name not in known:
        raise UsageError(f"no curve {name!r} to compare with; there are: {', '.join(known)}")


def compare_to_anchor(anchor: Curve, curves: Sequence[Curve], metric: str) -> list[Comparison]:
    """Every other curve against ``anchor``."""
    return [_compare_curve(anchor, curve, metric) for curve in curves if curve is not anchor]


def _compare_curve(anchor: Curve, curve: Curve, metric: str) -> Comparison:
    pictures, lacks = {}, {}
    for name, columns in curve.pictures.items():
        if name not in anchor.pictures:
            continue
        rate = compare_columns(anchor.pictures[name], columns, metric)
        if rate and rate.pchip is not None:
            pictures[name] = rate.pchip
        else:
            lacks[name] = explain_lack(anchor.pictures[name], columns, metric)
    pooled = compare_columns(anchor.columns, curve.columns, metric)
    lack = explain_lack(anchor.columns, curve.columns, metric)
    return Comparison(curve.name, metric, pooled, pictures, lack, lacks)
