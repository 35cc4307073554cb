"""What an effort of the encoder saves, and how long it takes. Writes docs/EFFORT.md and its picture.

    python -m benchmarks.effort /path/to/kodak [--part curves|seconds|rivals|tune] [--families qvrf,slim]
        [--efforts 0,1,3,5,7,9] [--every 6] [--count 2] [--rates 0.2,0.4,0.6,0.8] [--cache FOLDER] [--jobs 2]

Files that were measured once are not measured again: it can be stopped, and be asked family by family and
effort by effort, on several machines when their results.jsonl are put together. After a change of the search,
name another --cache. The table of bits is added to, row by row, and so are seconds as long as the machine is
the same; these want it idle, in the parts seconds and rivals. The other tables hold what was asked for last.

Every figure is of real files that were decoded again. What the tables and the picture are made of is kept in
benchmarks/effort.json. The tables of the document are replaced; its words stay.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from matplotlib.figure import Figure

from benchmarks.common import median, photograph, with_blocks
from vrcodec import __version__
from vrcodec.bench.codecs import Codec, Family, choose_families
from vrcodec.bench.curves import Curve, compare, curve_of
from vrcodec.bench.machine import machine
from vrcodec.bench.request import Request, make_plan
from vrcodec.bench.rivals import RIVALS, Rival, at_efforts, choose_rivals
from vrcodec.bench.runner import run
from vrcodec.bench.summary import markdown
from vrcodec.catalog import find_by_family
from vrcodec.cli.shared.output import progress_bar
from vrcodec.codec import Engine
from vrcodec.picture.folders import find_pictures
from vrcodec.picture.picture import Picture
from vrcodec.refinement.effort import Tune

DOCS = Path(__file__).parents[1] / "docs"
DOCUMENT = DOCS / "EFFORT.md"
PLOT = DOCS / "effort.svg"
RECORD = Path(__file__).with_suffix(".json")
PARTS = ("curves", "seconds", "rivals", "tune")
EFFORTS = (0, 1, 3, 5, 7, 9)
RATES = (0.2, 0.4, 0.6, 0.8)
METRICS = ("psnr", "ms-ssim")
PACED = tuple(name for name, rival in RIVALS.items() if rival.pace)
ANCHOR = "jpeg420"
# What the part tune looks at: one family, one effort, every fourth picture.
TUNE_FAMILY, TUNE_EFFORT, TUNE_EVERY = "qvrf", 7, 4
# Of the picture that is timed; at high efforts, once is enough.
TIMED_RATE, TIMED_REPEATS, LONG_EFFORT = 0.5, 3, 7

Record = dict[str, Any]
Change = Callable[[float, float], float]


@dataclass(frozen=True)
class Asked:
    """What to measure: the first ``count`` of one in ``every`` picture, at efforts, 0 among them."""

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
        self, models: tuple[str, ...], efforts: tuple[int, ...], every: int, tune: Tune = "psnr"
    ) -> Request:
        """As `vrcodec bench` would be asked, going on from what is in the cache."""
        return Request(
            tuple(find_pictures((self.folder,))[:: self.every or every][: self.count]),
            models=models,
            rates=self.rates,
            efforts=efforts,
            tune=tune,
            rivals=(ANCHOR,),
            metrics=METRICS,
            resume=True,
            cache=self.cache,
            jobs=self.jobs,
        )


def main() -> None:
    parts, asked = _arguments()
    record = kept()
    measure = {
        "curves": measure_curves,
        "seconds": measure_seconds,
        "rivals": measure_rivals,
        "tune": measure_tuning,
    }
    for part in parts:
        measure[part](asked, record)
        keep(record)
    draw(record)
    DOCUMENT.write_text(with_blocks(DOCUMENT.read_text(), blocks(record)))


def _arguments() -> tuple[Sequence[str], Asked]:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--families", default="all")
    parser.add_argument("--efforts", default=",".join(map(str, EFFORTS)))
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--every", type=int, help=f"default: 1, and {TUNE_EVERY} for tune")
    parser.add_argument("--count", type=int, help="stop after so many of these; default: all")
    parser.add_argument("--tune-effort", type=int, default=TUNE_EFFORT)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    given = vars(parser.parse_args())
    part = given.pop("part")
    given["families"] = tuple(given["families"].split(","))
    given["efforts"] = tuple(sorted({0, *map(int, given["efforts"].split(","))}))
    given["rates"] = tuple(sorted(map(float, given["rates"].split(","))))
    return ([part] if part else PARTS), Asked(**given)


def kept() -> Record:
    """What was measured so far."""
    found: Record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    return found


def keep(record: Record) -> None:
    """Write down what was measured so far."""
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


# --- bits ---


def measured(
    request: Request, others: Sequence[Codec] | None = None
) -> tuple[Sequence[Codec], dict[str, Curve]]:
    """The codecs of ``request``, or ``others`` in their place, and their curves by name."""
    request.check()
    plan = make_plan(request, print)
    # Files are the same on a busy machine, and nearly the same on another one.
    plan = replace(
        plan,
        conditions=f"efforts with vrcodec {__version__}",
        codecs=others or plan.codecs,
        memory=False,
    )
    with progress_bar(len(plan.paths) * len(plan.codecs)) as step:
        outcome = run(plan, lambda word: step())
    if outcome.problems or outcome.interrupted:
        raise SystemExit("\n".join(outcome.problems) or "interrupted; the same again goes on")
    curves = {codec.name: curve_of(codec, outcome) for codec in plan.codecs}
    return plan.codecs, {name: curve for name, curve in curves.items() if curve}


def percent(anchor: Curve, curve: Curve, metric: str = "psnr") -> float:
    """Bits more than ``anchor`` at equal quality (BD-rate); not a number where they share no range."""
    found = compare(anchor.columns, curve.columns, metric)
    return math.nan if found is None or found.pchip is None else found.pchip


def measure_curves(asked: Asked, record: Record) -> None:
    """Bits of each family at each effort, against itself at effort 0."""
    codecs, curves = measured(asked.request(asked.families, asked.efforts, every=1))
    rows = {}
    for codec in codecs:
        if isinstance(codec, Family):
            plain, curve = curves[codec.family], curves[codec.name]
            rows[codec.name] = {
                "codec": codec.family,
                "setting": f"effort {codec.effort}",
                "weights": codec.weights,
                **_about(asked, curves),
                **_bits(plain, curve, curves[ANCHOR]),
                "bits_each": _mean_of_pictures(plain, curve),
                "bytes": _mean_change(plain, curve, "bpp", lambda a, b: 100 * (b / a - 1)),
                "psnr": _mean_change(plain, curve, "psnr", lambda a, b: b - a),
            }
    kept_rows = record.get("curves", {}).get("rows", {}) | rows
    record["curves"] = {"rates": list(asked.rates), "rows": dict(sorted(kept_rows.items()))}


def _bits(own: Curve, curve: Curve, jpeg: Curve) -> dict[str, float]:
    return {"bits": percent(own, curve), "bits_against_jpeg": percent(jpeg, curve)}


def _mean_of_pictures(plain: Curve, curve: Curve) -> float:
    """The mean of each picture's own BD-rate: in that of mean curves, large files count most."""
    rates = []
    for name, columns in curve.pictures.items():
        found = compare(plain.pictures[name], columns, "psnr")
        if found and found.pchip is not None:
            rates.append(found.pchip)
    return math.fsum(rates) / len(rates)


