"""The engine of Ray, as far as it needs no Ray; `test_ray` has the rest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.batching import encode_work
from vrcodec.batch import ray_engine
from vrcodec.batch.items import Item
from vrcodec.batch.processor import ItemProcessor
from vrcodec.errors import DeviceError


class NoCluster:
    """A Ray that finds none."""

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance. Please specify one.")


class NoGpus:
    """A Ray of this machine. ``running``: whether it is."""

    running = False

    def is_initialized(self) -> bool:
        return self.running

    def init(self, **options: Any) -> None:
        self.running = True

    def shutdown(self) -> None:
        self.running = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}


def processor() -> ItemProcessor:
    return ItemProcessor(encode_work("gained"), overwrite=False, resume=True)


def test_a_shard_of_nothing() -> None:
    """More shards than pictures: one of them has none."""
    assert list(ray_engine.run_on_ray(processor(), [], None, 2, 0.0)) == []


@pytest.mark.parametrize(
    ("address", "words"), [("auto", "the cluster at RAY_ADDRESS=auto"), ("", "cannot start Ray")]
)
def test_a_cluster_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, address: str, words: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(ray_engine, "_import_ray", NoCluster)
    items = [Item("a.png", "a.vrc")]
    with pytest.raises(DeviceError, match=f"{words}: Could not find any running Ray instance$"):
        list(ray_engine.run_on_ray(processor(), items, None, 2, 0.0))


def test_gpus_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that want some would wait for ever."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray = NoGpus()
    monkeypatch.setattr(ray_engine, "_import_ray", lambda: ray)
    items = [Item("a.png", "a.vrc")]
    with pytest.raises(DeviceError, match=r"--gpus 0\.5 for a worker, and Ray finds 0 on"):
        list(ray_engine.run_on_ray(processor(), items, None, 2, 0.5))
    assert not ray.running
