"""Handling of signals that end the program: at once, and no partial file stays behind.

SIGINT and SIGTERM, where the system has them SIGHUP (the terminal is gone) and SIGXCPU (`ulimit -t`).

No exception is raised for them: inside an import, a destructor or a library's callback one would be lost, or
show a traceback. Work that keeps something when it is interrupted asks for exceptions (`as_exceptions`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

from vrcodec.cli.shared import output
from vrcodec.files import discard_partials

EXIT_INTERRUPTED = 128 + signal.SIGINT
_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")
    if hasattr(signal, name)
)
_MESSAGES = {
    "SIGINT": b"vrcodec: interrupted\n",
    "SIGXCPU": b"vrcodec: the time of the processor that it may take is used up (ulimit -t)\n",
}


def install() -> None:
    """Handle signals, except those that the parent process has set to be ignored."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end_process)


def ignore() -> None:
    """Ignore signals: the work is done."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def as_exceptions() -> Iterator[None]:
    """Signals raise KeyboardInterrupt and SystemExit in the body."""
    with _handled_by(_raise):
        yield


@contextlib.contextmanager
def as_requests(*, twice_ends: bool = False) -> Iterator[Callable[[], bool]]:
    """The first signal is only noted: the body asks whether there was one, and ends when it suits it.

    A second one raises in the body, or with ``twice_ends`` ends the program; the first one raises behind it.
    """
    at_second = _end_process if twice_ends else _raise
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if noted:
            at_second(number, frame)
        noted.append(number)
        if output.verbosity >= output.NORMAL:
            _write_unbuffered(b"vrcodec: stopping behind this step; once more to stop at once\n")

    with _handled_by(note):
        yield lambda: bool(noted)
    if noted:
        _raise(noted[0], None)


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    installed = [number for number in _SIGNALS if signal.getsignal(number) is _end_process]
    for number in installed:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in installed:
            signal.signal(number, _end_process)


def _raise(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    _write_unbuffered(_MESSAGES.get(signal.Signals(number).name, b""))
    sys.exit(128 + number)


def _end_process(number: int, frame: FrameType | None) -> None:
    ignore()
    discard_partials()
    output.clear_bar()
    _write_unbuffered(_MESSAGES.get(signal.Signals(number).name, b""))
    os._exit(128 + number)


def _write_unbuffered(message: bytes) -> None:
    """Write to stderr, not through Python's buffers: the interrupted code may hold their locks."""
    with contextlib.suppress(OSError):
        os.write(2, message)
