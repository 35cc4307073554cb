"""SIGINT and SIGTERM end the program at once, wherever it is, and nothing half-written stays behind.

No exception is raised for them: inside an import, a destructor or a library's callback one would be lost, or
show a traceback. Work that can be cut short, and has something to keep then, asks for exceptions (`raised`).
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

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def install() -> None:
    """Be ready for signals; those that whoever started the program has switched off stay so."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def ignore() -> None:
    """The work is done: too late to be interrupted."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Signals raise KeyboardInterrupt and SystemExit in the body."""
    own = {number: signal.getsignal(number) for number in _SIGNALS}
    ours = [number for number, handler in own.items() if handler is _end]
    for number in ours:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, own[number])


def _raise(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _end(number: int, frame: FrameType | None) -> None:
    ignore()
    discard_partials()
    output.end_bar()
    if number == signal.SIGINT:
        # Past the buffers of Python: whoever holds their locks may be what was interrupted.
        with contextlib.suppress(OSError):
            os.write(2, b"vrcodec: interrupted\n")
    os._exit(128 + number)
