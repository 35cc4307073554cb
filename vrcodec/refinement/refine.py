"""The entry to latent refinement: plain pass, optimisation, and the cheaper of the two results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.errors import UsageError
from vrcodec.metrics import MS_SSIM_MIN_SIDE
from vrcodec.models.base import Latents, Pixels, RateParameters, VariableRateModel
from vrcodec.models.families.qarv import ContinuousRate, Qarv
from vrcodec.models.families.slim import Slim, WidthRateParameters
from vrcodec.models.hyperprior import GainParameters, HyperpriorModel
from vrcodec.refinement.descent import LatentOptimiser, StepBudget
from vrcodec.refinement.distortion import (
    Distortion,
    Original,
    PerceptualLoss,
    SquaredError,
    StructuralLoss,
)
from vrcodec.refinement.effort import STEPS, Effort, SearchMonitor
from vrcodec.refinement.hyperprior import HyperpriorSurrogate
from vrcodec.refinement.qarv import QarvSurrogate
from vrcodec.refinement.slim import SlimSurrogate
from vrcodec.refinement.surrogate import ContinuousLatents, Surrogate

# Of a time budget, reserved for coding and decoding the result: so many times what that took in the plain pass.
_RESERVE_FACTOR = 1.5


@dataclass(frozen=True)
class RefinementTask:
    """A picture, (H, W, 3) uint8, for a model at a rate. ``latents``: of its analysis.

    ``file_size``: bytes of the file that holds given streams. ``start_time``: when a time budget began to run,
    on the monotonic clock.
    """

    model: VariableRateModel
    pixels: Pixels
    latents: Latents
    rate: RateParameters
    file_size: Callable[[Sequence[Stream]], int]
    start_time: float


@dataclass(frozen=True)
class Refined:
    """``latents``: what `refine` of the same picture at another rate can start from."""

    streams: list[Stream]
    latents: ContinuousLatents


def refine(
    task: RefinementTask,
    effort: Effort,
    monitor: SearchMonitor,
    initial: ContinuousLatents | None = None,
) -> Refined:
    """The streams of least cost: those of the plain pass, unless the refined ones cost less.

    Cost is bits of the file plus distortion at the rate's own trade-off. Raises UsageError when the picture is
    too small for what ``effort`` aims at, and KeyboardInterrupt unless ``monitor`` keeps partial results.
    """
    start = time.monotonic()
    plain = task.model.compress(task.latents, task.rate)
    decoded = _decode(task, plain)
    coding_seconds = time.monotonic() - start
    surrogate = create_surrogate(task.model, task.latents, task.rate, initial)
    distortion = _distortion(task, effort, surrogate, decoded)
    optimiser = LatentOptimiser(surrogate, distortion, task.model.halo)
    try:
        optimiser.run(_step_budget(task, effort, coding_seconds), monitor.on_progress)
    except KeyboardInterrupt:
        if not monitor.keep_partial:
            raise
        monitor.interrupted = True
    refined = surrogate.streams()
    plain_cost = 8 * task.file_size(plain) + distortion.of_picture(decoded)
    refined_cost = 8 * task.file_size(refined) + distortion.of_picture(_decode(task, refined))
    return Refined(refined if refined_cost < plain_cost else plain, surrogate.continuous_latents())


def create_surrogate(
    model: VariableRateModel,
    latents: Latents,
    rate: RateParameters,
    initial: ContinuousLatents | None = None,
) -> Surrogate:
    """The surrogate of the family of ``model``. ``initial``: the latents of one at another rate."""
    if isinstance(model, HyperpriorModel):
        assert isinstance(rate, GainParameters)
        return HyperpriorSurrogate(model, latents, rate, initial)
    if isinstance(model, Slim):
        assert isinstance(rate, WidthRateParameters)
        return SlimSurrogate(model, latents, rate, initial)
    assert isinstance(model, Qarv)
    assert isinstance(rate, ContinuousRate)
    return QarvSurrogate(model, latents, rate, initial)


def _step_budget(task: RefinementTask, effort: Effort, coding_seconds: float) -> StepBudget:
    if effort.seconds is None:
        return StepBudget(STEPS[effort.level])
    reserve = _RESERVE_FACTOR * coding_seconds
    return StepBudget.until(task.start_time + effort.seconds - reserve, coding_seconds)


def _decode(task: RefinementTask, streams: Sequence[Stream]) -> Pixels:
    height, width = task.pixels.shape[:2]
    return task.model.decompress(streams, task.rate, width, height)


def _distortion(
    task: RefinementTask, effort: Effort, surrogate: Surrogate, decoded: Pixels
) -> Distortion:
    original = Original(task.pixels, task.model.backend.device)
    if effort.tune == "psnr":
        return SquaredError(original, surrogate.levels)
    if effort.tune == "ssimulacra2":
        return PerceptualLoss(original, surrogate.levels)
    if min(task.pixels.shape[:2]) < MS_SSIM_MIN_SIDE:
        raise UsageError(
            f"MS-SSIM is not defined for a picture with a side below {MS_SSIM_MIN_SIDE} pixels"
        )
    return StructuralLoss(original, surrogate.levels, decoded)
