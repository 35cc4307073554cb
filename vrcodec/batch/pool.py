"""A pool of worker processes; one that dies costs no more than the picture that it was coding."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from vrcodec.batch.items import Item, Outcome
from vrcodec.batch.processor import ItemProcessor
from vrcodec.batch.worker import BatchSize, run_worker
from vrcodec.errors import DeviceError, LimitError
from vrcodec.extras import require_working_folder

# Memory of a worker: the libraries, a model, and pictures of some megapixels.
_WORKER_BYTES = 1 << 31
_JOIN_SECONDS = 10.0
# How a worker's process ended that had too little of something.
_SHORTAGES = {
    LimitError.exit_code: "ended: too little memory, or too few processes or threads",
    DeviceError.exit_code: "ended: a library cannot be loaded, perhaps for want of memory",
}
# Read by libraries when they load: on small pictures, their threads would wait for each other.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def default_jobs(count: int) -> int:
    """How many workers ``count`` pictures get without --jobs: one a core, as far as memory allows."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min(count, cores, _physical_memory() // _WORKER_BYTES))


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 62


def run_in_pool(
    processor: ItemProcessor, items: Iterable[Item], jobs: int, retries: int = 0
) -> Iterator[Outcome]:
    """Process all items in ``jobs`` processes; yields the outcome of each as it comes.

    ``items`` are taken as workers need them. Transient failures are tried again, ``retries`` times at most,
    after all others. Workers are ended when the iterator is closed.
    """
    pool = _Pool(processor, items, retries)
    try:
        yield from pool.outcomes(jobs)
    finally:
        pool.end()


@dataclass
class _Worker:
    """A worker process. ``assigned``: its items by number, in order; ``queued``: those it has not begun.

    ``current``: the item that it began last.
    """

    process: SpawnProcess
    connection: Connection
    assigned: dict[int, Item] = field(default_factory=dict)
    queued: set[int] = field(default_factory=set)
    current: int | None = None
    batch_size: int = 1

    def assign(self, number: int, item: Item) -> None:
        self.assigned[number] = item
        self.queued.add(number)
        # A worker that has died is noticed when its messages are read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send((number, item))

    def begin(self, number: int) -> None:
        self.queued.discard(number)
        self.current = number

    def finish(self, number: int) -> Item:
        self.queued.discard(number)
        return self.assigned.pop(number)

    def pop_suspect(self) -> Item | None:
        """Take out the item that probably killed the worker: the one begun last, or else the first."""
        if self.current in self.assigned:
            return self.assigned.pop(self.current)
        first = next(iter(self.assigned), None)
        return None if first is None else self.assigned.pop(first)


class _Pool:
    def __init__(self, processor: ItemProcessor, items: Iterable[Item], retries: int) -> None:
        self._processor = processor
        self._items = iter(items)
        self._retries = retries
        self._retry_queue: deque[Item] = deque()
        self._workers: list[_Worker] = []
        self._last_number = 0

    def outcomes(self, jobs: int) -> Iterator[Outcome]:
        """The outcome of each item."""
        while True:
            self._assign_items(jobs)
            busy = {worker.connection: worker for worker in self._workers if worker.assigned}
            if not busy:
                return
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                yield from self._receive(busy[connection])

    def _assign_items(self, jobs: int) -> None:
        """Give each worker a batch to read ahead beside the items that it codes; idle workers come first."""
        for worker in sorted(self._workers, key=lambda worker: len(worker.assigned)):
            while len(worker.queued) < worker.batch_size and (item := self._next_item()):
                self._assign(worker, item)
        while len(self._workers) < jobs and (item := self._next_item()):
            self._workers.append(_start_worker(self._processor))
            self._assign(self._workers[-1], item)

    def _next_item(self) -> Item | None:
        item = next(self._items, None)
        if item is None and self._retry_queue:
            item = self._retry_queue.popleft()
        return item

    def _assign(self, worker: _Worker, item: Item) -> None:
        self._last_number += 1
        worker.assign(self._last_number, item)

    def _receive(self, worker: _Worker) -> Iterator[Outcome]:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._remove_dead(worker)
            return
        if isinstance(message, BatchSize):
            worker.batch_size = message.count
            return
        number, outcome = message
        if outcome is None:
            worker.begin(number)
        else:
            yield from self._retry_or_yield(worker.finish(number), outcome)

    def _remove_dead(self, worker: _Worker) -> Iterator[Outcome]:
        """One picture fails with a worker that died; its other items go back into the queue."""
        self._workers.remove(worker)
        worker.process.join()
        item = None
        if worker.batch_size > 1 and worker.current not in worker.assigned:
            # It died while preparing a batch. New workers take items one by one, which shows the culprit.
            self._processor = replace(self._processor, batching=False)
        else:
            item = worker.pop_suspect()
        others = [replace(other, reassigned=True) for other in worker.assigned.values()]
        self._retry_queue.extendleft(reversed(others))
        worker.connection.close()
        if item is not None:
            message = f"{item.source}: its process {_describe_exit(worker.process.exitcode)}"
            yield from self._retry_or_yield(
                item, item.failure(message, "WorkerDied", transient=True)
            )

    def _retry_or_yield(self, item: Item, outcome: Outcome) -> Iterator[Outcome]:
        if outcome.transient and item.attempt < self._retries:
            self._retry_queue.append(replace(item, attempt=item.attempt + 1))
        else:
            yield outcome

    def end(self) -> None:
        """Let idle workers exit; terminate busy ones."""
        for worker in self._workers:
            if worker.assigned:
                worker.process.terminate()
            worker.connection.close()
        for worker in self._workers:
            worker.process.join(_JOIN_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()


def _start_worker(processor: ItemProcessor) -> _Worker:
    require_working_folder("a worker process")
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    process = context.Process(target=run_worker, args=(processor, child_end), daemon=True)
    with _default_environment(_ONE_THREAD), _blocked_interrupts():
        process.start()
    child_end.close()
    return _Worker(process, parent_end)


@contextlib.contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """Ctrl-C, which reaches all processes of a terminal, waits behind the body, and passes by who begins there.

    Until it is told to ignore it (`run_worker`), a worker would show a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # When this helper of multiprocessing starts, it lets all signals pass.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _default_environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for processes started inside, where the user has not set them."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _describe_exit(code: int | None) -> str:
    if code in _SHORTAGES:
        return _SHORTAGES[code]
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was ended by {name}" + ("; memory may have run out" if name == "SIGKILL" else "")
