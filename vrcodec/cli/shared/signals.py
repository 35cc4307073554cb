"""Handling of SIGINT and SIGTERM: they end the program at once, and no partial file stays behind.

No exception is raised for them: inside an import, a destructor or a library's callback one would be lost, or
show a traceback. Work that keeps something when it is interrupted asks for exceptions (`as_exceptions`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from vrcodec.cli.shared import output
from vrcodec.files import discard_partials

EXIT_INTERRUPTED = 128 + signal.SIGINT
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
    installed = [number for number in _SIGNALS if signal.getsignal(number) is _end_process]
    for number in installed:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in installed:
            signal.signal(number, _end_process)


def _raise(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _end_process(number: int, frame: FrameType | None) -> None:
    ignore()
    discard_partials()
    output.clear_bar()
    if number == signal.SIGINT:
        # Not through Python's buffers: the interrupted code may hold their locks.
        with contextlib.suppress(OSError):
            os.write(2, b"vrcodec: interrupted\n")
    os._exit(128 + number)
