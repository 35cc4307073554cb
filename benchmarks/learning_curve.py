"""Learning curves: BD-rate over training samples. Writes part of docs/TRAINING.md and its picture.

    python -m benchmarks.learning_curve

All figures come from the cards in weights/, each of whose stages keeps what was measured at its end.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.documents import replace_blocks
from vrcodec.bench.summary import markdown
from vrcodec.training.recipes import FAMILIES

ROOT = Path(__file__).parents[1]
DOCUMENT, PLOT = ROOT / "docs" / "TRAINING.md", ROOT / "docs" / "learning.svg"
# The five widths of `slim` share what is learnt: its curve is another one.
_NOT_FITTED = "slim"
_PREDICTED_FACTOR = 10


@dataclass(frozen=True, order=True)
class Point:
    """Weights at the end of a stage: ``samples`` of all stages, BD-rates (PSNR) in per cent by anchor."""

    samples: int
    family: str
    webp: float
    vtm18: float

    @property
    def distance(self) -> float:
        """Logarithm of the bits, those of VTM-18 being 1."""
        return math.log1p(self.vtm18 / 100)


def main() -> None:
    points = shipped_points()
    draw(points).savefig(PLOT, metadata={"Date": None})
    DOCUMENT.write_text(replace_blocks(DOCUMENT.read_text(), {"learning": learning_table(points)}))


def shipped_points() -> list[Point]:
    """The points of the cards in weights/."""
    return card_points(json.loads((ROOT / "weights" / f"{f}.json").read_text()) for f in FAMILIES)


def card_points(cards: Iterable[dict[str, object]]) -> list[Point]:
    """One point for each measured stage of training; the samples of other stages count, too."""
    points = set()
    for card in cards:
        stages = card["training"]
        assert isinstance(stages, list)
        for stage, samples in zip(stages, accumulate(s["samples"] for s in stages), strict=True):
            rates = stage.get("bd_rate_percent")
            # By PSNR, the stages that were trained for it can be compared; samples of a part alone are
            # another thing.
            if rates and stage.get("tune", "psnr") == "psnr" and "learns" not in stage:
                points.add(Point(samples, stage["family"], rates["webp"], rates["vtm18"]))
    return sorted(points)


def slope(points: Iterable[Point]) -> float:
    """Slope of the distance over the logarithm of samples: least squares, parallel lines for the families."""
    families: dict[str, list[Point]] = {}
    for point in points:
        if point.family != _NOT_FITTED:
            families.setdefault(point.family, []).append(point)
    covariance = variance = 0.0
    for family in families.values():
        x = [math.log(p.samples) for p in family]
        y = [p.distance for p in family]
        mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
        covariance += sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
        variance += sum((a - mean_x) ** 2 for a in x)
    return covariance / variance


def predict(points: list[Point]) -> list[Point]:
    """The last point of each family, by samples, extrapolated to ten times the samples."""
    gain = math.exp(slope(points) * math.log(_PREDICTED_FACTOR))
    last = {p.family: p for p in points if p.family != _NOT_FITTED}
    return [
        Point(
            p.samples * _PREDICTED_FACTOR,
            p.family,
            100 * ((1 + p.webp / 100) * gain - 1),
            100 * ((1 + p.vtm18 / 100) * gain - 1),
        )
        for p in sorted(last.values())
    ]


def learning_table(points: list[Point]) -> str:
    """The measured points, and those predicted for ten times the samples."""
    rows = [(p, f"{p.samples:,}") for p in points]
    rows += [(p, f"predicted: {p.samples / 1e6:.1f} million") for p in predict(points)]
    cells = [[words, f"`{p.family}`", f"{p.webp:+.1f} %", f"{p.vtm18:+.1f} %"] for p, words in rows]
    head = ["samples, all stages", "family", "against WebP", "against VTM-18"]
    each = 100 * math.expm1(slope(points) * math.log(2))
    words = f"Within a family, twice the samples change the bits by {each:+.1f} %."
    return f"{markdown((head, cells))}\n\n{words}"


def draw(points: list[Point]) -> Figure:
    """BD-rate against VTM-18 over samples, both logarithmic; what is predicted is dotted."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    predicted = {p.family: p for p in predict(points)}
    for family in FAMILIES:
        measured = [p for p in points if p.family == family]
        (line,) = axes.plot(
            [p.samples for p in measured], [100 + p.vtm18 for p in measured], "o-", label=family
        )
        if family in predicted:
            ends = (measured[-1], predicted[family])
            axes.plot(
                [p.samples for p in ends],
                [100 + p.vtm18 for p in ends],
                ":",
                color=line.get_color(),
            )
    axes.axhline(100, color="grey", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="crops of 256x256 that were learnt from")
    ticks = range(90, 200, 10)
    axes.set_yticks(ticks, [str(t) for t in ticks])
    axes.set_yticks([], minor=True)
    axes.set_ylabel("bits at equal PSNR, VTM-18 = 100")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


if __name__ == "__main__":
    main()
