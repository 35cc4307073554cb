"""How bits at equal PSNR fall with the crops learnt from. Writes part of docs/TRAINING.md and its picture.

    python -m benchmarks.learning

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

from benchmarks.common import with_blocks
from vrcodec.bench.summary import markdown
from vrcodec.training.recipes import FAMILIES

ROOT = Path(__file__).parents[1]
DOCUMENT, PLOT = ROOT / "docs" / "TRAINING.md", ROOT / "docs" / "learning.svg"
# Five widths share what `slim` learns: its curve is another one.
_NOT_FITTED = "slim"
_FURTHER = 10


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
    found = shipped()
    draw(found).savefig(PLOT, metadata={"Date": None})
    DOCUMENT.write_text(with_blocks(DOCUMENT.read_text(), {"learning": table(found)}))


def shipped() -> list[Point]:
    """Those of the cards in weights/."""
    return points(json.loads((ROOT / "weights" / f"{f}.json").read_text()) for f in FAMILIES)


def points(cards: Iterable[dict[str, object]]) -> list[Point]:
    """What the cards know, each stage once; stages at whose end nothing was measured only count as samples."""
    found = set()
    for card in cards:
        stages = card["training"]
        assert isinstance(stages, list)
        for stage, samples in zip(stages, accumulate(s["samples"] for s in stages), strict=True):
            rates = stage.get("bd_rate_percent")
            if rates:
                found.add(Point(samples, stage["family"], rates["webp"], rates["vtm18"]))
    return sorted(found)


def slope(found: Iterable[Point]) -> float:
    """Of the distance over the logarithm of samples: least squares, parallel lines for the families."""
    own: dict[str, list[Point]] = {}
    for point in found:
        if point.family != _NOT_FITTED:
            own.setdefault(point.family, []).append(point)
    above = below = 0.0
    for family in own.values():
        x = [math.log(p.samples) for p in family]
        y = [p.distance for p in family]
        middle, level = sum(x) / len(x), sum(y) / len(y)
        above += sum((a - middle) * (b - level) for a, b in zip(x, y, strict=True))
        below += sum((a - middle) ** 2 for a in x)
    return above / below


def further(found: list[Point]) -> list[Point]:
    """The last weights of each family in ``found``, ascending, moved along to ten times the samples."""
    gain = math.exp(slope(found) * math.log(_FURTHER))
    last = {p.family: p for p in found if p.family != _NOT_FITTED}
    return [
        Point(
            p.samples * _FURTHER,
            p.family,
            100 * ((1 + p.webp / 100) * gain - 1),
            100 * ((1 + p.vtm18 / 100) * gain - 1),
        )
        for p in sorted(last.values())
    ]


def table(found: list[Point]) -> str:
    """The measured points, and what the slope makes of ten times as much."""
    rows = [(p, f"{p.samples:,}") for p in found]
    rows += [(p, f"predicted: {p.samples / 1e6:.1f} million") for p in further(found)]
    cells = [[words, f"`{p.family}`", f"{p.webp:+.1f} %", f"{p.vtm18:+.1f} %"] for p, words in rows]
    head = ["samples, all stages", "family", "against WebP", "against VTM-18"]
    each = 100 * math.expm1(slope(found) * math.log(2))
    words = f"Within a family, twice the samples change the bits by {each:+.1f} %."
    return f"{markdown((head, cells))}\n\n{words}"


def draw(found: list[Point]) -> Figure:
    """BD-rate against VTM-18 over samples, both logarithmic; what is predicted is dotted."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    predicted = {p.family: p for p in further(found)}
    for family in FAMILIES:
        own = [p for p in found if p.family == family]
        (line,) = axes.plot(
            [p.samples for p in own], [100 + p.vtm18 for p in own], "o-", label=family
        )
        if family in predicted:
            ends = (own[-1], predicted[family])
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