def _about(asked: Asked, curves: dict[str, Curve]) -> Record:
    pictures = len(next(iter(curves.values())).pictures)
    return {"pictures": pictures, "rates": list(asked.rates)}


def _mean_change(plain: Curve, curve: Curve, column: str, change: Change) -> float:
    """Over all pictures and rates."""
    changes = [
        change(before, after)
        for name, columns in curve.pictures.items()
        for before, after in zip(plain.pictures[name][column], columns[column], strict=True)
    ]
    return math.fsum(changes) / len(changes)


def measure_rivals(asked: Asked, record: Record) -> None:
    """The same of the codecs that have efforts of their own, against their fastest, and their seconds."""
    rivals, missing = choose_rivals(PACED)
    for words in missing:
        print(words)
    # Every second point, without the ends: the range that our rates cover.
    thinned = [replace(rival, points=rival.points[1:-1:2]) for rival in rivals]
    paced = at_efforts(thinned, asked.efforts)
    request = asked.request(asked.families, (0,), every=1)
    _, curves = measured(request, [RIVALS[ANCHOR], *paced])
    rows = {}
    for rival in rivals:
        steps = at_efforts([rival], asked.efforts)
        for step in steps:
            rows[step.name] = {
                "codec": rival.title,
                "setting": _setting(step),
                **_bits(curves[steps[0].name], curves[step.name], curves[ANCHOR]),
            }
    record["rivals"] = {**_about(asked, curves), "rows": rows}
    measure_times(paced, record)


