"""Where the time goes: named stages of encoding and decoding, timed only while someone listens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


def _nothing() -> None:
    pass


@dataclass
class StageTimes:
    """Seconds spent in each stage, in the order in which stages first began.

    ``synchronise`` is called at both ends of a stage: work on a GPU goes on after its call returns.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    synchronise: Callable[[], None] = _nothing
    # Of stages inside the present one.
    nested: float = 0.0


_listening: ContextVar[StageTimes | None] = ContextVar("stages", default=None)


@contextmanager
def recorded(synchronise: Callable[[], None] = _nothing) -> Iterator[StageTimes]:
    """Time the stages of everything that is called inside."""
    times = StageTimes(synchronise=synchronise)
    token = _listening.set(times)
    try:
        yield times
    finally:
        _listening.reset(token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """The body is stage ``name``, but for the stages inside it. No stage spans a ``yield``."""
    times = _listening.get()
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
        spent = time.perf_counter() - start
        times.seconds[name] = times.seconds.get(name, 0.0) + spent - times.nested
        times.nested = outer + spent
