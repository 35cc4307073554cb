"""`vrcodec bench`"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from vrcodec.cli import options, output
from vrcodec.cli.main import EXIT_INTERRUPTED
from vrcodec.errors import UsageError
from vrcodec.files import check_absent, write_atomically
from vrcodec.limits import Limits

if TYPE_CHECKING:
    from vrcodec.bench.codecs import Codec, Family
    from vrcodec.bench.results import Results
    from vrcodec.bench.runner import Outcome, Plan
    from vrcodec.bench.show import Showcase
    from vrcodec.codec import Engine

_PLOT_SUFFIXES = (".png", ".svg", ".pdf")
_MAX_POINTS = 1000
# What --quick does with.
_QUICK_PICTURES, _QUICK_POINTS = 3, 5
_SHOWN_PICTURES = 3


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """0:1:0.1 (first, last, step; the last included) or 0.1,0.5,1."""

    name = "numbers"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, ...]:
        """Parse ``value``; click reports what does not fit."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = _numbers(str(value))
        except ValueError:
            self.fail(
                f"{value!r} is neither FIRST:LAST:STEP nor a list such as 0.1,0.5,1", param, ctx
            )
        return tuple(sorted(set(numbers)))


def _numbers(text: str) -> list[float]:
    if ":" not in text:
        return [float(part) for part in text.split(",")]
    first, last, step = (float(part) for part in text.split(":"))
    count = (last - first) / step
    if not 0 <= count < _MAX_POINTS:
        raise ValueError
    # Past the last by less than a step's rounding.
    return [round(first + i * step, 9) for i in range(int(count + 1e-9) + 1)]


class Names(click.ParamType):  # type: ignore[type-arg]
    """Names, separated by commas."""

    name = "names"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        """Split ``value``."""
        if isinstance(value, tuple):
            return value
        return tuple(part.strip() for part in str(value).split(",") if part.strip())


_result = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
_file = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="PATH...",
    type=click.Path(exists=True, path_type=Path),
)
@click.option(
    "--models", type=Names(), default="gained", show_default=True, help="Families, or all."
)
@click.option(
    "--rates",
    type=Numbers(),
    help="Rates to measure: FIRST:LAST:STEP or a list.  [default: 0:1:0.125]",
)
@click.option("--bpps", type=Numbers(), help="Bits per pixel to aim at, instead of rates.")
@click.option(
    "--rivals",
    type=Names(),
    default="all",
    show_default=True,
    help="jpeg420, jpeg444, mozjpeg (jpeg: all three), webp, avif, jxl, jp2k; all; none.",
)
@click.option(
    "--compare",
    "published",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Results in CompressAI's format, or of an earlier --json, to lay beside; may be given again.",
)
@click.option(
    "--anchor",
    metavar="CURVE",
    help="Compare with this one.  [default: the first that is not ours]",
)
@click.option(
    "--metrics",
    type=Names(),
    default="psnr,ms-ssim",
    show_default=True,
    help="psnr, ms-ssim, ssimulacra2.",
)
@click.option(
    "--json", "json_path", metavar="FILE", type=_result, help="Write results as JSON; - is stdout."
)
@click.option(
    "--csv",
    "csv_path",
    metavar="FILE",
    type=_result,
    help="Write every sample as CSV; - is stdout.",
)
@click.option(
    "--report", "report_path", metavar="FILE", type=_file, help="Write an HTML report to look at."
)
@click.option(
    "--show",
    multiple=True,
    metavar="PICTURE",
    help="Picture to lay over each other in the report; may be given again.  [default: the first three]",
)
@click.option(
    "--plot", "plot_path", metavar="FILE", type=_file, help="Draw the curves: .png, .svg or .pdf."
)
@options.force_option
@click.option("--quick", is_flag=True, help="Few pictures and points: a look in a minute.")
@click.option(
    "--profile", is_flag=True, help="Show where the time of one picture goes, and nothing else."
)
@click.option("--resume", is_flag=True, help="Take what an earlier run has measured already.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder where results are kept for --resume.  [default: vrcodec/bench in the user's cache]",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes. With more than one, times are those of a busy machine.",
)
@options.device_option
@options.precision_option
@options.threads_option
@options.limits_option
@options.verbosity_options
def command(**given: Any) -> int:
    """Measure models and other codecs on the pictures of folders: size, quality, speed, memory.

    Pictures are taken without their metadata. One that cannot be read is reported and left out (exit code
    1). Ctrl-C reports what was finished; --resume goes on from there.
    """
    request = Request(**given)
    request.check()
    if request.profile:
        return _profile(request)
    return _bench(request)


