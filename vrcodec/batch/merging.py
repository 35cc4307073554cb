"""Reports of many shards as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vrcodec.batch.items import Outcome
from vrcodec.batch.log import read_log
from vrcodec.batch.totals import Totals


def merged_report(logs: Sequence[str]) -> dict[str, Any]:
    """What ``logs`` say of their pictures in the end, however often they were tried. Raises InputError.

    Held in memory is one log at a time: a picture is in the log of one shard.
    """
    totals = Totals()
    for log in logs:
        for outcome in _final(log).values():
            # What was found done by a later run has been done.
            done = outcome.outcome == "skipped"
            totals.add(replace(outcome, outcome="done") if done else outcome)
    report = totals.as_dict()
    del report["skipped"]
    return {"logs": len(logs), "pictures": totals.done + totals.failed, **report}


def _final(log: str) -> dict[tuple[str, str], Outcome]:
    return {(outcome.source, outcome.target): outcome for outcome in read_log(log)}