def _setting(rival: Rival) -> str:
    assert rival.pace is not None
    assert rival.effort is not None
    return f"{rival.pace.word} {rival.pace.matching(rival.effort)}"


def measure_tuning(asked: Asked, record: Record) -> None:
    """What a search for PSNR and one for MS-SSIM do to both."""
    efforts = (0, asked.tune_effort)
    rows = {}
    for tune in get_args(Tune):
        request = asked.request((TUNE_FAMILY,), efforts, TUNE_EVERY, tune)
        codecs, curves = measured(request)
        plain, tuned = (curves[codec.name] for codec in codecs if isinstance(codec, Family))
        rows[tune] = {metric: percent(plain, tuned, metric) for metric in METRICS}
    weights = find_by_family(TUNE_FAMILY).id.hex()
    about = {"family": TUNE_FAMILY, "weights": weights, "effort": asked.tune_effort}
    record["tune"] = {**about, **_about(asked, curves), "rows": rows}


# --- seconds ---


def measure_seconds(asked: Asked, record: Record) -> None:
    """How long each family takes at each effort."""
    measure_times(
        choose_families(asked.families, (TIMED_RATE,), "rate", Engine(), asked.efforts), record
    )


def measure_times(codecs: Sequence[Family | Rival], record: Record) -> None:
    """Seconds that ``codecs`` take for one picture, added to those of this machine."""
    picture = photograph()
    here = machine("auto", torch.get_num_threads())
    if record.get("seconds", {}).get("machine") != here:
        record["seconds"] = {"machine": here, "rows": {}}
    with progress_bar(len(codecs)) as step:
        for codec in codecs:
            record["seconds"]["rows"][codec.name] = {
                "family": codec.family if isinstance(codec, Family) else None,
                "effort": codec.effort,
                "seconds": seconds_of(codec, picture),
            }
            keep(record)
            step()


