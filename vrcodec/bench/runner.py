"""Running a benchmark: every picture by every codec, in this process or in several."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from vrcodec.bench.cache import Cache
from vrcodec.bench.codecs import Codec, synchroniser
from vrcodec.bench.measure import RoundTrip, Sample, picture_hash
from vrcodec.engine import Engine
from vrcodec.errors import LimitError, OutputError, VrcError
from vrcodec.limits import Limits
from vrcodec.metrics import choose_metrics
from vrcodec.models.backends import set_threads
from vrcodec.picture.picture import Picture
from vrcodec.picture.reading import open_colours


@dataclass(frozen=True)
class Plan:
    """What to measure, and how.

    ``paths``: by the name of the picture in the results. ``threads``: of each of ``jobs`` processes.
    ``conditions``: what results depend on beside codec, setting and picture. ``memory``: whether to measure
    that, for which one point is coded once more.
    """

    paths: dict[str, Path]
    codecs: Sequence[Codec]
    metrics: tuple[str, ...]
    engine: Engine
    limits: Limits
    cache: Path
    conditions: str
    resume: bool
    threads: int
    jobs: int = 1
    memory: bool = True


@dataclass(frozen=True)
class PictureInfo:
    """A measured picture."""

    name: str
    width: int
    height: int
    sha256: str

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


@dataclass
class Outcome:
    """Results of a plan. ``samples``: by codec, then by picture; ``problems``: messages."""

    pictures: dict[str, PictureInfo] = field(default_factory=dict)
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    interrupted: bool = False

    def complete_pictures(self) -> list[PictureInfo]:
        """Pictures that every codec has results of, sorted by name: means are taken over these.

        A codec that has met its targets on no picture makes no curve, and takes none from the others.
        """
        names = set(self.pictures)
        for by_picture in self.samples.values():
            names &= {name for name, samples in by_picture.items() if samples} or set(by_picture)
        return [self.pictures[name] for name in sorted(names)]


@dataclass(frozen=True)
class _Result:
    """``error``: why there are no samples; ``notes``: what was left out of them, or not kept, in words."""

    codec: str
    picture: str
    info: PictureInfo | None = None
    samples: tuple[Sample, ...] = ()
    error: str | None = None
    notes: tuple[str, ...] = ()


def run_plan(plan: Plan, advance: Callable[[str], None]) -> Outcome:
    """Measure ``plan``; calls ``advance`` with picture and codec after each of them.

    A picture that cannot be read or coded is noted as a problem, and so are points that no file meets, and a
    cache that takes no more.
    KeyboardInterrupt ends the run; the outcome has what was finished.
    """
    outcome = Outcome(samples={codec.name: {} for codec in plan.codecs})
    try:
        with _start_measuring(plan) as results:
            for result in results:
                _add_result(outcome, result)
                advance(f"{result.picture} {result.codec}")
    except KeyboardInterrupt:
        outcome.interrupted = True
    return outcome


def _add_result(outcome: Outcome, result: _Result) -> None:
    for problem in (result.error, *result.notes):
        if problem and problem not in outcome.problems:
            outcome.problems.append(problem)
    if result.error:
        return
    assert result.info is not None
    outcome.pictures[result.picture] = result.info
    outcome.samples[result.codec][result.picture] = list(result.samples)


@contextmanager
def _start_measuring(plan: Plan) -> Iterator[Iterator[_Result]]:
    # By picture, not by codec: so results of an interrupted run can be compared.
    tasks = [(codec, name) for name in plan.paths for codec in plan.codecs]
    if plan.jobs == 1:
        worker = _Worker(plan)
        yield (worker.measure(*task) for task in tasks)
        return
    # Here first, where its error is a sentence: of a process that cannot begin, nothing is heard.
    Cache(plan.cache, plan.conditions, reuse=False)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(plan.jobs, context, _start_worker, (plan,))
    try:
        futures = [pool.submit(_measure, *task) for task in tasks]
        yield (future.result() for future in as_completed(futures))
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise LimitError(
                "a process has died, perhaps for want of memory; take fewer --jobs, and --resume"
            ) from error
        raise
    pool.shutdown()


class _Worker:
    """The state of one measuring process."""

    def __init__(self, plan: Plan) -> None:
        set_threads(plan.threads)
        self._plan = plan
        self._cache = Cache(plan.cache, plan.conditions, reuse=plan.resume)
        metrics = choose_metrics(plan.metrics)
        self._round_trip = RoundTrip(metrics, synchroniser(plan.engine), plan.memory)

    def measure(self, codec: Codec, name: str) -> _Result:
        """Measure one picture by one codec."""
        try:
            picture = _read_picture(self._plan.paths[name], self._plan.limits)
            digest = picture_hash(picture)
            samples, new = self._measure_points(codec, picture, digest)
        except VrcError as error:
            return _Result(codec.name, name, error=_error_message(name, error))
        info = PictureInfo(name, picture.width, picture.height, digest)
        notes = (_describe_unmet(codec, name, samples), self._keep(codec, digest, new))
        return _Result(
            codec.name, name, info, tuple(samples), notes=tuple(note for note in notes if note)
        )

    def _keep(self, codec: Codec, digest: str, samples: Sequence[Sample]) -> str | None:
        """Put samples into the cache; where it takes none, why: they count in this run all the same."""
        try:
            if samples:
                self._cache.put(codec.identity, digest, samples)
        except OutputError as error:
            return str(error)
        return None

    def _measure_points(
        self, codec: Codec, picture: Picture, digest: str
    ) -> tuple[list[Sample], list[Sample]]:
        """All samples, and those of them that are new."""
        samples, missing = [], []
        measured: list[Sample] = []
        for point in codec.points:
            sample = self._cache.get(codec.identity, point, digest, self._plan.metrics)
            if sample:
                samples.append(sample)
            else:
                missing.append(point)
        if missing:
            measured = list(self._round_trip.measure(codec, picture, missing))
        return sorted(samples + measured, key=lambda sample: sample.setting), measured


_worker: _Worker | None = None


def _start_worker(plan: Plan) -> None:
    global _worker
    # Ctrl-C reaches all processes of a terminal; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = _Worker(plan)


def _end_with_parent() -> None:
    """Of a parent that was killed, the processes of a pool would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _measure(codec: Codec, name: str) -> _Result:
    assert _worker is not None
    return _worker.measure(codec, name)


