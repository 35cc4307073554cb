"""Peak resident memory of a piece of work, on Linux."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_KIB_PER_MIB = 1024


@dataclass
class Peak:
    """``mib``: MiB beyond what was resident before the work; None where the system does not report it."""

    mib: float | None = None


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the body's peak of resident memory, on Linux.

    Memory that the allocator keeps from earlier work is given back first: reused, it would not count.
    That costs time, so times are not taken in the same run.
    """
    peak = Peak()
    if not _CLEAR_REFS.exists():
        yield peak
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
        before = _read_status("VmRSS")
    except (OSError, ValueError):
        yield peak
        return
    yield peak
    peak.mib = max(0.0, (_read_status("VmHWM") - before) / _KIB_PER_MIB)


def _read_status(field: str) -> float:
    """A field of /proc/self/status, in KiB."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return float(line.split()[1])
    raise ValueError(f"no {field} in {_STATUS}")
