"""Timing of the named stages of encoding and decoding, only inside `record_stages`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


def _no_synchronisation() -> None:
    pass


@dataclass
class StageTimes:
    """Seconds spent in each stage, in the order in which stages first began.

    ``synchronise`` is called at both ends of a stage: work on a GPU goes on after its call returns.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    synchronise: Callable[[], None] = _no_synchronisation
    # Seconds of the stages inside the present one.
    nested: float = 0.0


_active_times: ContextVar[StageTimes | None] = ContextVar("stages", default=None)


@contextmanager
def record_stages(synchronise: Callable[[], None] = _no_synchronisation) -> Iterator[StageTimes]:
    """Time the stages of everything called in the body; yields the times, which fill up meanwhile."""
    times = StageTimes(synchronise=synchronise)
    token = _active_times.set(times)
    try:
        yield times
    finally:
        _active_times.reset(token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Time the body as stage ``name``, without the stages inside it. The body must not contain a ``yield``."""
    times = _active_times.get()
    if times is None:
        yield
        return
    times.synchronise()
    outer, times.nested = times.nested, 0.0
    start = time.perf_counter()
    try:
        yield
    finally:
        times.synchronise()
        elapsed = time.perf_counter() - start
        times.seconds[name] = times.seconds.get(name, 0.0) + elapsed - times.nested
        times.nested = outer + elapsed