@dataclass(frozen=True)
class Request:
    """What the user asked for; see `vrcodec bench --help`."""

    paths: tuple[Path, ...]
    models: tuple[str, ...]
    rates: tuple[float, ...] | None
    bpps: tuple[float, ...] | None
    rivals: tuple[str, ...]
    published: tuple[Path, ...]
    anchor: str | None
    metrics: tuple[str, ...]
    json_path: Path | None
    csv_path: Path | None
    report_path: Path | None
    show: tuple[str, ...]
    plot_path: Path | None
    force: bool
    quick: bool
    profile: bool
    resume: bool
    cache: Path | None
    jobs: int
    device: str
    precision: str
    threads: int | None
    limits: Limits

    def check(self) -> None:
        """Refuse before the work what would fail after it. Raises UsageError or OutputError."""
        if self.rates is not None and self.bpps is not None:
            raise UsageError("give --rates or --bpps, not both")
        if self.rates is not None and not 0 <= self.rates[0] <= self.rates[-1] <= 1:
            raise UsageError("rates must lie between 0 and 1")
        if self.bpps is not None and self.bpps[0] <= 0:
            raise UsageError("bits per pixel must be more than 0")
        if self.plot_path and self.plot_path.suffix.lower() not in _PLOT_SUFFIXES:
            raise UsageError(f"{self.plot_path}: a plot is one of {', '.join(_PLOT_SUFFIXES)}")
        if self.to_stdout(self.json_path) and self.to_stdout(self.csv_path):
            raise UsageError("only one of --json and --csv can go to stdout")
        for path in (self.json_path, self.csv_path, self.report_path, self.plot_path):
            if path and not self.to_stdout(path) and not self.force:
                check_absent(path)

    @staticmethod
    def to_stdout(path: Path | None) -> bool:
        """Whether ``path`` is the - of stdout."""
        return path is not None and str(path) == "-"

    @property
    def points(self) -> tuple[float, ...]:
        """Rates, or bits per pixel."""
        return self.bpps or self.rates or tuple(i / 8 for i in range(9))

    @property
    def by(self) -> Literal["rate", "bpp"]:
        """What the points are."""
        return "rate" if self.bpps is None else "bpp"

    def engine(self) -> Engine:
        """Where our networks run."""
        from vrcodec.codec import Engine

        return Engine(self.device, self.precision)


def _bench(request: Request) -> int:
    from vrcodec.bench.curves import read_curves
    from vrcodec.bench.results import gather
    from vrcodec.bench.runner import run

    published = [curve for path in request.published for curve in read_curves(path)]
    plan, families = _plan(request)
    with output.progress_bar(len(plan.paths) * len(plan.codecs)) as step:

        def advance(word: str) -> None:
            output.say(word, output.VERBOSE)
            step()

        outcome = run(plan, advance)
    results = gather(plan, outcome, published, request.anchor, _context(request, plan, families))
    for problem in outcome.problems:
        output.error(problem)
    if not results.curves:
        output.error("nothing was measured")
    else:
        _write(request, plan, outcome, results)
    if outcome.interrupted:
        output.error(
            f"interrupted; {len(results.pictures)} pictures are complete; --resume goes on"
        )
        return EXIT_INTERRUPTED
    return 1 if outcome.problems or not results.curves else 0


