"""One machine's part of a manifest: what `vrcodec batch` does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from vrcodec.batch import places
from vrcodec.batch.handler import Handler
from vrcodec.batch.items import Item, Outcome
from vrcodec.batch.log import last_results
from vrcodec.batch.manifest import Manifest, Shard
from vrcodec.batch.pool import outcomes, usual_jobs

Engine = Literal["local", "ray"]


@dataclass(frozen=True)
class Share:
    """A shard, and how it is done. ``jobs``: workers, None as the engine thinks best. ``gpus``: of each.
    ``log``: a place of its own for every shard.
    """

    manifest: Manifest
    shard: Shard
    handler: Handler
    engine: Engine
    jobs: int | None
    retries: int
    gpus: float
    log: str

    def outcomes(self) -> Iterator[Outcome]:
        """What becomes of each line; what an earlier run has done is skipped. Raises VrcError."""
        known = last_results(self.log)
        bad: list[Outcome] = []
        items = self._items(known, bad)
        if self.engine == "ray":
            from vrcodec.batch.ray_engine import outcomes_on_ray

            found = outcomes_on_ray(self.handler, list(items), self.jobs, self.retries, self.gpus)
        else:
            found = outcomes(self.handler, items, self.workers(), self.retries)
        yield from found
        yield from bad

    def _items(self, known: dict[str, Outcome], bad: list[Outcome]) -> Iterator[Item]:
        for item in self.manifest.items(self.shard):
            if isinstance(item, Outcome):
                bad.append(item)
            else:
                yield replace(item, known=known.get(item.target))

    def workers(self) -> int:
        """How many processes the local engine has."""
        return self.jobs or usual_jobs(_MANY)

    def as_dict(self) -> dict[str, Any]:
        """What a report says of it."""
        return {
            "manifest": self.manifest.place,
            "out": self.manifest.out,
            "shard": str(self.shard),
            "engine": self.engine,
            "weights": self.handler.work.weights,
            "settings": self.handler.work.settings,
            "log": self.log,
        }


# How many there will be, nobody has counted.
_MANY = 1 << 30


def shard_log(out: str, shard: Shard) -> str:
    """Where a shard keeps its log unless it is told otherwise."""
    return places.join(out, f"vrcodec-logs/{shard.index:05d}-of-{shard.count:05d}.jsonl")
