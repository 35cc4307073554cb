"""Multiply-accumulates and parameters of a model."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vrcodec.models import VariableRateModel
from vrcodec.models.base import DENSITY_INFIX
from vrcodec.models.families.qarv import Qarv
from vrcodec.models.families.slim import Slim
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.models.learning.trainable import place_trainable
from vrcodec.models.networks.context import Pick
from vrcodec.models.networks.hierarchy import Prior
from vrcodec.models.networks.posterior import Posterior
from vrcodec.models.slimming.widths import Width
from vrcodec.regions.grid import HYPER_STRIDE, STRIDE

# Side of the picture that operations are counted on.
_SIDE = 256

# A call for each part of a model.
Work = dict[str, Callable[[], object]]


@torch.no_grad()
def count_kmac(model: VariableRateModel) -> dict[str, float]:
    """Thousands of multiply-accumulates (kMAC) per pixel, by part; of a slimmable model at its widest."""
    if isinstance(model, Slim):
        return _count_parts(_transform_work(model.all_widths()[model.size.channels]))
    if isinstance(model, Qarv):
        return _count_parts(_hierarchy_work(model))
    assert isinstance(model, HyperpriorModel)
    return _count_parts(_hyperprior_work(model))


@torch.no_grad()
def width_figures(model: Slim) -> dict[int, dict[str, Any]]:
    """For each width its kMAC per pixel, its parameters, and the range of rates at which it is used."""
    rates = model.scheduled_rates()
    return {
        channels: {
            "parameters": _count_parameters(width),
            "kmac_per_pixel": _count_parts(_transform_work(width)),
            "rates": [round(rate, 4) for rate in rates[channels]],
        }
        for channels, width in model.all_widths().items()
    }


def _count_parameters(width: Width) -> int:
    """Parameters that decoding and encoding at a width need: its slices of the shared ones, and its own."""
    shared = (p for net in width.templates.values() for p in net.parameters())
    own = (p for n, p in width.named_parameters() if DENSITY_INFIX not in f".{n}")
    return sum(math.prod(p.shape) for p in (*shared, *own))


def _transform_work(width: Width) -> Work:
    analysis, synthesis = copy.deepcopy(list(width.templates.values()))
    for net in (analysis, synthesis):
        place_trainable(net, "cpu")
    x = torch.zeros(1, 3, _SIDE, _SIDE)
    y = _latent(width.log_gain.shape[1], STRIDE)
    return {"analysis": partial(analysis, x), "synthesis": partial(synthesis, y)}


def _hyperprior_work(model: HyperpriorModel) -> Work:
    x = torch.zeros(1, 3, _SIDE, _SIDE)
    y, z = _latent(model.size.latent, STRIDE), _latent(model.size.hyper, STRIDE * HYPER_STRIDE)
    factors = model.gains(_latent(1, STRIDE) if model.takes_quality_map else torch.zeros(1))
    beside = model.compute_conditions(factors.levels)
    features = model.hyper_synthesis_net(z)
    return {
        "analysis": partial(model.analysis_net, x, *beside),
        "hyper_analysis": partial(model.hyper_analysis_net, y, *beside),
        "hyper_synthesis": partial(model.hyper_synthesis_net, z),
        "synthesis": partial(model.synthesis_net, y, *beside),
        "condition": partial(model.compute_conditions, factors.levels),
        "context": partial(model.code_block, features, factors, _no_residual),
    }


def _hierarchy_work(model: Qarv) -> Work:
    encoder = model.encoder
    assert encoder is not None
    x, y = torch.zeros(1, 3, _SIDE, _SIDE), _latent(model.size.latent, STRIDE)
    priors: list[Prior] = []

    def collect_prior(number: int, prior: Prior) -> Tensor:
        priors.append(prior)
        return prior.mean

    descend = partial(model.decode_top_down, torch.zeros(1), y.shape[-2:])
    descend(collect_prior)
    return {
        "analysis": partial(encoder.analysis_net, x),
        "posterior": partial(_run_posterior, encoder.posterior, y, priors),
        "descent": partial(descend, _choose_mean),
        "synthesis": partial(model.synthesis_net, y),
    }


def _run_posterior(posterior: Posterior, y: Tensor, priors: Sequence[Prior]) -> None:
    update = posterior(y)
    for number, prior in enumerate(priors):
        update(number, prior)


def _latent(channels: int, stride: int) -> Tensor:
    return torch.zeros(1, channels, _SIDE // stride, _SIDE // stride)


def _count_parts(work: Work) -> dict[str, float]:
    """Thousands of multiply-accumulates per pixel, without the parts that have none."""
    counts = {
        name: round(_count_operations(call) / _SIDE**2 / 1e3, 2) for name, call in work.items()
    }
    return {name: count for name, count in counts.items() if count}


def _count_operations(work: Callable[[], object]) -> float:
    """Multiply-accumulates of a call."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return counter.get_total_flops() / 2


def _choose_mean(number: int, prior: Prior) -> Tensor:
    return prior.mean


def _no_residual(mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
    return torch.zeros_like(mean)