def _plan(request: Request) -> tuple[Plan, list[Family]]:
    import torch

    from vrcodec.bench.cache import default_folder
    from vrcodec.bench.codecs import choose_families, thinned
    from vrcodec.bench.machine import machine, versions
    from vrcodec.bench.metrics import choose_metrics
    from vrcodec.bench.rivals import choose_rivals
    from vrcodec.bench.runner import Plan, named
    from vrcodec.folders import find_pictures

    paths = named(find_pictures(request.paths), request.paths)
    points = request.points
    rivals, missing = choose_rivals(request.rivals)
    for words in missing:
        output.say(words)
    if request.quick:
        paths = {name: paths[name] for name in thinned(list(paths), _QUICK_PICTURES)}
        points = thinned(points, _QUICK_POINTS)
        rivals = [replace(r, points=thinned(r.points, _QUICK_POINTS)) for r in rivals]
    families = choose_families(request.models, points, request.by, request.engine())
    codecs: list[Codec] = [*families, *rivals]
    threads = request.threads or max(1, torch.get_num_threads() // request.jobs)
    metrics = tuple(metric.name for metric in choose_metrics(request.metrics))
    conditions = f"{machine(request.device, threads)} {versions()} {request.jobs} jobs"
    plan = Plan(
        paths,
        codecs,
        metrics,
        request.engine(),
        request.limits,
        request.cache or default_folder(),
        conditions,
        request.resume,
        threads,
        request.jobs,
    )
    return plan, families


def _context(request: Request, plan: Plan, families: list[Family]) -> dict[str, Any]:
    from vrcodec.bench.machine import machine, versions

    return {
        "machine": {**machine(request.device, plan.threads), "jobs": plan.jobs},
        "versions": versions(),
        "weights": {family.name: family.weights for family in families},
        "command": ["vrcodec", *sys.argv[1:]],
    }


def _write(request: Request, plan: Plan, outcome: Outcome, results: Results) -> None:
    import json

    from vrcodec.bench.results import as_csv

    if request.json_path:
        _put(request, request.json_path, json.dumps(results.document(), indent=1, allow_nan=False))
    if request.csv_path:
        _put(request, request.csv_path, as_csv(outcome, plan.metrics))
    if not request.to_stdout(request.json_path) and not request.to_stdout(request.csv_path):
        _print(results, plan)
    if request.plot_path:
        from vrcodec.bench.plot import plot

        suffix = request.plot_path.suffix.lower().lstrip(".")
        data = plot(results.curves, plan.metrics, suffix)
        write_atomically(request.plot_path, data, overwrite=request.force)
    if request.report_path:
        from vrcodec.bench.report import report

        page = report(results, plan.metrics, _showcases(request, plan, results))
        write_atomically(request.report_path, page.encode(), overwrite=request.force)


def _put(request: Request, path: Path, text: str) -> None:
    if request.to_stdout(path):
        click.echo(text.rstrip("\n"))
    else:
        write_atomically(path, (text.rstrip("\n") + "\n").encode(), overwrite=request.force)


def _print(results: Results, plan: Plan) -> None:
    from vrcodec.bench.text import codec_table, cost_table, curve_table, verdicts

    for curve in results.own:
        click.echo(f"{curve.title}: {curve.description}")
        output.print_table(*curve_table(curve, plan.metrics))
        click.echo()
    output.print_table(*codec_table(results, plan.metrics))
    click.echo()
    output.print_table(*cost_table(results))
    click.echo()
    for curve in results.curves:
        if curve not in results.own:
            click.echo(f"{curve.title}: {curve.description}")
    click.echo(
        f"Means over {len(results.pictures)} pictures, from real files; {_conditions(plan)}."
    )
    if results.anchor:
        click.echo(
            f"BD-rate: bits at equal quality against {results.anchor.title}, negative is fewer; PCHIP "
            "(Akima), over the common range of quality."
        )
    for sentence in verdicts(results):
        click.echo(sentence)


def _conditions(plan: Plan) -> str:
    threads = f"{plan.threads} CPU thread{'s' if plan.threads > 1 else ''}"
    return threads if plan.jobs == 1 else f"{plan.jobs} jobs at once with {threads} each"


def _showcases(request: Request, plan: Plan, results: Results) -> list[Showcase]:
    from vrcodec.bench.show import showcase
    from vrcodec.picture import read_picture

    known = [info.name for info in results.pictures]
    unknown = [name for name in request.show if name not in known]
    if unknown:
        raise UsageError(f"--show {unknown[0]}: not among the measured pictures")
    found = []
    for name in request.show or known[:_SHOWN_PICTURES]:
        with plan.paths[name].open("rb") as file:
            picture = read_picture(file, name, strip=True, limits=request.limits)
        found.append(showcase(name, picture, plan.codecs))
    return found


def _profile(request: Request) -> int:
    from vrcodec.bench.profile import profile
    from vrcodec.folders import find_pictures
    from vrcodec.picture import read_picture

    options.set_threads(request.threads)
    path = find_pictures(request.paths)[0]
    with path.open("rb") as file:
        picture = read_picture(file, str(path), strip=True, limits=request.limits)
    rate = request.rates[0] if request.rates else 0.5
    for family in request.models:
        found = profile(family, picture, rate, request.engine())
        click.echo(f"{family}, {path}, {picture.width}x{picture.height}, rate {rate:g}")
        for title, stages in (
            ("once", found.start),
            ("encode", found.encode),
            ("decode", found.decode),
        ):
            total = sum(stages.values())
            rows = [
                [name, f"{1e3 * seconds:.1f}", f"{100 * seconds / total:.0f} %"]
                for name, seconds in stages.items()
            ]
            output.print_table([title, "ms", "share"], [*rows, ["sum", f"{1e3 * total:.1f}", ""]])
            click.echo()
    return 0
