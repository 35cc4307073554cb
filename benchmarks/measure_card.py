"""Measure weights on a folder of pictures; write the figures into their card and the README.

    python benchmarks/measure_card.py gained /path/to/kodak [--anchors kodak.json] [--dry-run]

Rates 0, 0.1 .. 1 from real files; BD-rates against Pillow's JPEG and WebP on the same pictures and, with
--anchors, against the published curve of VTM-18; bits estimated from the tables against bytes written;
pictures on which a higher rate gave fewer bytes or a worse picture.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vrcodec.bench.estimate import counted_bits
from vrcodec.bench.measure import load_folder, mean_curve, measure_model, measure_rival, steps_back
from vrcodec.bench.metrics import bd_rate
from vrcodec.bench.report import card_table
from vrcodec.bench.rivals import RIVALS
from vrcodec.catalog import find_by_family
from vrcodec.codec import Engine
from vrcodec.training.export import write_card

README = Path(__file__).parents[1] / "README.md"
RATES = tuple(step / 10 for step in range(11))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("family")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--anchors", type=Path)
    parser.add_argument("--dry-run", action="store_true", help="print, leave card and README alone")
    arguments = parser.parse_args()
    entry = find_by_family(arguments.family)
    figures = measure(arguments.family, arguments.folder, arguments.anchors)
    print(json.dumps(figures, indent=1))
    if arguments.dry_run:
        return
    card = {**entry.card, **figures}
    write_card(entry.path.with_suffix(".json"), card)
    update_readme(card_table(card))


def update_readme(table: str) -> None:
    """Put ``table`` between the marks of the README."""
    start, end = "<!-- results -->\n", "\n<!-- end of results -->"
    before, _, rest = README.read_text().partition(start)
    README.write_text(before + start + table + end + rest.partition(end)[2])


def measure(family: str, folder: Path, anchors: Path | None) -> dict[str, Any]:
    """All figures of one family on one folder."""
    pictures = load_folder(folder)
    with counted_bits() as estimated:
        samples = measure_model(family, pictures, RATES, Engine())
    sizes = {p: picture.width * picture.height for p, picture in pictures.items()}
    written = sum(sample.bpp * sizes[sample.picture] for sample in samples)
    curve = mean_curve(samples)
    return {
        "pictures": {"folder": folder.name, "count": len(pictures)},
        "curve": [{key: round(value, 5) for key, value in point.items()} for point in curve],
        "bd_rate_percent": _bd_rates(curve, pictures, anchors),
        "written_over_estimated": round(written / sum(estimated), 5),
        "not_monotone": {
            "bytes": steps_back(samples, lambda s: s.bpp),
            "psnr": steps_back(samples, lambda s: s.psnr),
        },
    }


def _bd_rates(
    curve: list[dict[str, float]], pictures: Any, anchors: Path | None
) -> dict[str, float]:
    own = [p["bpp"] for p in curve], [p["psnr"] for p in curve]
    rates = {}
    for rival in RIVALS:
        theirs = mean_curve(measure_rival(rival, pictures))
        anchor = [p["bpp"] for p in theirs], [p["psnr"] for p in theirs]
        rates[rival.name] = round(bd_rate(*anchor, *own), 2)
    if anchors:
        vtm = json.loads(anchors.read_text())["vtm18"]
        rates["vtm18"] = round(bd_rate(vtm["bpp"], vtm["psnr"], *own), 2)
    return rates


if __name__ == "__main__":
    main()
