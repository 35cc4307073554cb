"""Starting one family from the weights of another."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vrcodec.errors import WeightsError
from vrcodec.models import VariableRateModel
from vrcodec.models.base import ENCODER_PREFIX
from vrcodec.models.families.gained import Gained
from vrcodec.models.families.qarv import Qarv
from vrcodec.models.families.qvrf import Qvrf
from vrcodec.models.networks.gains import KNOTS
from vrcodec.models.networks.hierarchy import channel_ranges
from vrcodec.models.networks.regulator import Regulator

State = dict[str, Tensor]

_LAST_ANALYSIS, _FIRST_SYNTHESIS = "analysis_net.9.", "synthesis_net.0."
_LAST_HYPER = "hyper_synthesis_net.12."
_ANALYSIS = "analysis_net."
_NETWORKS = (_ANALYSIS, "synthesis_net.")
# The gain of a level of `qarv` at 1/16.
_Y_GAIN = re.compile(r"descent\.scales\.2\.\d+\.log2_gain")
# Floor for channels that hardly vary.
_MIN_DEVIATION = 1e-3
# Factor on the random weights of a head, so that its biases dominate at first.
_HEAD_DAMPING = 0.1


def convert_gained(state: Mapping[str, Tensor], groups: tuple[int, ...]) -> State:
    """Weights of `gained` converted for `qvrf`, as tensors by name.

    But for the context model the families are equivalent: the gain of each channel at rate 1/2 becomes part
    of the transforms; gains at other rates, on average over the channels, are a(r); where a gain and its
    inverse do not cancel, their product is the restoration.
    """
    gain, inverse = _middle_rate(state["log_gain"]), _middle_rate(state["log_inverse_gain"])
    new = dict(state)
    for name in (_LAST_ANALYSIS + "weight", _LAST_ANALYSIS + "bias"):
        new[name] = new[name] * gain.exp().reshape(-1, *[1] * (new[name].dim() - 1))
    new[_FIRST_SYNTHESIS + "weight"] = new[_FIRST_SYNTHESIS + "weight"] * inverse.exp()
    product = state["log_gain"] + state["log_inverse_gain"]
    new["log_restoration"] = product - _middle_rate(product)
    log2_a = (state["log_gain"] - gain).mean(1) / torch.log(torch.tensor(2.0))
    new["regulator.first"] = log2_a[:1]
    new["regulator.rises"] = torch.log(torch.expm1(log2_a.diff().clamp_min(1e-3)))
    new.update(_head_biases(state[_LAST_HYPER + "bias"], groups))
    return new


def _middle_rate(knots: Tensor) -> Tensor:
    """Knots (L, C) at rate 1/2."""
    return (knots[KNOTS // 2 - 1] + knots[KNOTS // 2]) / 2


def _head_biases(bias: Tensor, groups: tuple[int, ...]) -> State:
    """Initial biases of the context model's heads: means and scales that do not depend on the picture."""
    means, scales = bias.chunk(2)
    parts = zip(torch.split(means, list(groups)), torch.split(scales, list(groups)), strict=True)
    return {f"context.groups.{k}.out.bias": torch.cat(pair) for k, pair in enumerate(parts)}


@torch.no_grad()
def initialise_qarv(model: Qarv, source: Qvrf, x: Tensor) -> set[str]:
    """Set ``model`` to the transforms of ``source``, and its priors to constant means and scales.

    Those are measured on ``x`` (B, 3, 16h, 16w) in [0, 1]. Returns the names of the parameters that came from
    ``source``.
    """
    encoder = model.encoder
    assert encoder is not None
    encoder.analysis_net.load_state_dict(source.analysis_net.state_dict())
    model.synthesis_net.load_state_dict(source.synthesis_net.state_dict())
    model.log_restoration.copy_(source.log_restoration)
    knots = source.regulator.log2_scale(torch.linspace(0, 1, KNOTS))[:, 0, 0]
    y = encoder.analysis_net(x - 0.5).float()
    deviation, mean = torch.std_mean(y, dim=(0, 2, 3))
    log2_scale = deviation.clamp_min(_MIN_DEVIATION).log2()
    levels = model.descent.levels()[-1]
    for level, channels in zip(levels, channel_ranges([k.spec for k in levels]), strict=True):
        level.log2_gain.copy_(knots.expand_as(level.log2_gain))
        level.head.weight *= _HEAD_DAMPING
        level.head.bias.copy_(torch.cat((mean[channels], log2_scale[channels])))
    inherited = ("encoder.analysis_net.", "synthesis_net.")
    return {name for name, _ in model.named_parameters() if name.startswith(inherited)}


