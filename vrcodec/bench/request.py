"""The options of a benchmark, checked, and the plan made of them.

Light to import: torch and the codecs are imported when the plan is made.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from vrcodec.catalog import DEFAULT_MODEL
from vrcodec.engine import Engine
from vrcodec.errors import UsageError
from vrcodec.extras import is_installed, require, require_working_folder
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.refinement.effort import MAX_EFFORT, Tune

if TYPE_CHECKING:
    from collections.abc import Callable

    from vrcodec.bench.codecs import Codec
    from vrcodec.bench.runner import Plan

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
DEFAULT_RIVALS = ("jpeg", "webp", "avif", "jxl", "jp2k")
DEFAULT_METRICS = ("psnr", "ms-ssim", "ssimulacra2", "haarpsi")
DEFAULT_RATES = tuple(i / 8 for i in range(9))
# What --quick reduces a benchmark to.
_QUICK_PICTURES, _QUICK_POINTS = 3, 5


@dataclass(frozen=True)
class Request:
    """What the user asked for; see `vrcodec bench --help`."""

    paths: tuple[Path, ...]
    models: tuple[str, ...] = (DEFAULT_MODEL,)
    rates: tuple[float, ...] | None = None
    bpps: tuple[float, ...] | None = None
    efforts: tuple[float, ...] = (0,)
    tunes: tuple[Tune, ...] = ()
    rivals: tuple[str, ...] = DEFAULT_RIVALS
    published: tuple[Path, ...] = ()
    anchor: str | None = None
    metrics: tuple[str, ...] = DEFAULT_METRICS
    json_path: Path | None = None
    csv_path: Path | None = None
    report_path: Path | None = None
    show: tuple[str, ...] = ()
    plot_path: Path | None = None
    force: bool = False
    quick: bool = False
    profile: bool = False
    maps: bool = False
    resume: bool = False
    cache: Path | None = None
    jobs: int = 1
    device: str = "auto"
    library: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    limits: Limits = DEFAULT_LIMITS

    def check(self) -> None:
        """Check before the work what would fail after it. Raises UsageError or DeviceError."""
        # Metrics are by PyTorch, and paths of results may be relative.
        require_working_folder("bench")
        if self.rates is not None and self.bpps is not None:
            raise UsageError("give --rates or --bpps, not both")
        if self.rates is not None and not 0 <= self.rates[0] <= self.rates[-1] <= 1:
            raise UsageError("rates must lie between 0 and 1")
        if self.bpps is not None and self.bpps[0] <= 0:
            raise UsageError("bits per pixel must be more than 0")
        self._check_efforts()
        if self.plot_path and self.plot_path.suffix.lower() not in PLOT_SUFFIXES:
            raise UsageError(f"{self.plot_path}: a plot is one of {', '.join(PLOT_SUFFIXES)}")
        if is_stdout(self.json_path) and is_stdout(self.csv_path):
            raise UsageError("only one of --json and --csv can go to stdout")
        for package, path in (("matplotlib", self.plot_path), ("plotly", self.report_path)):
            if path:
                require(package, "bench", str(path))
        if self.anchor:
            require("bjontegaard", "bench", "a comparison with an anchor")
        if not self.models:
            raise UsageError("name at least one model")
        if self.maps:
            self._check_maps()
        elif self.profile and (self.bpps is not None or self._results()):
            raise UsageError("--profile shows tables; it goes with --models and --rates")

    def _check_maps(self) -> None:
        if self.profile or self.bpps is not None or self._results():
            raise UsageError("--maps shows a table; it goes with --models, --rates and --quick")
        require("bjontegaard", "bench", "--maps")

    def _check_efforts(self) -> None:
        if not all(effort in range(MAX_EFFORT + 1) for effort in self.efforts):
            raise UsageError(f"efforts are whole numbers from 0 to {MAX_EFFORT}")
        for tune in self.tunes:
            if tune not in get_args(Tune):
                raise UsageError(f"no tune {tune!r}; there are: {', '.join(get_args(Tune))}")

    def _results(self) -> list[Path]:
        paths = (self.json_path, self.csv_path, self.report_path, self.plot_path)
        return [path for path in paths if path]

    def files(self) -> list[Path]:
        """The files to write."""
        return [path for path in self._results() if not is_stdout(path)]

    @property
    def points(self) -> tuple[float, ...]:
        """Rates, or bits per pixel: see `unit`."""
        return self.bpps or self.rates or DEFAULT_RATES

    @property
    def unit(self) -> Literal["rate", "bpp"]:
        """What `points` are in."""
        return "rate" if self.bpps is None else "bpp"

    @property
    def whole_efforts(self) -> tuple[int, ...]:
        """The efforts as integers; `check` has refused others."""
        return tuple(int(effort) for effort in self.efforts)

    def engine(self) -> Engine:
        """Where our networks run."""
        return Engine(self.device, self.precision, library=self.library)


def is_stdout(path: Path | None) -> bool:
    """Whether ``path`` is the - of stdout."""
    return path is not None and str(path) == "-"


def make_plan(request: Request, say: Callable[[str], None]) -> Plan:
    """Find pictures, models and rivals; ``say`` takes messages about rivals left out. Raises VrcError."""
    from vrcodec.bench.cache import default_folder
    from vrcodec.bench.codecs import choose_families, subsample
    from vrcodec.bench.machine import describe_machine, library_versions
    from vrcodec.bench.rivals import choose_rivals, expand_efforts
    from vrcodec.bench.runner import Plan, name_pictures
    from vrcodec.metrics import choose_metrics
    from vrcodec.models.backends import get_threads
    from vrcodec.picture.folders import find_pictures

    paths = name_pictures(find_pictures(request.paths), request.paths)
    points = request.points
    rivals, missing = choose_rivals(request.rivals)
    for message in missing:
        say(message)
    if any(request.whole_efforts):
        rivals = expand_efforts(rivals, request.whole_efforts)
    if request.quick:
        paths = {name: paths[name] for name in subsample(list(paths), _QUICK_PICTURES)}
        points = subsample(points, _QUICK_POINTS)
        rivals = [replace(r, points=subsample(r.points, _QUICK_POINTS)) for r in rivals]
    families = choose_families(
        request.models,
        points,
        request.unit,
        request.engine(),
        request.whole_efforts,
        request.tunes or (None,),
    )
    codecs: list[Codec] = [*families, *rivals]
    threads = request.threads or max(1, get_threads() // request.jobs)
    metrics = tuple(metric.name for metric in choose_metrics(_wanted_metrics(request, say)))
    conditions = (
        f"{describe_machine(request.engine(), threads)} {library_versions()} {request.jobs} jobs"
    )
    return Plan(
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


def _wanted_metrics(request: Request, say: Callable[[str], None]) -> tuple[str, ...]:
    """The metrics that were asked for; without any, what is installed of the default ones."""
    from vrcodec.metrics import installed_metrics

    if request.metrics != DEFAULT_METRICS:
        return request.metrics
    metrics = installed_metrics(DEFAULT_METRICS)
    missing = [name for name in DEFAULT_METRICS if name not in metrics]
    if not is_installed("bjontegaard"):
        missing += ["BD-rates", "plots", "reports"]
    if missing:
        say(f"pip install 'vrcodec[bench]' would add: {', '.join(missing)}")
    return metrics


def collect_provenance(request: Request, plan: Plan) -> dict[str, Any]:
    """Machine, library versions, weights and command line of the results, for JSON."""
    from vrcodec.bench.codecs import Family
    from vrcodec.bench.machine import describe_machine, library_versions

    families = [codec for codec in plan.codecs if isinstance(codec, Family)]
    return {
        "machine": {**describe_machine(request.engine(), plan.threads), "jobs": plan.jobs},
        "versions": library_versions(),
        # A search changes nothing about the weights.
        "weights": {replace(family, effort=0).name: family.weights for family in families},
        "command": ["vrcodec", *sys.argv[1:]],
    }
