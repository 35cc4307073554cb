"""A worker process: reads the next picture and writes the last one while it codes the present one."""

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

from vrcodec.batch.handler import Coded, Handler, Source
from vrcodec.batch.items import Item, Outcome
from vrcodec.files import discard_partials

# The number of no item.
NONE = 0
# Before another try, doubled with each: what is out of order elsewhere needs time.
_PAUSE_SECONDS = 0.25


@dataclass(frozen=True)
class Appetite:
    """The first thing that a worker says: how many pictures it likes to have read ahead."""

    count: int


def serve(handler: Handler, connection: Connection) -> None:
    """Do the items that come through ``connection`` (number, item) until None comes or the other end is gone.

    Sends back its `Appetite`, (number, None) when the coding of one begins, (`NONE`, None) before it looks at
    several, and (number, outcome).
    """
    signal.signal(signal.SIGTERM, _leave)
    # Ctrl-C reaches all processes of a terminal; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = _Line(handler, connection)
    # Whoever wanted it may be gone.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        line.run()
    # Without taking torch apart.
    os._exit(0)


def _leave(number: int, frame: FrameType | None) -> None:
    discard_partials()
    os._exit(128 + number)


class _Line:
    """The three steps of a worker, each in a thread of its own."""

    def __init__(self, handler: Handler, connection: Connection) -> None:
        self._handler = handler
        self._connection = connection
        self._sending = threading.Lock()
        self._ahead = handler.ahead
        self._ready: queue.Queue[tuple[int, Source] | None] = queue.Queue(self._ahead)

    def run(self) -> None:
        """Code in this thread, until there is no more."""
        self._connection.send(Appetite(self._ahead))
        threading.Thread(target=self._read, daemon=True).start()
        with ThreadPoolExecutor(1) as writer:
            while group := self._next():
                self._foresee([source for _, source in group])
                for number, source in group:
                    if source.outcome is not None:
                        self._send(number, source.outcome)
                        continue
                    self._send(number, None)
                    writer.submit(self._finish, number, self._handler.code(source))

    def _foresee(self, sources: Sequence[Source]) -> None:
        if self._ahead > 1:
            # Whoever dies here does not die of the picture that was begun last.
            self._send(NONE, None)
            self._handler.foresee(sources)

    def _next(self) -> list[tuple[int, Source]]:
        """What has been read, one at least; nothing when there is no more."""
        group = []
        entry = self._ready.get()
        while entry is not None:
            group.append(entry)
            if len(group) == self._ahead or self._ready.empty():
                return group
            entry = self._ready.get()
        # For the next call.
        self._ready.put(None)
        return group

    def _read(self) -> None:
        try:
            for number, item in self._received():
                if item.attempt:
                    threading.Event().wait(_PAUSE_SECONDS * 2**item.attempt)
                self._ready.put((number, self._handler.read(item)))
        finally:
            self._ready.put(None)

    def _received(self) -> Iterator[tuple[int, Item]]:
        while True:
            try:
                entry: tuple[int, Item] | None = self._connection.recv()
            except (EOFError, OSError):
                return
            if entry is None:
                return
            yield entry

    def _finish(self, number: int, coded: Coded | Outcome) -> None:
        outcome = coded if isinstance(coded, Outcome) else self._handler.write(coded)
        self._send(number, outcome)

    def _send(self, number: int, outcome: Outcome | None) -> None:
        with self._sending:
            self._connection.send((number, outcome))
