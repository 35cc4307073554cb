"""The engine of Ray, as far as it needs no Ray; `test_ray` has the rest."""

from __future__ import annotations

from tests.batching import encode_work
from vrcodec.batch import ray_engine
from vrcodec.batch.processor import ItemProcessor


def processor() -> ItemProcessor:
    return ItemProcessor(encode_work("gained"), overwrite=False, resume=True)


def test_a_shard_of_nothing() -> None:
    """More shards than pictures: one of them has none."""
    assert list(ray_engine.run_on_ray(processor(), [], None, 2, 0.0)) == []
