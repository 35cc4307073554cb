"""Worker processes, and who gives them their work; one that dies takes no more with it than its picture."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from vrcodec.batch.handler import Handler
from vrcodec.batch.items import Item, Outcome
from vrcodec.batch.worker import Appetite, serve

# What a worker may take: the libraries, a model, and pictures of some megapixels.
_WORKER_BYTES = 1 << 31
_END_SECONDS = 10.0
# Read by libraries when they load: their threads would wait for each other on every small picture.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def usual_jobs(count: int) -> int:
    """Workers for ``count`` pictures where nobody chose: one a core, as far as memory goes."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min(count, cores, _memory() // _WORKER_BYTES))


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 62


def outcomes(
    handler: Handler, items: Iterable[Item], jobs: int, retries: int = 0
) -> Iterator[Outcome]:
    """Do all items in ``jobs`` processes; yields what became of each, as it comes.

    ``items`` are taken as workers come to need them. Failures that may pass are tried again, ``retries`` times
    at most, behind the others. Workers are ended when the iterator is closed.
    """
    pool = _Pool(handler, items, retries)
    try:
        yield from pool.outcomes(jobs)
    finally:
        pool.end()


@dataclass
class _Member:
    """A worker. ``held``: items that it has, in order; ``waiting``: those it has not begun."""

    process: SpawnProcess
    connection: Connection
    held: dict[int, Item] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)
    begun: int | None = None
    appetite: int = 1

    def give(self, number: int, item: Item) -> None:
        self.held[number] = item
        self.waiting.add(number)
        # One that is gone is noticed when it is listened to.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send((number, item))

    def begins(self, number: int) -> None:
        self.waiting.discard(number)
        self.begun = number

    def finishes(self, number: int) -> Item:
        self.waiting.discard(number)
        return self.held.pop(number)

    def blamed(self) -> Item | None:
        """Take out the item at which the worker died, as far as one can tell."""
        if self.begun in self.held:
            return self.held.pop(self.begun)
        first = next(iter(self.held), None)
        return None if first is None else self.held.pop(first)


class _Pool:
    def __init__(self, handler: Handler, items: Iterable[Item], retries: int) -> None:
        self._handler = handler
        self._items = iter(items)
        self._retries = retries
        self._again: deque[Item] = deque()
        self._members: list[_Member] = []
        self._number = 0

    def outcomes(self, jobs: int) -> Iterator[Outcome]:
        """What becomes of each item."""
        while True:
            self._feed(jobs)
            busy = {member.connection: member for member in self._members if member.held}
            if not busy:
                return
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                yield from self._listen(busy[connection])

    def _feed(self, jobs: int) -> None:
        """Give each worker what it reads beyond the one that it codes; idle workers come first."""
        for member in sorted(self._members, key=lambda member: len(member.held)):
            while len(member.waiting) < member.appetite and (item := self._next()):
                self._give(member, item)
        while len(self._members) < jobs and (item := self._next()):
            self._members.append(_started(self._handler))
            self._give(self._members[-1], item)

    def _next(self) -> Item | None:
        item = next(self._items, None)
        if item is None and self._again:
            item = self._again.popleft()
        return item

    def _give(self, member: _Member, item: Item) -> None:
        self._number += 1
        member.give(self._number, item)

    def _listen(self, member: _Member) -> Iterator[Outcome]:
        try:
            message = member.connection.recv()
        except (EOFError, OSError):
            yield from self._bury(member)
            return
        if isinstance(message, Appetite):
            member.appetite = message.count
            return
        number, outcome = message
        if outcome is None:
            member.begins(number)
        else:
            yield from self._judge(member.finishes(number), outcome)

    def _bury(self, member: _Member) -> Iterator[Outcome]:
        """One picture pays for a worker that died; what else it had is done by others."""
        self._members.remove(member)
        member.process.join()
        item = None
        if member.appetite > 1 and member.begun not in member.held:
            # It died of one of several. Others will take them one by one, and the one will show.
            self._handler = replace(self._handler, foresees=False)
        else:
            item = member.blamed()
        others = [replace(other, returned=True) for other in member.held.values()]
        self._again.extendleft(reversed(others))
        member.connection.close()
        if item is not None:
            words = f"{item.source}: its process {_end_words(member.process.exitcode)}"
            yield from self._judge(item, item.failed(words, "WorkerDied", passing=True))

    def _judge(self, item: Item, outcome: Outcome) -> Iterator[Outcome]:
        if outcome.passing and item.attempt < self._retries:
            self._again.append(replace(item, attempt=item.attempt + 1))
        else:
            yield outcome

    def end(self) -> None:
        """Let idle workers go; end those that are not."""
        for member in self._members:
            if member.held:
                member.process.terminate()
            member.connection.close()
        for member in self._members:
            member.process.join(_END_SECONDS)
            if member.process.is_alive():
                member.process.kill()


def _started(handler: Handler) -> _Member:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(handler, there), daemon=True)
    with _environment(_ONE_THREAD):
        process.start()
    there.close()
    return _Member(process, here)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """``values`` for processes that are started inside, where the user has set none."""
    fresh = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(fresh)
    try:
        yield
    finally:
        for name in fresh:
            del os.environ[name]


def _end_words(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was ended by {name}" + ("; memory may have run out" if name == "SIGKILL" else "")
