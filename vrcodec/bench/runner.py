"""Running a benchmark: every picture by every codec, in this process or in several."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from vrcodec.bench.cache import Cache
from vrcodec.bench.codecs import Codec, synchroniser
from vrcodec.bench.measure import Sample, Trial, picture_hash
from vrcodec.codec import Engine
from vrcodec.errors import VrcError
from vrcodec.limits import Limits
from vrcodec.metrics import choose_metrics
from vrcodec.picture.picture import Picture
from vrcodec.picture.reading import open_colours


@dataclass(frozen=True)
class Plan:
    """What is to be measured, and how.

    ``paths`` by the name that results give a picture. ``threads`` of each of ``jobs`` processes.
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
    """What came of a plan. ``samples`` by codec, then by picture; ``problems`` in words."""

    pictures: dict[str, PictureInfo] = field(default_factory=dict)
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    interrupted: bool = False

    def complete(self) -> list[PictureInfo]:
        """Pictures that every codec has results of, sorted: the ones that means are taken over."""
        names = set(self.pictures)
        for of_codec in self.samples.values():
            names &= set(of_codec)
        return [self.pictures[name] for name in sorted(names)]


@dataclass(frozen=True)
class _Result:
    codec: str
    picture: str
    info: PictureInfo | None = None
    samples: tuple[Sample, ...] = ()
    error: str | None = None


def run(plan: Plan, advance: Callable[[str], None]) -> Outcome:
    """Carry out ``plan``; calls ``advance`` with a word about each finished piece.

    A picture that cannot be read or coded is a problem and no reason to stop. KeyboardInterrupt ends the
    run; what was finished is in the outcome.
    """
    outcome = Outcome(samples={codec.name: {} for codec in plan.codecs})
    try:
        with _results(plan) as results:
            for result in results:
                _take(outcome, result)
                advance(f"{result.picture} {result.codec}")
    except KeyboardInterrupt:
        outcome.interrupted = True
    return outcome


def _take(outcome: Outcome, result: _Result) -> None:
    if result.error:
        if result.error not in outcome.problems:
            outcome.problems.append(result.error)
        return
    assert result.info is not None
    outcome.pictures[result.picture] = result.info
    outcome.samples[result.codec][result.picture] = list(result.samples)


@contextmanager
def _results(plan: Plan) -> Iterator[Iterator[_Result]]:
    # By picture, not by codec: what an interrupt leaves can be compared.
    tasks = [(codec, name) for name in plan.paths for codec in plan.codecs]
    if plan.jobs == 1:
        worker = _Worker(plan)
        yield (worker.work(*task) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(plan.jobs, context, _start_worker, (plan,))
    try:
        futures = [pool.submit(_work, *task) for task in tasks]
        yield (future.result() for future in as_completed(futures))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    pool.shutdown()


class _Worker:
    """What one process needs to measure."""

    def __init__(self, plan: Plan) -> None:
        import torch

        torch.set_num_threads(plan.threads)
        self._plan = plan
        self._cache = Cache(plan.cache, plan.conditions, reuse=plan.resume)
        metrics = choose_metrics(plan.metrics)
        self._trial = Trial(metrics, synchroniser(plan.engine), plan.memory)

    def work(self, codec: Codec, name: str) -> _Result:
        """Measure one picture by one codec."""
        try:
            picture = _read(self._plan.paths[name], self._plan.limits)
            digest = picture_hash(picture)
            samples = self._samples(codec, picture, digest)
        except VrcError as error:
            return _Result(codec.name, name, error=_with_name(name, error))
        info = PictureInfo(name, picture.width, picture.height, digest)
        return _Result(codec.name, name, info, tuple(samples))

    def _samples(self, codec: Codec, picture: Picture, digest: str) -> list[Sample]:
        found, missing = [], []
        for point in codec.points:
            sample = self._cache.get(codec.identity, point, digest, self._plan.metrics)
            if sample:
                found.append(sample)
            else:
                missing.append(point)
        if missing:
            fresh = list(self._trial.measure(codec, picture, missing))
            self._cache.put(codec.identity, digest, fresh)
            found += fresh
        return sorted(found, key=lambda sample: sample.setting)


_worker: _Worker | None = None


def _start_worker(plan: Plan) -> None:
    global _worker
    # Ctrl-C reaches all processes of a terminal; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker = _Worker(plan)


def _work(codec: Codec, name: str) -> _Result:
    assert _worker is not None
    return _worker.work(codec, name)


@lru_cache(maxsize=1)
def _read(path: Path, limits: Limits) -> Picture:
    """All codecs see a picture before the next one is read."""
    return open_colours(path, limits=limits)


def _with_name(name: str, error: VrcError) -> str:
    return str(error) if name in str(error) else f"{name}: {error}"


def named(paths: Sequence[Path], given: Sequence[Path]) -> dict[str, Path]:
    """Names for the pictures ``paths``, found in ``given`` folders and files: short, and different."""
    names: dict[str, Path] = {}
    for path in paths:
        roots = [root for root in given if root.is_dir() and path.is_relative_to(root)]
        short = str(path.relative_to(roots[0])) if roots else path.name
        names[short if short not in names else str(path)] = path
    return names
