"""Peak memory of a piece of work."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_MIB = 1024


@dataclass
class Peak:
    """``mib``: MiB beyond what was resident before the work; None where the system does not tell."""

    mib: float | None = None


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the body's peak of resident memory, on Linux.

    Memory that the allocator keeps from earlier work is given back first: reused, it would not count.
    That costs time, so times are not taken in the same run.
    """
    peak = Peak()
    if not _CLEAR.exists():
        yield peak
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        _CLEAR.write_text(_RESET_PEAK)
        before = _status("VmRSS")
    except (OSError, ValueError):
        yield peak
        return
    yield peak
    peak.mib = max(0.0, (_status("VmHWM") - before) / _MIB)


def _status(field: str) -> float:
    """A field of /proc/self/status, in KiB."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return float(line.split()[1])
    raise ValueError(f"no {field} in {_STATUS}")
