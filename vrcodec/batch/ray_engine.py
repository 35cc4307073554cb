"""Batch processing on a Ray cluster: actors of Ray Data, each with a model of its own."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vrcodec.batch import storage
from vrcodec.batch.items import Item, Outcome
from vrcodec.batch.processor import ItemProcessor
from vrcodec.catalog import WEIGHTS_VARIABLE
from vrcodec.errors import DeviceError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Items that are lost together when an actor dies; they are tried again one by one.
_BLOCK_ITEMS = 16
# Left free beside the actors, for reading and writing.
_FREE_CPUS = 1


def run_on_ray(
    processor: ItemProcessor, items: Sequence[Item], jobs: int | None, retries: int, gpus: float
) -> Iterator[Outcome]:
    """As `vrcodec.batch.pool.run_in_pool`, by ``jobs`` actors, each of which takes so many ``gpus``.

    An actor that dies is replaced by Ray; its items are tried again here. Raises UsageError without Ray,
    DeviceError without a cluster, or without GPUs that are asked for.
    """
    if not items:
        # Ray makes no blocks of nothing.
        return
    ray = _import_ray()
    started_here = not ray.is_initialized()
    if started_here:
        _connect(ray)
    try:
        if started_here:
            _check_gpus(ray, gpus)
        remaining = {item.target: item for item in items}
        for attempt in range(retries + 1):
            block = 1 if attempt else _BLOCK_ITEMS
            for outcome in _run_round(ray, processor, list(remaining.values()), jobs, gpus, block):
                retry = outcome.transient and attempt < retries
                if outcome.target in remaining and not retry:
                    del remaining[outcome.target]
                    yield outcome
            if not remaining:
                return
        for item in remaining.values():
            message = f"{item.source}: its worker died, each time that it was tried"
            yield item.failure(message, "WorkerDied")
    finally:
        if started_here:
            ray.shutdown()


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Messages come from this program alone.
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError(
            "--engine ray needs the extra 'ray': pip install 'vrcodec[ray]'"
        ) from error
    return ray


def _connect(ray: Any) -> None:
    """Connect to the cluster of RAY_ADDRESS, or without that start one on this machine. Raises DeviceError."""
    address = os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = {} if address else {"include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:
        # What follows the first sentence is advice about options of Ray's own commands.
        reason = re.split(r"\.\s|\n", str(error))[0] or type(error).__name__
        what = (
            f"cannot reach the cluster at RAY_ADDRESS={address}" if address else "cannot start Ray"
        )
        raise DeviceError(f"{what}: {reason}") from error


def _check_gpus(ray: Any, gpus: float) -> None:
    """Raise DeviceError where workers would wait for ever: this machine has fewer ``gpus`` than one takes.

    A cluster may get some when it is asked for them.
    """
    here = float(ray.cluster_resources().get("GPU", 0))
    if gpus > here and not os.environ.get("RAY_ADDRESS"):
        raise DeviceError(f"--gpus {gpus:g} for a worker, and Ray finds {here:g} on this machine")


def _run_round(
    ray: Any,
    processor: ItemProcessor,
    items: Sequence[Item],
    jobs: int | None,
    gpus: float,
    block: int,
) -> Iterator[Outcome]:
    """Process every item once, in blocks of ``block`` items; those whose actor died have no outcome."""
    context = ray.data.DataContext.get_current()
    # Any number of blocks may be lost; the others go on.
    context.max_errored_blocks = -1
    context.enable_progress_bars = False
    rows = [{"item": json.dumps(_item_record(n, item))} for n, item in enumerate(items)]
    blocks = -(-len(rows) // block)
    actors = min(jobs or _default_actors(ray, gpus), blocks)
    outcomes = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        Actor,
        fn_constructor_args=(processor, _weights_folders()),
        compute=ray.data.ActorPoolStrategy(size=actors),
        batch_size=block,
        num_cpus=1,
        num_gpus=gpus or None,
        ray_remote_args_fn=_disable_retries,
    )
    for row in outcomes.iter_rows():
        record = json.loads(row["outcome"])
        item = items[record.pop("number")]
        locations = {"source": item.source, "target": item.target}
        yield replace(Outcome.from_record(record), transient=record["transient"], **locations)


def _disable_retries() -> dict[str, Any]:
    # Ray would try a picture that kills its actor for ever.
    return {"max_task_retries": 0}


def _weights_folders() -> str:
    """The search path for weights, absolute: actors have another working folder."""
    named = os.environ.get(WEIGHTS_VARIABLE, "").split(os.pathsep)
    return os.pathsep.join(os.path.abspath(part) for part in named if part)


def _default_actors(ray: Any, gpus: float) -> int:
    """One for every CPU but one, or for every share of a GPU."""
    resources = ray.cluster_resources()
    cpus = max(1, int(resources.get("CPU", 1)) - _FREE_CPUS)
    return min(cpus, max(1, int(resources.get("GPU", 0) / gpus))) if gpus else cpus


def _item_record(number: int, item: Item) -> dict[str, Any]:
    """An item as plain values; paths are absolute."""
    previous = None if item.previous is None else item.previous.as_record()
    source, target = storage.make_absolute(item.source), storage.make_absolute(item.target)
    return {"number": number, "source": source, "target": target, "previous": previous}


class Actor:
    """Processes batches of items; the model is loaded with the first, and kept."""

    def __init__(self, processor: ItemProcessor, weights_folders: str) -> None:
        os.environ[WEIGHTS_VARIABLE] = weights_folders
        self._processor = processor

    def __call__(self, batch: dict[str, npt.NDArray[np.object_]]) -> dict[str, list[str]]:
        """The outcome of each row."""
        numbers, items = zip(*map(_parse_item, batch["item"]), strict=True)
        outcomes = zip(numbers, self._processor.process_all(items), strict=True)
        return {
            "outcome": [
                json.dumps(
                    {**outcome.as_record(), "number": number, "transient": outcome.transient}
                )
                for number, outcome in outcomes
            ]
        }


def _parse_item(text: str) -> tuple[int, Item]:
    """Inverse of `_item_record`, from JSON."""
    fields = json.loads(text)
    number, record = fields.pop("number"), fields.pop("previous")
    previous = None if record is None else Outcome.from_record(record)
    return number, Item(**fields, previous=previous)
