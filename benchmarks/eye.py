"""Measure the families as the eye sees them: both tunes of their weights, with rivals, against AVIF.

    python -m benchmarks.eye /path/to/kodak [--first N] [--jobs N] [--resume]

Writes docs/EYE.md, the figures of the cards in weights/ that are tuned for SSIMULACRA 2, and the table of the
README. Curves that others have published are means over all 24 pictures by PSNR, and stand in docs/RESULTS.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.documents import replace_blocks
from benchmarks.results import (
    METRICS,
    RATES,
    ROOT,
    bd_rates,
    card_points,
    find_regressions,
    measure,
)
from vrcodec.bench.card import card_table
from vrcodec.bench.codecs import Family
from vrcodec.bench.curves import Curve
from vrcodec.bench.request import Request, collect_provenance
from vrcodec.bench.results import Results, gather_results
from vrcodec.bench.runner import Outcome
from vrcodec.bench.summary import codec_table, curve_table, markdown
from vrcodec.catalog import DEFAULT_MODEL, DEFAULT_TUNE, find_by_family
from vrcodec.picture.folders import find_pictures
from vrcodec.training.export import write_card

DOCUMENT = ROOT / "docs" / "EYE.md"
README = ROOT / "README.md"
ANCHOR = "avif"
RIVAL_NAMES = ("jpeg420", "mozjpeg", "webp", "avif", "avif-psnr", "avif-ssimulacra2", "jxl")
# What a card is compared with: key in the card -> curve.
CARD_ANCHORS = {
    "jpeg": "jpeg420",
    "webp": "webp",
    "avif": "avif",
    "avif_ssimulacra2": "avif-ssimulacra2",
    "jxl": "jxl",
}
# Columns of times at the end of a curve's table.
_TIMES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, help="so many pictures; default: all")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    request = Request(
        tuple(find_pictures([arguments.folder])[: arguments.first]),
        models=("all",),
        tunes=("psnr", "ssimulacra2"),
        rates=RATES,
        rivals=RIVAL_NAMES,
        metrics=METRICS,
        resume=arguments.resume,
        jobs=arguments.jobs,
    )
    plan, outcome = measure(request)
    results = gather_results(plan, outcome, [], ANCHOR, collect_provenance(request, plan))
    tuned = [c for c in plan.codecs if isinstance(c, Family) and c.aim == DEFAULT_TUNE]
    for family in tuned:
        curve = next(curve for curve in results.curves if curve.name == family.name)
        update_card(family, curve, results, outcome, arguments.folder.name)
    blocks = {"pictures": f"{len(results.pictures)} of the 24 Kodak pictures", **_tables(results)}
    blocks["points"] = "\n\n".join(_points(family, results) for family in tuned)
    DOCUMENT.write_text(replace_blocks(DOCUMENT.read_text(), blocks))
    table = card_table(find_by_family(DEFAULT_MODEL).card)
    README.write_text(replace_blocks(README.read_text(), {"results": table}))


def _tables(results: Results) -> dict[str, str]:
    versions = ", ".join(f"{n} {v}" for n, v in results.provenance["versions"].items())
    return {"codecs": markdown(codec_table(results, METRICS)), "versions": versions + "."}


def _points(family: Family, results: Results) -> str:
    """The curve of a family, point by point."""
    curve = next(curve for curve in results.curves if curve.name == family.name)
    head, rows = curve_table(curve, METRICS)
    # Without the times: other work may have gone on. docs/PERFORMANCE.md has them.
    table = head[:-_TIMES], [row[:-_TIMES] for row in rows]
    return f"### {curve.title}, weights `{family.weights}`\n\n{markdown(table)}"


def update_card(
    family: Family, curve: Curve, results: Results, outcome: Outcome, folder: str
) -> None:
    """Put the figures of ``family`` into its card."""
    samples = outcome.samples[family.name]
    by_metric = {
        metric: bd_rates(curve, results.curves, metric, CARD_ANCHORS) for metric in METRICS
    }
    rates = by_metric.pop("psnr")
    card = family.entry.card
    card["training"][-1] |= {"id": card["id"], "bd_rate_percent": rates}
    write_card(
        family.entry.path.with_suffix(".json"),
        {
            **card,
            "pictures": {"folder": folder, "count": len(samples)},
            "curve": card_points(curve),
            "bd_rate_percent": rates,
            "bd_rate_percent_by_metric": by_metric,
            "not_monotone": {
                "bytes": find_regressions(samples, lambda s: s.bytes),
                "ssimulacra2": find_regressions(samples, lambda s: s.quality["ssimulacra2"] or 0.0),
            },
        },
    )


if __name__ == "__main__":
    main()
