"""What became of many items, in sum."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from vrcodec.batch.items import Outcome

# As many failures are in a report by name.
_NAMED = 100
_PREFIXES = "kMGTP"


@dataclass
class Totals:
    """Counts, bytes, pixels; ``seconds``: spent in coding, by all workers together."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    pixels: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, str]] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome) -> None:
        """Take one more into account. Bytes, pixels and seconds are of what was done, not skipped."""
        if outcome.outcome == "done":
            self.done += 1
            self.bytes_in += outcome.bytes_in
            self.bytes_out += outcome.bytes
            self.pixels += outcome.pixels
            self.seconds += outcome.seconds
        elif outcome.outcome == "skipped":
            self.skipped += 1
        else:
            self.failed += 1
            self.kinds[outcome.error_class] += 1
            if len(self.failures) < _NAMED:
                self.failures.append({"source": outcome.source, "error": outcome.error})

    @property
    def elapsed(self) -> float:
        """Seconds since the first of it."""
        return time.monotonic() - self.since

    def speed_words(self) -> str:
        """How fast it goes, such as 5.31 MP/s."""
        return f"{self.pixels / 1e6 / max(self.elapsed, 1e-9):.2f} MP/s"

    def words(self, verb: str, jobs: int) -> str:
        """The summary, a line."""
        sizes = f"{_size(self.bytes_in)} -> {_size(self.bytes_out)}"
        workers = "1 job" if jobs == 1 else f"{jobs} jobs"
        return (
            f"{self.done} {verb}, {self.skipped} up to date, {self.failed} failed; {sizes}; "
            f"{self.elapsed:.1f} s, {self.speed_words()}, {workers}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a report."""
        return {
            "done": self.done,
            "skipped": self.skipped,
            "failed": self.failed,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "megapixels": round(self.pixels / 1e6, 6),
            "coding_seconds": round(self.seconds, 3),
            "failed_by_kind": dict(self.kinds),
            "failures": self.failures,
        }


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    power = min((len(str(count)) - 1) // 3, len(_PREFIXES))
    return f"{count / 1000**power:.2f} {_PREFIXES[power - 1]}B"
