"""A worker process: a pipeline of threads that read the next picture, code one, and write the last one."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType

from vrcodec.batch.items import Item, Outcome
from vrcodec.batch.processor import CodedItem, ItemProcessor, ReadItem
from vrcodec.errors import explain_shortage
from vrcodec.files import discard_partials

# Items are numbered from 1.
NO_ITEM = 0
# Before another try, doubled with each: transient failures need time to pass.
_RETRY_PAUSE_SECONDS = 0.25


@dataclass(frozen=True)
class BatchSize:
    """The message of a worker that has loaded what codes: how many pictures it prepares together.

    Until then it reads one ahead, and where all is up to date nothing is loaded.
    """

    count: int


def run_worker(processor: ItemProcessor, connection: Connection) -> None:
    """Process the items that come through ``connection``, as (number, item), until None comes or it is closed.

    Sends back its `BatchSize` before the first coding, (number, None) when the coding of an item begins,
    (`NO_ITEM`, None) before a batch is prepared, and (number, outcome).
    """
    signal.signal(signal.SIGTERM, _terminate)
    # Ctrl-C reaches all processes of a terminal; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipeline = _Pipeline(processor, connection)
    # The parent may be gone.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        try:
            pipeline.run()
        except Exception as error:
            shortage = explain_shortage(error)
            if shortage is None:
                raise
            # The parent tells by it what was missing.
            os._exit(shortage.exit_code)
    # The interpreter would take 0.4 s to tear torch down.
    os._exit(0)


def _terminate(number: int, frame: FrameType | None) -> None:
    discard_partials()
    os._exit(128 + number)


class _Pipeline:
    """Reading, coding and writing, each in a thread of its own."""

    def __init__(self, processor: ItemProcessor, connection: Connection) -> None:
        self._processor = processor
        self._connection = connection
        self._send_lock = threading.Lock()
        self._batch_size: int | None = None
        # Of the thread that reads.
        self._failure: Exception | None = None
        # The parent sends no more than is to be read ahead.
        self._read_items: queue.SimpleQueue[tuple[int, ReadItem] | None] = queue.SimpleQueue()

    def run(self) -> None:
        """Code in this thread, until no more items come."""
        threading.Thread(target=self._read_all, daemon=True).start()
        with ThreadPoolExecutor(1) as writer:
            while batch := self._next_batch():
                if any(source.outcome is None for _, source in batch):
                    self._prepare([source for _, source in batch])
                for number, source in batch:
                    if source.outcome is not None:
                        self._send(number, source.outcome)
                        continue
                    self._send(number, None)
                    writer.submit(self._write, number, self._processor.code(source))
        if self._failure is not None:
            raise self._failure

    def _prepare(self, sources: Sequence[ReadItem]) -> None:
        if self._batch_size is None:
            self._batch_size = self._processor.batch_size
            with self._send_lock:
                self._connection.send(BatchSize(self._batch_size))
        if self._batch_size > 1:
            # A worker that dies here must not be taken to have died of the picture that was begun last.
            self._send(NO_ITEM, None)
            self._processor.prepare_batch(sources)

    def _next_batch(self) -> list[tuple[int, ReadItem]]:
        """The items that have been read, one at least; empty at the end."""
        batch = []
        entry = self._read_items.get()
        while entry is not None:
            batch.append(entry)
            if len(batch) >= (self._batch_size or 1) or self._read_items.empty():
                return batch
            entry = self._read_items.get()
        # For the next call.
        self._read_items.put(None)
        return batch

    def _read_all(self) -> None:
        try:
            for number, item in self._receive_items():
                if item.attempt:
                    threading.Event().wait(_RETRY_PAUSE_SECONDS * 2**item.attempt)
                self._read_items.put((number, self._processor.read(item)))
        except Exception as error:
            self._failure = error
        finally:
            self._read_items.put(None)

    def _receive_items(self) -> Iterator[tuple[int, Item]]:
        while True:
            try:
                entry: tuple[int, Item] | None = self._connection.recv()
            except (EOFError, OSError):
                return
            if entry is None:
                return
            yield entry

    def _write(self, number: int, coded: CodedItem | Outcome) -> None:
        outcome = coded if isinstance(coded, Outcome) else self._processor.write(coded)
        self._send(number, outcome)

    def _send(self, number: int, outcome: Outcome | None) -> None:
        with self._send_lock:
            self._connection.send((number, outcome))
