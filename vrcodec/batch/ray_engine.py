"""The engine for a Ray cluster: actors of Ray Data, each with a model of its own."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vrcodec.batch import places
from vrcodec.batch.handler import Handler
from vrcodec.batch.items import Item, Outcome
from vrcodec.catalog import ENVIRONMENT
from vrcodec.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Items that are lost together when an actor dies; they are tried again one by one.
_BLOCK = 16
# Of the cluster: what reads and writes beside the actors.
_FREE_CPUS = 1


def outcomes_on_ray(
    handler: Handler, items: Sequence[Item], jobs: int | None, retries: int, gpus: float
) -> Iterator[Outcome]:
    """As `vrcodec.batch.pool.outcomes`, by ``jobs`` actors, each of which takes so many ``gpus``.

    An actor that dies is replaced by Ray. What it held is tried again here. Raises UsageError without Ray.
    """
    ray = _ray()
    started_here = not ray.is_initialized()
    if started_here:
        _join(ray)
    try:
        left = {item.target: item for item in items}
        for attempt in range(retries + 1):
            block = 1 if attempt else _BLOCK
            for outcome in _round(ray, handler, list(left.values()), jobs, gpus, block):
                if outcome.target in left and not (outcome.passing and attempt < retries):
                    del left[outcome.target]
                    yield outcome
            if not left:
                return
        for item in left.values():
            words = f"{item.source}: its worker died, each time that it was tried"
            yield item.failed(words, "WorkerDied")
    finally:
        if started_here:
            ray.shutdown()


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # The user sees our own words.
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError(
            "--engine ray needs the extra 'ray': pip install 'vrcodec[ray]'"
        ) from error
    return ray


def _join(ray: Any) -> None:
    """The cluster of RAY_ADDRESS, or without that a new one on this machine."""
    if "RAY_ADDRESS" in os.environ:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    else:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


def _round(
    ray: Any, handler: Handler, items: Sequence[Item], jobs: int | None, gpus: float, block: int
) -> Iterator[Outcome]:
    """Every item once; those whose actor died have no outcome."""
    context = ray.data.DataContext.get_current()
    # A block that is lost costs its own items alone.
    context.max_errored_blocks = -1
    context.enable_progress_bars = False
    rows = [{"item": json.dumps(_plain(n, item))} for n, item in enumerate(items)]
    blocks = -(-len(rows) // block)
    count = min(jobs or _actors(ray, gpus), blocks)
    found = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        Actor,
        fn_constructor_args=(handler, _weights_folders()),
        compute=ray.data.ActorPoolStrategy(size=count),
        batch_size=block,
        num_cpus=1,
        num_gpus=gpus or None,
        ray_remote_args_fn=_tried_once,
    )
    for row in found.iter_rows():
        record = json.loads(row["outcome"])
        item = items[record.pop("number")]
        names = {"source": item.source, "target": item.target}
        yield replace(Outcome.from_record(record), passing=record["passing"], **names)


def _tried_once() -> dict[str, Any]:
    # A picture that kills its actor would be tried for ever.
    return {"max_task_retries": 0}


def _weights_folders() -> str:
    """The search path for weights, as it is to be in actors, whose working folder is another."""
    named = os.environ.get(ENVIRONMENT, "").split(os.pathsep)
    return os.pathsep.join(os.path.abspath(part) for part in named if part)


def _actors(ray: Any, gpus: float) -> int:
    """One for every CPU but one, or for every share of a GPU."""
    has = ray.cluster_resources()
    cpus = max(1, int(has.get("CPU", 1)) - _FREE_CPUS)
    return min(cpus, max(1, int(has.get("GPU", 0) / gpus))) if gpus else cpus


def _plain(number: int, item: Item) -> dict[str, Any]:
    known = None if item.known is None else item.known.as_record()
    source, target = places.absolute(item.source), places.absolute(item.target)
    return {"number": number, "source": source, "target": target, "known": known}


class Actor:
    """Does batches of items; the model is loaded with the first, and kept."""

    def __init__(self, handler: Handler, weights_folders: str) -> None:
        os.environ[ENVIRONMENT] = weights_folders
        self._handler = handler

    def __call__(self, batch: dict[str, npt.NDArray[np.object_]]) -> dict[str, list[str]]:
        """The outcome of each row."""
        numbers, items = zip(*map(_parsed, batch["item"]), strict=True)
        found = zip(numbers, self._handler.handle_all(items), strict=True)
        return {
            "outcome": [
                json.dumps({**outcome.as_record(), "number": number, "passing": outcome.passing})
                for number, outcome in found
            ]
        }


def _parsed(text: str) -> tuple[int, Item]:
    """Inverse of `_plain`, as JSON."""
    fields = json.loads(text)
    number, known = fields.pop("number"), fields.pop("known")
    return number, Item(**fields, known=None if known is None else Outcome.from_record(known))
