"""Bits and seconds of each encoder effort. Writes docs/EFFORT.md and its picture.

    python -m benchmarks.effort /path/to/kodak [--part curves|seconds|rivals|tune|eye] [--families qvrf,slim]
        [--efforts 0,1,3,5,7,9] [--every 6] [--count 2] [--rates 0.2,0.4,0.6,0.8] [--cache FOLDER] [--jobs 2]

Measured files are cached: the script can be interrupted, and run family by family and effort by effort, on
several machines when their results.jsonl are put together. After a change of the search,
name another --cache. The table of bits is added to, row by row, and so are seconds as long as the machine is
the same, and the part eye as long as effort, rates and pictures are; seconds want an idle machine, in the
parts seconds and rivals. The other tables hold what was asked for last.

Every figure is of real files that were decoded again. What the tables and the picture are made of is kept in
benchmarks/effort.json. The tables of the document are replaced; its words stay.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from benchmarks.effort_page import EYE_METRICS, METRICS, TIMED_RATE, TUNES, Record, write_page
from benchmarks.timing import median_seconds, photograph
from vrcodec import __version__
from vrcodec.bench.codecs import Codec, Family, choose_families
from vrcodec.bench.curves import Curve, build_curve, compare_columns
from vrcodec.bench.machine import describe_machine
from vrcodec.bench.request import Request, make_plan
from vrcodec.bench.rivals import RIVALS, Rival, choose_rivals, expand_efforts
from vrcodec.bench.runner import run_plan
from vrcodec.catalog import find_by_family
from vrcodec.cli.shared.output import progress_bar
from vrcodec.engine import Engine
from vrcodec.picture.folders import find_pictures
from vrcodec.picture.picture import Picture
from vrcodec.refinement.effort import Tune

RECORD = Path(__file__).with_suffix(".json")
PARTS = ("curves", "seconds", "rivals", "tune", "eye")
EFFORTS = (0, 1, 3, 5, 7, 9)
RATES = (0.2, 0.4, 0.6, 0.8)
RIVALS_WITH_EFFORTS = tuple(name for name, rival in RIVALS.items() if rival.effort_scale)
ANCHOR = "jpeg420"
# The parts tune and eye: one effort, every fourth picture; tune is of one family.
TUNE_FAMILY, TUNE_EFFORT, TUNE_EVERY = "qvrf", 7, 4
# Timing: repeats, and the effort from which one run is enough.
TIMED_REPEATS, LONG_EFFORT = 3, 7

Change = Callable[[float, float], float]


@dataclass(frozen=True)
class Selection:
    """What to measure: the first ``count`` of every ``every``-th picture, at efforts including 0."""

    folder: Path
    families: tuple[str, ...]
    efforts: tuple[int, ...]
    rates: tuple[float, ...]
    every: int | None
    count: int | None
    tune_effort: int
    cache: Path | None
    jobs: int

    def request(
        self,
        models: tuple[str, ...],
        efforts: tuple[int, ...],
        every: int,
        tunes: tuple[Tune, ...] = ("psnr",),
        metrics: tuple[str, ...] = METRICS,
    ) -> Request:
        """The options of `vrcodec bench`, resuming from the cache."""
        return Request(
            tuple(find_pictures((self.folder,))[:: self.every or every][: self.count]),
            models=models,
            rates=self.rates,
            efforts=efforts,
            tunes=tunes,
            rivals=(ANCHOR,),
            metrics=metrics,
            resume=True,
            cache=self.cache,
            jobs=self.jobs,
        )


def main() -> None:
    parts, selection = _arguments()
    record = read_record()
    measure = {
        "curves": measure_curves,
        "seconds": measure_seconds,
        "rivals": measure_rivals,
        "tune": measure_tuning,
        "eye": measure_eye,
    }
    for part in parts:
        measure[part](selection, record)
        write_record(record)
    write_page(record)


def _arguments() -> tuple[Sequence[str], Selection]:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--families", default="all")
    parser.add_argument("--efforts", default=",".join(map(str, EFFORTS)))
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--every", type=int, help=f"default: 1, and {TUNE_EVERY} for tune and eye")
    parser.add_argument("--count", type=int, help="stop after so many of these; default: all")
    parser.add_argument("--tune-effort", type=int, default=TUNE_EFFORT)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    given = vars(parser.parse_args())
    part = given.pop("part")
    given["families"] = tuple(given["families"].split(","))
    given["efforts"] = tuple(sorted({0, *map(int, given["efforts"].split(","))}))
    given["rates"] = tuple(sorted(map(float, given["rates"].split(","))))
    return ([part] if part else PARTS), Selection(**given)


def read_record() -> Record:
    """What was measured so far."""
    record: Record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    return record


def write_record(record: Record) -> None:
    """Save what was measured so far."""
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


def measure_request(
    request: Request, others: Sequence[Codec] | None = None
) -> tuple[Sequence[Codec], dict[str, Curve]]:
    """The codecs of ``request``, or ``others`` in their place, and their curves by name."""
    request.check()
    plan = make_plan(request, print)
    # Not keyed by machine: only sizes count, and they hardly differ between machines.
    plan = replace(
        plan,
        conditions=f"efforts with vrcodec {__version__}",
        codecs=others or plan.codecs,
        memory=False,
    )
    with progress_bar(len(plan.paths) * len(plan.codecs)) as step:
        outcome = run_plan(plan, lambda word: step())
    if outcome.problems or outcome.interrupted:
        raise SystemExit("\n".join(outcome.problems) or "interrupted; the same again goes on")
    curves = {codec.name: build_curve(codec, outcome) for codec in plan.codecs}
    return plan.codecs, {name: curve for name, curve in curves.items() if curve}


def bd_rate_percent(anchor: Curve, curve: Curve, metric: str = "psnr") -> float:
    """BD-rate against ``anchor``; NaN where they share no range of quality."""
    rate = compare_columns(anchor.columns, curve.columns, metric)
    return math.nan if rate is None or rate.pchip is None else rate.pchip


def measure_curves(selection: Selection, record: Record) -> None:
    """Bits of each family at each effort, against itself at effort 0."""
    codecs, curves = measure_request(
        selection.request(selection.families, selection.efforts, every=1)
    )
    families, plain_curves = _families(codecs, curves)
    rows = {}
    for codec in families:
        plain, curve = plain_curves[codec.family], curves[codec.name]
        rows[_key(codec)] = {
            "codec": codec.family,
            "setting": f"effort {codec.effort}",
            "weights": codec.weights,
            **_sample_size(selection, curves),
            **_bits(plain, curve, curves[ANCHOR]),
            "bits_each": _mean_of_pictures(plain, curve),
            "bytes": _mean_change(plain, curve, "bpp", lambda a, b: 100 * (b / a - 1)),
            "psnr": _mean_change(plain, curve, "psnr", lambda a, b: b - a),
        }
    all_rows = record.get("curves", {}).get("rows", {}) | rows
    record["curves"] = {"rates": list(selection.rates), "rows": dict(sorted(all_rows.items()))}


def _families(
    codecs: Sequence[Codec], curves: dict[str, Curve]
) -> tuple[list[Family], dict[str, Curve]]:
    """Ours of ``codecs``, at all efforts, and by family the curve of effort 0."""
    families = [codec for codec in codecs if isinstance(codec, Family)]
    return families, {own.family: curves[own.name] for own in families if not own.effort}


def _key(codec: Family | Rival) -> str:
    """Of its row: a family is called without what it aims at, for in all of these rows that is PSNR."""
    if isinstance(codec, Family):
        return f"{codec.family}-effort{codec.effort}" if codec.effort else codec.family
    return codec.name


def _bits(plain: Curve, curve: Curve, jpeg: Curve) -> dict[str, float]:
    return {
        "bits": bd_rate_percent(plain, curve),
        "bits_against_jpeg": bd_rate_percent(jpeg, curve),
    }


def _mean_of_pictures(plain: Curve, curve: Curve) -> float:
    """The mean of the BD-rates of the pictures: in that of mean curves, large files count most."""
    rates = []
    for name, columns in curve.pictures.items():
        rate = compare_columns(plain.pictures[name], columns, "psnr")
        if rate and rate.pchip is not None:
            rates.append(rate.pchip)
    return math.fsum(rates) / len(rates)


def _sample_size(selection: Selection, curves: dict[str, Curve]) -> Record:
    pictures = len(next(iter(curves.values())).pictures)
    return {"pictures": pictures, "rates": list(selection.rates)}


def _mean_change(plain: Curve, curve: Curve, column: str, change: Change) -> float:
    """Mean of ``change`` of a column over all pictures and rates."""
    changes = [
        change(before, after)
        for name, columns in curve.pictures.items()
        for before, after in zip(plain.pictures[name][column], columns[column], strict=True)
    ]
    return math.fsum(changes) / len(changes)


def measure_rivals(selection: Selection, record: Record) -> None:
    """Bits of the rivals with efforts of their own, against their fastest setting, and their seconds."""
    rivals, missing = choose_rivals(RIVALS_WITH_EFFORTS)
    for message in missing:
        print(message)
    # Every second point, without the ends: the range that our rates cover.
    reduced = [replace(rival, points=rival.points[1:-1:2]) for rival in rivals]
    variants = expand_efforts(reduced, selection.efforts)
    request = selection.request(selection.families, (0,), every=1)
    _, curves = measure_request(request, [RIVALS[ANCHOR], *variants])
    rows = {}
    for rival in rivals:
        steps = expand_efforts([rival], selection.efforts)
        for step in steps:
            rows[step.name] = {
                "codec": rival.title,
                "setting": _setting(step),
                **_bits(curves[steps[0].name], curves[step.name], curves[ANCHOR]),
            }
    record["rivals"] = {**_sample_size(selection, curves), "rows": rows}
    measure_times(variants, record)


def _setting(rival: Rival) -> str:
    assert rival.effort_scale is not None
    assert rival.effort is not None
    return f"{rival.effort_scale.name} {rival.effort_scale.from_effort(rival.effort)}"


def measure_tuning(selection: Selection, record: Record) -> None:
    """BD-rates in PSNR and in MS-SSIM of a search for either, by the weights for PSNR."""
    efforts = (0, selection.tune_effort)
    request = selection.request((TUNE_FAMILY,), efforts, TUNE_EVERY, TUNES)
    codecs, curves = measure_request(request)
    families = [codec for codec in codecs if isinstance(codec, Family)]
    plain = next(family for family in families if not family.effort)
    rows = {
        family.aim: {
            metric: bd_rate_percent(curves[plain.name], curves[family.name], metric)
            for metric in METRICS
        }
        for family in families
        if family.effort
    }
    weights = find_by_family(TUNE_FAMILY, "psnr").id.hex()
    settings = {"family": TUNE_FAMILY, "weights": weights, "effort": selection.tune_effort}
    record["tune"] = {**settings, **_sample_size(selection, curves), "rows": rows}


def measure_eye(selection: Selection, record: Record) -> None:
    """BD-rates of a search for SSIMULACRA 2, by the weights that are tuned for it."""
    efforts, tunes = (0, selection.tune_effort), ("ssimulacra2",)
    request = selection.request(selection.families, efforts, TUNE_EVERY, tunes, EYE_METRICS)
    codecs, curves = measure_request(request)
    families, plain = _families(codecs, curves)
    rows = {
        family.family: {
            "weights": family.weights,
            **{
                metric: bd_rate_percent(plain[family.family], curves[family.name], metric)
                for metric in EYE_METRICS
            },
        }
        for family in families
        if family.effort
    }
    measured = {"effort": selection.tune_effort, **_sample_size(selection, curves)}
    before = record.get("eye", {"rows": {}})
    comparable = measured == {key: before.get(key) for key in measured}
    record["eye"] = {**measured, "rows": (before["rows"] if comparable else {}) | rows}


def measure_seconds(selection: Selection, record: Record) -> None:
    """Seconds to encode, of each family at each effort."""
    points, efforts = (TIMED_RATE,), selection.efforts
    families = choose_families(
        selection.families, points, "rate", Engine(), efforts, tunes=("psnr",)
    )
    measure_times(families, record)


def measure_times(codecs: Sequence[Family | Rival], record: Record) -> None:
    """Seconds that ``codecs`` take for one picture, added to those of this machine."""
    picture = photograph()
    this_machine = describe_machine(Engine("auto"), torch.get_num_threads())
    if record.get("seconds", {}).get("machine") != this_machine:
        record["seconds"] = {"machine": this_machine, "rows": {}}
    with progress_bar(len(codecs)) as step:
        for codec in codecs:
            record["seconds"]["rows"][_key(codec)] = {
                "family": codec.family if isinstance(codec, Family) else None,
                "effort": codec.effort,
                "seconds": time_encode(codec, picture),
            }
            write_record(record)
            step()


def time_encode(codec: Family | Rival, picture: Picture) -> float:
    """Seconds to encode ``picture``, warm."""
    point = TIMED_RATE if isinstance(codec, Family) else codec.points[len(codec.points) // 2]
    work = partial(codec.coder().encode, picture, point)
    assert codec.effort is not None
    if codec.effort < LONG_EFFORT:
        return median_seconds(work, TIMED_REPEATS)
    # A short search does what only the first one has to do.
    replace(codec, effort=1).coder().encode(picture, point)
    return median_seconds(work, 1, warm_up=0)


if __name__ == "__main__":
    main()
