"""The run of one shard of a manifest on one machine, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from vrcodec.batch import storage
from vrcodec.batch.items import Item, Outcome
from vrcodec.batch.log import read_last_results
from vrcodec.batch.manifest import Manifest, Shard
from vrcodec.batch.pool import default_jobs, run_in_pool
from vrcodec.batch.processor import ItemProcessor

Engine = Literal["local", "ray"]
# Nobody has counted the lines of the manifest.
_UNKNOWN_COUNT = 1 << 30


@dataclass(frozen=True)
class ShardRun:
    """A shard, and how it is processed. ``jobs``: workers, None for the engine's default. ``gpus``: of each.
    ``log``: a location of its own for every shard.
    """

    manifest: Manifest
    shard: Shard
    processor: ItemProcessor
    engine: Engine
    jobs: int | None
    retries: int
    gpus: float
    log: str

    def outcomes(self) -> Iterator[Outcome]:
        """The outcome of each line; what an earlier run has done is skipped. Raises VrcError."""
        previous = read_last_results(self.log)
        malformed: list[Outcome] = []
        items = self._items(previous, malformed)
        if self.engine == "ray":
            from vrcodec.batch.ray_engine import run_on_ray

            yield from run_on_ray(self.processor, list(items), self.jobs, self.retries, self.gpus)
        else:
            jobs = self.jobs or default_jobs(_UNKNOWN_COUNT)
            yield from run_in_pool(self.processor, items, jobs, self.retries)
        yield from malformed

    def _items(self, previous: dict[str, Outcome], malformed: list[Outcome]) -> Iterator[Item]:
        for item in self.manifest.items(self.shard):
            if isinstance(item, Outcome):
                malformed.append(item)
            else:
                yield replace(item, previous=previous.get(item.target))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a report."""
        return {
            "manifest": self.manifest.location,
            "out": self.manifest.out,
            "shard": str(self.shard),
            "engine": self.engine,
            "weights": self.processor.work.weights,
            "settings": self.processor.work.settings,
            "log": self.log,
        }


def default_log(out: str, shard: Shard) -> str:
    """Where a shard keeps its log unless told otherwise."""
    return storage.join(out, f"vrcodec-logs/{shard.index:05d}-of-{shard.count:05d}.jsonl")
