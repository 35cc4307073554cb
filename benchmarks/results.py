"""Measure every family on the Kodak pictures, with rivals and published curves.

    python -m benchmarks.results /path/to/kodak [--jobs N] [--resume]

Writes docs/RESULTS.md and docs/results.svg, the figures of the cards in weights/ that are tuned for PSNR, and
the table of docs/FAMILIES.md. `make results KODAK=/path/to/kodak` runs it in an environment of its own. Sizes
and quality are measured by N processes; then times, by one, on some of the pictures: leave the machine alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.documents import replace_blocks
from benchmarks.rate_differences import difference_table
from vrcodec.bench.card import families_table
from vrcodec.bench.codecs import Family
from vrcodec.bench.curve_plot import plot_curves
from vrcodec.bench.curves import Curve, compare_columns, read_curves
from vrcodec.bench.measure import Sample
from vrcodec.bench.request import Request, collect_provenance, make_plan
from vrcodec.bench.results import Results, gather_results
from vrcodec.bench.runner import Outcome, Plan, run_plan
from vrcodec.bench.summary import (
    Table,
    codec_table,
    cost_table,
    curve_table,
    markdown,
    picture_table,
    summarise,
)
from vrcodec.bitstream.information_content import record_bits
from vrcodec.catalog import installed_weights
from vrcodec.cli.shared.output import progress_bar
from vrcodec.codec import Encoder
from vrcodec.picture.folders import find_pictures, read_folder
from vrcodec.rate import code_from_rate
from vrcodec.training.export import write_card

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "RESULTS.md"
PLOT = ROOT / "docs" / "results.svg"
FAMILIES_PAGE = ROOT / "docs" / "FAMILIES.md"
PUBLISHED = Path(__file__).parent / "published"

RATES = tuple(step / 10 for step in range(11))
METRICS = ("psnr", "ssimulacra2", "ms-ssim", "haarpsi")
# One picture in so many is timed.
TIMED_EVERY = 8
PLOTTED_METRICS = METRICS[:2]
# What a card is compared with: key in the card -> curve.
CARD_ANCHORS = {
    "jpeg": "jpeg420",
    "webp": "webp",
    "avif": "avif",
    "avif_ssimulacra2": "avif-ssimulacra2",
    "vtm18": "VTM 18.0 (VVC intra)",
}
# What our curves are compared with point by point.
COMPARED_POINTWISE = ("webp", "avif", "avif-psnr", CARD_ANCHORS["vtm18"])
COMMAND = "make results KODAK=/path/to/kodak"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    request = Request(
        (arguments.folder,),
        models=("all",),
        tunes=("psnr",),
        rates=RATES,
        rivals=("all",),
        metrics=METRICS,
        resume=arguments.resume,
        jobs=arguments.jobs,
    )
    plan, outcome = measure(request)
    provenance = collect_provenance(request, plan)
    published = [c for path in sorted(PUBLISHED.glob("*.json")) for c in read_curves(path)]
    against_jpeg = gather_results(plan, outcome, published, "jpeg420", provenance)
    against_vtm = gather_results(plan, outcome, published, CARD_ANCHORS["vtm18"], provenance)
    timed = measure_times(request)
    PLOT.write_bytes(plot_curves(against_jpeg.curves, PLOTTED_METRICS, "svg"))
    families = {codec.name: codec for codec in plan.codecs if isinstance(codec, Family)}
    for family in families.values():
        update_card(family, against_jpeg.curves, timed, outcome, arguments.folder)
    DOCUMENT.write_text(document(against_jpeg, against_vtm, timed, families))
    table = families_table(e.card for e in installed_weights() if e.tune == "psnr")
    FAMILIES_PAGE.write_text(replace_blocks(FAMILIES_PAGE.read_text(), {"families": table}))


def measure(request: Request) -> tuple[Plan, Outcome]:
    """What was asked for, all of it measured."""
    plan = make_plan(request, print)
    with progress_bar(len(plan.paths) * len(plan.codecs)) as step:
        outcome = run_plan(plan, lambda word: step())
    if outcome.problems or outcome.interrupted:
        raise SystemExit("\n".join(outcome.problems) or "interrupted; --resume goes on")
    return plan, outcome


def measure_times(request: Request) -> Results:
    """The same for some of the pictures, one after the other, for the times."""
    paths = tuple(find_pictures(request.paths)[::TIMED_EVERY])
    alone = replace(request, paths=paths, metrics=METRICS[:1], jobs=1)
    plan, outcome = measure(alone)
    return gather_results(plan, outcome, [], "jpeg420", collect_provenance(alone, plan))


def document(
    against_jpeg: Results, against_vtm: Results, timed: Results, families: Mapping[str, Family]
) -> str:
    """The text of docs/RESULTS.md. ``families``: by the names of their curves."""
    machine, versions = timed.provenance["machine"], timed.provenance["versions"]
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    sections = [
        "# Results",
        f"Written by `{COMMAND}`; do not edit. Means over the {len(against_jpeg.pictures)} Kodak "
        "pictures, from the sizes of real files; every file was read back and decoded. "
        f"{machine['cpu']}, {machine['threads']} threads. {libraries}.",
        "![Rate-distortion curves](results.svg)",
        "\n".join(f"- {sentence}" for sentence in summarise(against_jpeg) + summarise(against_vtm)),
        "## Against JPEG 4:2:0",
        "BD-rate: difference in bits at equal quality, negative is fewer; PCHIP, Akima in brackets; over "
        "the range of quality that both curves cover. MS-SSIM and HaarPSI are compared in dB. Codecs without "
        "times below are published curves.",
        markdown(codec_table(against_jpeg, METRICS)),
        "## Against VTM 18.0",
        markdown(codec_table(against_vtm, PLOTTED_METRICS[:1])),
        "## Along the curves",
        "Difference in bits at equal PSNR, by straight lines between the points of the mean curves.",
        markdown(difference_table(against_jpeg.our_curves, _pointwise_rivals(against_jpeg.curves))),
        "## Speed and memory",
        f"Seconds for a 768x512 picture, warm, with file, means over {len(timed.pictures)} of the pictures; "
        "megapixels a second; peak memory beyond what was there before (libraries, weights and the picture). "
        "Our encoder and decoder use all threads, as do those of AVIF and JPEG XL.",
        markdown(cost_table(timed)),
        "## Our families, point by point",
        *(_family_section(curve, families[curve.name]) for curve in against_jpeg.our_curves),
        "## Each picture: BD-rate (PSNR) against JPEG 4:2:0",
        markdown(picture_table(against_jpeg, "psnr")),
        "## Settings and sources",
        "\n".join(f"- {curve.title}: {curve.description}" for curve in against_jpeg.curves),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _pointwise_rivals(curves: Sequence[Curve]) -> list[Curve]:
    return [c for c in curves if c.name in COMPARED_POINTWISE]


def _family_section(curve: Curve, family: Family) -> str:
    training = family.entry.card.get("training", [])
    samples = sum(stage.get("samples", 0) for stage in training)
    hours = sum(stage.get("hours", 0) for stage in training)
    words = f"Trained for {samples:,} samples in {hours:.1f} hours. BD-rate (PSNR) along the way:"
    points = markdown(curve_table(curve, METRICS))
    return f"### {curve.name}\n\n{words}\n\n{markdown(_progress_table(training))}\n\n{points}"


def _progress_table(training: Sequence[dict[str, Any]]) -> Table:
    """BD-rates in percent after each stage of training that was measured."""
    rows, samples = [], 0
    for stage in training:
        samples += stage.get("samples", 0)
        if rates := stage.get("bd_rate_percent"):
            against = (f"{rates[key]:+.1f} %" if key in rates else "" for key in CARD_ANCHORS)
            rows.append([f"{samples:,}", *against])
    return ["samples", *CARD_ANCHORS], rows


def update_card(
    family: Family, curves: Sequence[Curve], timed: Results, outcome: Outcome, folder: Path
) -> None:
    """Put the figures of ``family`` into its card."""
    entry = family.entry
    curve, times = (
        next(curve for curve in found if curve.name == family.name)
        for found in (curves, timed.curves)
    )
    samples = outcome.samples[family.name]
    rates = bd_rates(curve, curves, "psnr", CARD_ANCHORS)
    if training := entry.card.get("training"):
        training[-1] |= {"id": entry.card["id"], "bd_rate_percent": rates}
    card = {
        **entry.card,
        "pictures": {"folder": folder.name, "count": len(samples)},
        "curve": card_points(curve, times),
        "bd_rate_percent": rates,
        "bd_rate_percent_by_metric": {
            metric: bd_rates(curve, curves, metric, CARD_ANCHORS) for metric in METRICS[1:]
        },
        "written_over_estimated": _written_over_estimated(family, folder, samples),
        "not_monotone": {
            "bytes": find_regressions(samples, lambda s: s.bytes),
            "psnr": find_regressions(samples, lambda s: s.quality["psnr"] or 0.0),
        },
    }
    write_card(entry.path.with_suffix(".json"), card)


def card_points(curve: Curve, times: Curve | None = None) -> list[dict[str, float]]:
    """The points of a curve for a card; with ``times``, those of that one."""
    columns = {n.replace("-", "_"): curve.columns[n] for n in ("setting", "bpp", *METRICS)}
    if times is not None:
        columns["encode_seconds"] = times.columns["encoding_time"]
        columns["decode_seconds"] = times.columns["decoding_time"]
    rows = zip(*columns.values(), strict=True)
    return [{k: round(v, 5) for k, v in zip(columns, row, strict=True)} for row in rows]


def bd_rates(
    curve: Curve, curves: Sequence[Curve], metric: str, anchors: Mapping[str, str]
) -> dict[str, float]:
    """BD-rates in percent against those of ``anchors`` (key -> curve) that were measured by ``metric``."""
    by_name = {other.name: other for other in curves}
    rates = {}
    for key, name in anchors.items():
        if name not in by_name:
            continue
        rate = compare_columns(by_name[name].columns, curve.columns, metric)
        if rate and rate.pchip is not None:
            rates[key] = round(rate.pchip, 2)
    return rates


def _written_over_estimated(
    family: Family, folder: Path, samples: dict[str, list[Sample]]
) -> float:
    """Bytes of files over what the tables promise for their symbols, of the pictures that are timed."""
    encoder = Encoder(family.family, family.engine, family.tune)
    pictures = dict(list(read_folder(folder).items())[::TIMED_EVERY])
    with record_bits() as estimated:
        for picture in pictures.values():
            latents = encoder.analyse(picture)
            for rate in RATES:
                encoder.encode(picture, code_from_rate(rate), latents)
    written = sum(8 * sample.bytes for name in pictures for sample in samples[name])
    return round(written / sum(estimated), 5)


def find_regressions(
    samples: dict[str, list[Sample]], value: Callable[[Sample], float]
) -> list[str]:
    """Pictures for which ``value`` falls somewhere when the rate rises."""
    return [
        name
        for name, picture_samples in samples.items()
        if any(
            value(b) < value(a)
            for a, b in pairwise(sorted(picture_samples, key=lambda s: s.setting))
        )
    ]


if __name__ == "__main__":
    main()