@lru_cache(maxsize=1)
def _read_picture(path: Path, limits: Limits) -> Picture:
    """Cached: all codecs code a picture before the next one is read."""
    return open_colours(path, limits=limits)


def _describe_unmet(codec: Codec, name: str, samples: Sequence[Sample]) -> str | None:
    """What to say of the points of ``codec`` that have no sample; None where all have one."""
    unmet = sorted(set(codec.points) - {sample.setting for sample in samples})
    if not unmet:
        return None
    limits = ", ".join(f"{point:g}" for point in unmet)
    return f"{name}: {codec.title}: no rate gives at most {limits} bpp; left out"


def _error_message(name: str, error: VrcError) -> str:
    return str(error) if name in str(error) else f"{name}: {error}"


def name_pictures(paths: Sequence[Path], inputs: Sequence[Path]) -> dict[str, Path]:
    """``paths`` by short, distinct names: relative to the folder of ``inputs`` that holds them.

    A file that several of them lead to is taken once.
    """
    names: dict[str, Path] = {}
    files: dict[str, Path] = {}
    for path in paths:
        files.setdefault(os.path.realpath(path), path)
    for path in files.values():
        roots = [root for root in inputs if os.path.isdir(root) and path.is_relative_to(root)]
        short = str(path.relative_to(roots[0])) if roots else path.name
        names[free_name(names, short, str(path))] = path
    return names


def free_name(taken: Container[str], *wanted: str) -> str:
    """The first of ``wanted`` that is not ``taken``, or else the last with a number."""
    numbered = (f"{wanted[-1]} ({number})" for number in itertools.count(2))
    return next(name for name in itertools.chain(wanted, numbered) if name not in taken)