@dataclass(frozen=True)
class Transforms:
    """Analysis and synthesis as tensors by name, and knots of the gains between them.

    ``log_restoration`` (L, M): factors of y_hat before the synthesis. ``log_gain`` (L,): the reciprocal of the
    quantisation step, on average over the channels.
    """

    networks: State
    log_restoration: Tensor
    log_gain: Tensor

    @staticmethod
    def from_state(state: Mapping[str, Tensor]) -> Transforms:
        """The transforms of `qvrf` or `qarv`. Raises WeightsError for other families."""
        names = {name: name.removeprefix(ENCODER_PREFIX) for name in state}
        networks = {
            short: state[name] for name, short in names.items() if short.startswith(_NETWORKS)
        }
        complete = all(any(name.startswith(part) for name in networks) for part in _NETWORKS)
        if "log_restoration" not in state or not complete:
            raise WeightsError("transforms are taken from whole weights of qvrf or qarv only")
        return Transforms(networks, state["log_restoration"], _mean_log_gain(state))


@torch.no_grad()
def replace_transforms(model: VariableRateModel, transforms: Transforms) -> set[str]:
    """Replace the transforms of ``model``, of a family with the shared backbone; its prior is unchanged.

    Returns the names of the parameters that were replaced. Raises WeightsError for other families, and where
    the sizes differ.
    """
    new = dict(transforms.networks)
    if isinstance(model, Gained):
        # Or `qmap`, whose modulations are unchanged.
        gain = transforms.log_gain.unsqueeze(1)
        new["log_gain"] = gain.expand_as(model.log_gain)
        new["log_inverse_gain"] = transforms.log_restoration - gain
    elif isinstance(model, Qvrf):
        new["log_restoration"] = transforms.log_restoration
    elif isinstance(model, Qarv):
        new = _qarv_state(model, transforms)
    else:
        raise WeightsError(
            f"{model.family} cannot take over transforms; gained, qvrf, qmap and qarv can"
        )
    try:
        model.load_state_dict(new, strict=False)
    except ValueError as error:
        raise WeightsError("the transforms are not of this recipe's size") from error
    return set(new)


def _qarv_state(model: Qarv, transforms: Transforms) -> State:
    new = {_qarv_name(name): value for name, value in transforms.networks.items()}
    new["log_restoration"] = transforms.log_restoration
    log2_gain = transforms.log_gain.unsqueeze(1) / math.log(2)
    gains = {k: p for k, p in model.named_parameters() if _Y_GAIN.fullmatch(k)}
    return new | {name: log2_gain.expand_as(knots) for name, knots in gains.items()}


def _qarv_name(name: str) -> str:
    """The name in `qarv`, which has its encoder in a module of its own."""
    return ENCODER_PREFIX + name if name.startswith(_ANALYSIS) else name


def _mean_log_gain(state: Mapping[str, Tensor]) -> Tensor:
    if "regulator.first" in state:
        regulator = Regulator()
        regulator.load_state_dict({k: state[f"regulator.{k}"] for k in ("first", "rises")})
        knots = np.linspace(0, 1, KNOTS, dtype=np.float32)
        return math.log(2) * torch.from_numpy(regulator.log2_scale(knots).flatten())
    levels = [v for k, v in state.items() if _Y_GAIN.fullmatch(k)]
    return math.log(2) * torch.cat(levels, dim=1).mean(1)
