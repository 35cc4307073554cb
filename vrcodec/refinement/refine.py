"""The best file for a picture at a setting that a search finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vrcodec.bitstream.payload import Stream
from vrcodec.errors import UsageError
from vrcodec.metrics import MS_SSIM_MIN_SIDE
from vrcodec.models.base import Latents, Pixels, RateState, VariableRateModel
from vrcodec.models.coding.hyperprior import HyperpriorModel, Scaling
from vrcodec.models.families.qarv import LevelRate, Qarv
from vrcodec.models.families.slim import Slim, WidthState
from vrcodec.refinement.descent import Pace, Search
from vrcodec.refinement.distortion import Distortion, Original, SquaredError, StructuralLoss
from vrcodec.refinement.effort import STEPS, Effort, Watch
from vrcodec.refinement.hierarchy import HierarchySurrogate
from vrcodec.refinement.hyperprior import HyperpriorSurrogate
from vrcodec.refinement.slim import SlimSurrogate
from vrcodec.refinement.surrogate import Surrogate, Wanted

# What is left of the time for coding and decoding what was found, over what that took the first time.
_RESERVE = 1.5


@dataclass(frozen=True)
class Task:
    """A picture, (H, W, 3) uint8, for a model at a rate. ``latents``: as its analysis gives them.

    ``size``: bytes of the file that streams come to. ``since``: when work on it began, monotonic.
    """

    model: VariableRateModel
    pixels: Pixels
    latents: Latents
    rate: RateState
    size: Callable[[Sequence[Stream]], int]
    since: float


@dataclass(frozen=True)
class Refined:
    """``wanted``: for a `refine` of the same picture at another rate to start from."""

    streams: list[Stream]
    wanted: Wanted


def refine(task: Task, effort: Effort, watch: Watch, start: Wanted | None = None) -> Refined:
    """The streams of least cost: those of the plain pass, unless the search finds better ones.

    Cost is bits of the file plus distortion at the rate's own trade-off. Raises UsageError when the picture is
    too small for what ``effort`` aims at, and KeyboardInterrupt unless ``watch`` keeps what there is.
    """
    began = time.monotonic()
    plain = task.model.compress(task.latents, task.rate)
    decoded = _decoded(task, plain)
    reserve = _RESERVE * (time.monotonic() - began)
    surrogate = surrogate_of(task.model, task.latents, task.rate, start)
    distortion = _distortion(task, effort, surrogate, decoded)
    search = Search(surrogate, distortion, task.model.size.halo)
    try:
        search.run(_pace(task, effort, reserve), watch.advance)
    except KeyboardInterrupt:
        if not watch.keep_partial:
            raise
        watch.interrupted = True
    found = surrogate.streams()
    plain_cost = 8 * task.size(plain) + distortion.of_picture(decoded)
    found_cost = 8 * task.size(found) + distortion.of_picture(_decoded(task, found))
    return Refined(found if found_cost < plain_cost else plain, surrogate.wanted())


def surrogate_of(
    model: VariableRateModel, latents: Latents, rate: RateState, start: Wanted | None = None
) -> Surrogate:
    """The surrogate that suits ``model``. ``start``: what one at another rate has found."""
    if isinstance(model, HyperpriorModel):
        assert isinstance(rate, Scaling)
        return HyperpriorSurrogate(model, latents, rate, start)
    if isinstance(model, Slim):
        assert isinstance(rate, WidthState)
        return SlimSurrogate(model, latents, rate, start)
    assert isinstance(model, Qarv)
    assert isinstance(rate, LevelRate)
    return HierarchySurrogate(model, latents, rate, start)


def _pace(task: Task, effort: Effort, reserve: float) -> Pace:
    if effort.seconds is None:
        return Pace(steps=STEPS[effort.level])
    return Pace(end=task.since + effort.seconds - reserve)


def _decoded(task: Task, streams: Sequence[Stream]) -> Pixels:
    height, width = task.pixels.shape[:2]
    return task.model.decompress(streams, task.rate, width, height)


def _distortion(task: Task, effort: Effort, surrogate: Surrogate, decoded: Pixels) -> Distortion:
    original = Original(task.pixels, task.model.device)
    if effort.tune == "psnr":
        return SquaredError(original, surrogate.levels)
    if min(task.pixels.shape[:2]) < MS_SSIM_MIN_SIDE:
        raise UsageError(
            f"MS-SSIM is not defined for a picture with a side below {MS_SSIM_MIN_SIDE} pixels"
        )
    return StructuralLoss(original, surrogate.levels, decoded)