def seconds_of(codec: Family | Rival, picture: Picture) -> float:
    """Seconds to encode ``picture``, warm."""
    point = TIMED_RATE if isinstance(codec, Family) else codec.points[len(codec.points) // 2]
    work = partial(codec.coder().encode, picture, point)
    assert codec.effort is not None
    if codec.effort < LONG_EFFORT:
        return median(work, TIMED_REPEATS)
    # What only a first search has to do is done by a short one.
    replace(codec, effort=1).coder().encode(picture, point)
    return median(work, 1, unmeasured=0)


# --- tables ---


def blocks(record: Record) -> dict[str, str]:
    """The blocks of the document that ``record`` has figures for."""
    write = {
        "curves": ("bits", bits_block),
        "seconds": ("seconds", seconds_block),
        "rivals": ("rivals", rivals_block),
        "tune": ("tune", tune_block),
    }
    found = {block: words(record) for part, (block, words) in write.items() if part in record}
    if PLOT.exists():
        found["plot"] = f"![{_ALTERNATIVE}]({PLOT.name})"
    return found


_ALTERNATIVE = (
    "Bits at equal PSNR over the seconds that a picture takes to encode. Left: each codec against its own "
    "fastest setting. Right: against JPEG 4:2:0"
)


def bits_block(record: Record) -> str:
    """One row for each family and effort."""
    rows = [
        [
            row["codec"],
            f"`{row['weights']}`",
            row["setting"].removeprefix("effort "),
            f"{row['bits']:+.2f} %",
            f"{row['bits_each']:+.2f} %",
            f"{row['bytes']:+.2f} %",
            f"{row['psnr']:+.3f} dB",
            str(row["pictures"]),
        ]
        for row in record["curves"]["rows"].values()
        if row["setting"] != "effort 0"
    ]
    head = ["family", "weights", "effort", "bits at equal PSNR", "mean of pictures"]
    table = markdown(([*head, "bytes at the same rate", "PSNR there", "pictures"], rows))
    return f"Against effort 0 on the same pictures; rates {_rates(record['curves'])}.\n\n{table}"


def _means(part: Record) -> str:
    return f"means over {part['pictures']} picture{'s' * (part['pictures'] > 1)}"


def _rates(part: Record) -> str:
    return ", ".join(f"{rate:g}" for rate in part["rates"])


def seconds_block(record: Record) -> str:
    """One row a family, one column an effort."""
    families: dict[str, dict[int, float]] = {}
    for row in record["seconds"]["rows"].values():
        if row["family"]:
            families.setdefault(row["family"], {})[row["effort"]] = row["seconds"]
    efforts = sorted({effort for times in families.values() for effort in times})
    rows = [
        [family, *(_seconds(times.get(effort)) for effort in efforts)]
        for family, times in families.items()
    ]
    table = markdown((["family", *(f"effort {effort}" for effort in efforts)], rows))
    return (
        f"Seconds to encode a 768x512 picture at rate {TIMED_RATE}; {_machine(record)}.\n\n{table}"
    )


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _machine(record: Record) -> str:
    found = record["seconds"]["machine"]
    threads = f"{found['threads']} thread{'s' * (found['threads'] > 1)}"
    device = found.get("accelerator") or threads
    return f"{found['cpu']}, {device}"


def rivals_block(record: Record) -> str:
    """One row for each codec and value of its own scale."""
    times = record["seconds"]["rows"]
    rows = [
        [
            row["codec"],
            row["setting"],
            f"{row['bits']:+.2f} %",
            f"{row['bits_against_jpeg']:+.1f} %",
            _seconds(times[name]["seconds"] if name in times else None),
        ]
        for name, row in record["rivals"]["rows"].items()
    ]
    head = ["codec", "setting", "bits against its fastest", "bits against JPEG 4:2:0", "s"]
    words = f"At equal PSNR; {_means(record['rivals'])}; {_machine(record)}."
    return f"{words}\n\n{markdown((head, rows))}"


def tune_block(record: Record) -> str:
    """One row for each quality that the search aims at."""
    part = record["tune"]
    titles = {"psnr": "PSNR", "msssim": "MS-SSIM"}
    rows = [
        [titles[tune], *(f"{row[metric]:+.2f} %" for metric in METRICS)]
        for tune, row in part["rows"].items()
    ]
    head = ["aimed at", "bits at equal PSNR", "bits at equal MS-SSIM"]
    words = (
        f"`{part['family']}`, weights `{part['weights']}`, effort {part['effort']} against effort 0; "
        f"{_means(part)} and rates {_rates(part)}."
    )
    return f"{words}\n\n{markdown((head, rows))}"


# --- the picture ---


def draw(record: Record) -> None:
    """Bits over seconds, for everything of which both are known."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    panels = {"bits": "its own fastest setting", "bits_against_jpeg": "JPEG 4:2:0"}
    for axes, (key, words) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for number, (codec, (style, points)) in enumerate(lines(record, key)):
            seconds, bits, settings = zip(*points, strict=True)
            axes.plot(seconds, bits, style, label=codec, color=f"C{number}", markersize=3)
            for end in (0, -1):
                value, place = settings[end].split()[1], (seconds[end], bits[end])
                axes.annotate(value, place, (3, 3), textcoords="offset points", fontsize=6)
        axes.set_xscale("log")
        axes.set_xlabel("seconds to encode a 768x512 picture")
        axes.set_ylabel(f"bits at equal PSNR, against {words}, %")
        axes.grid(alpha=0.3)
    shown = figure.axes[0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside lower center", ncols=4, fontsize="small")
    figure.savefig(PLOT, metadata={"Date": None})


def lines(
    record: Record, key: str
) -> Iterator[tuple[str, tuple[str, list[tuple[float, float, str]]]]]:
    """Codec, style, and (seconds, bits, setting) in order: ours solid, rivals dashed."""
    times = record.get("seconds", {}).get("rows", {})
    fastest: dict[str, float] = {}
    for part, style in (("curves", "o-"), ("rivals", "s--")):
        codecs: dict[str, list[tuple[float, float, str]]] = {}
        for name, row in record.get(part, {}).get("rows", {}).items():
            if name not in times:
                continue
            bits = row["bits"]
            if key == "bits_against_jpeg":
                # Of the fastest setting, which all pictures have; the others may be of fewer.
                base = fastest.setdefault(row["codec"], row[key])
                bits = 100 * ((1 + base / 100) * (1 + bits / 100) - 1)
            points = codecs.setdefault(row["codec"], [])
            points.append((times[name]["seconds"], bits, row["setting"]))
        yield from ((codec, (style, points)) for codec, points in codecs.items())


if __name__ == "__main__":
    main()
