"""Totals of many outcomes, as a summary line or a report; reports of many shards as one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vrcodec.batch import storage
from vrcodec.batch.items import Outcome
from vrcodec.batch.log import read_log
from vrcodec.errors import InputError

# A report names as many failures.
_MAX_NAMED_FAILURES = 100
_PREFIXES = "kMGTP"


@dataclass
class Totals:
    """Counts, bytes, pixels; ``seconds``: of coding, by all workers together.

    ``error_classes``: how often each has occurred; ``left_out``: likewise, kinds of files that were not taken.
    ``start``: on the monotonic clock.
    """

    done: int = 0
    skipped: int = 0
    failed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    pixels: int = 0
    seconds: float = 0.0
    error_classes: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    start: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome) -> None:
        """Add an outcome. Bytes, pixels and seconds are of what was done, not of what was skipped."""
        if outcome.outcome == "done":
            self.done += 1
            self.bytes_in += outcome.bytes_in
            self.bytes_out += outcome.bytes
            self.pixels += outcome.pixels
            self.seconds += outcome.seconds
        elif outcome.outcome == "skipped":
            self.skipped += 1
        elif outcome.outcome == "left out":
            self.left_out[outcome.error_class] += 1
        else:
            self.failed += 1
            self.error_classes[outcome.error_class] += 1
            if len(self.failures) < _MAX_NAMED_FAILURES:
                self.failures.append({"source": outcome.source, "error": outcome.error})

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    def format_speed(self) -> str:
        """Pixels per second, such as 5.31 MP/s."""
        return f"{self.pixels / 1e6 / max(self.elapsed, 1e-9):.2f} MP/s"

    def format_summary(self, verb: str, jobs: int) -> str:
        """The summary, a line. ``verb``: encoded or decoded; ``jobs``: how many workers there were."""
        sizes = f"{_format_size(self.bytes_in)} -> {_format_size(self.bytes_out)}"
        workers = "1 job" if jobs == 1 else f"{jobs} jobs"
        left_out = f", {format_kinds(self.left_out)}" if self.left_out else ""
        return (
            f"{self.done} {verb}, {self.skipped} up to date, {self.failed} failed{left_out}; {sizes}; "
            f"{self.elapsed:.1f} s, {self.format_speed()}, {workers}"
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
            "failed_by_kind": dict(self.error_classes),
            "failures": self.failures,
            "left_out_by_kind": dict(self.left_out),
        }


def format_kinds(left_out: Counter[str]) -> str:
    """Files that were left out, by kind: 3 left out (2 .heic, 1 broken link)."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in left_out.most_common())
    return f"{left_out.total()} left out ({kinds})"


def _format_size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    power = min((len(str(count)) - 1) // 3, len(_PREFIXES))
    return f"{count / 1000**power:.2f} {_PREFIXES[power - 1]}B"


def merge_logs(logs: Sequence[str]) -> dict[str, Any]:
    """One report of the last outcome of each picture in ``logs``. Raises InputError.

    One log at a time is held in memory: a picture is in the log of one shard only.
    """
    totals = Totals()
    for log in logs:
        for outcome in _last_outcomes(log).values():
            # What a later run has skipped, an earlier one has done.
            skipped = outcome.outcome == "skipped"
            totals.add(replace(outcome, outcome="done") if skipped else outcome)
    report = totals.as_dict()
    del report["skipped"]
    return {"logs": len(logs), "pictures": totals.done + totals.failed, **report}


def _last_outcomes(log: str) -> dict[tuple[str, str], Outcome]:
    outcomes = {(outcome.source, outcome.target): outcome for outcome in read_log(log)}
    # One that has just begun is empty.
    if not outcomes and storage.size(log):
        raise InputError(f"{log}: no log of vrcodec")
    return outcomes
