"""Starting one family from the weights of another."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vrcodec.errors import WeightsError
from vrcodec.models import VariableRateModel
from vrcodec.models.base import ENCODER
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
# Of a level of `qarv` at 1/16.
_GAIN_OF_Y = re.compile(r"descent\.scales\.2\.\d+\.log2_gain")
# Of channels that hardly vary.
_LEAST_DEVIATION = 1e-3
# What a head adds to the scales at first, over what it would.
_QUIET = 0.1


def regulated_from_gained(state: Mapping[str, Tensor], groups: tuple[int, ...]) -> State:
    """Weights for `qvrf` from those of `gained`, as tensors by name.

    But for the context both do much the same: the gain of each channel at rate 1/2 becomes part of the
    transforms; what gains do at other rates, on average over the channels, is a(r); where a gain and its
    inverse do not cancel, the restoration takes over.
    """
    gain, inverse = _middle(state["log_gain"]), _middle(state["log_inverse_gain"])
    new = dict(state)
    for kind in ("weight", "bias"):
        scaled = new[_LAST_ANALYSIS + kind]
        new[_LAST_ANALYSIS + kind] = scaled * gain.exp().reshape(-1, *[1] * (scaled.dim() - 1))
    new[_FIRST_SYNTHESIS + "weight"] = new[_FIRST_SYNTHESIS + "weight"] * inverse.exp()
    both = state["log_gain"] + state["log_inverse_gain"]
    new["log_restoration"] = both - _middle(both)
    log2_a = (state["log_gain"] - gain).mean(1) / torch.log(torch.tensor(2.0))
    new["regulator.first"] = log2_a[:1]
    new["regulator.rises"] = torch.log(torch.expm1(log2_a.diff().clamp_min(1e-3)))
    new.update(_heads(state[_LAST_HYPER + "bias"], groups))
    return new


def _middle(knots: Tensor) -> Tensor:
    """Knots (L, C) at rate 1/2."""
    return (knots[KNOTS // 2 - 1] + knots[KNOTS // 2]) / 2


def _heads(bias: Tensor, groups: tuple[int, ...]) -> State:
    """Means and scales that do not depend on the picture: the start of the context model's heads."""
    means, scales = bias.chunk(2)
    own = zip(torch.split(means, list(groups)), torch.split(scales, list(groups)), strict=True)
    return {f"context.groups.{k}.out.bias": torch.cat(pair) for k, pair in enumerate(own)}


@torch.no_grad()
def start_hierarchy(model: Qarv, source: Qvrf, x: Tensor) -> set[str]:
    """Let ``model`` begin with the transforms of ``source``, and a way down that knows scales only.

    ``x`` (B, 3, 16h, 16w) in [0, 1] tells them. Returns the names of the parameters that came from ``source``.
    """
    encoder = model.encoder
    assert encoder is not None
    encoder.analysis_net.load_state_dict(source.analysis_net.state_dict())
    model.synthesis_net.load_state_dict(source.synthesis_net.state_dict())
    model.log_restoration.copy_(source.log_restoration)
    knots = source.regulator.log2_scale(torch.linspace(0, 1, KNOTS))[:, 0, 0]
    y = encoder.analysis_net(x - 0.5).float()
    deviation, mean = torch.std_mean(y, dim=(0, 2, 3))
    log2_scale = deviation.clamp_min(_LEAST_DEVIATION).log2()
    levels = model.descent.levels()[-1]
    for level, own in zip(levels, channel_ranges([k.kind for k in levels]), strict=True):
        level.log2_gain.copy_(knots.expand_as(level.log2_gain))
        level.head.weight *= _QUIET
        level.head.bias.copy_(torch.cat((mean[own], log2_scale[own])))
    inherited = ("encoder.analysis_net.", "synthesis_net.")
    return {name for name, _ in model.named_parameters() if name.startswith(inherited)}


@dataclass(frozen=True)
class Transforms:
    """Analysis and synthesis as tensors by name, and the knots of what acts between them.

    ``log_restoration`` (L, M): factors of y_hat before the synthesis. ``log_gain`` (L,): the reciprocal of the
    quantisation step, on average over the channels.
    """

    networks: State
    log_restoration: Tensor
    log_gain: Tensor

    @staticmethod
    def of(state: Mapping[str, Tensor]) -> Transforms:
        """Those in the tensors of `qvrf` or `qarv`. Raises WeightsError for other families."""
        names = {name: name.removeprefix(ENCODER) for name in state}
        networks = {own: state[name] for name, own in names.items() if own.startswith(_NETWORKS)}
        whole = all(any(name.startswith(part) for name in networks) for part in _NETWORKS)
        if "log_restoration" not in state or not whole:
            raise WeightsError("transforms are taken from whole weights of qvrf or qarv only")
        return Transforms(networks, state["log_restoration"], _log_gain(state))


@torch.no_grad()
def take_transforms(model: VariableRateModel, transforms: Transforms) -> set[str]:
    """Let ``model``, of any family but `slim`, transform as another one does; its prior stays as it is.

    Returns the names of the parameters that were replaced. Raises WeightsError for `slim`, and where the sizes
    differ.
    """
    new = dict(transforms.networks)
    if isinstance(model, Gained):
        # And `qmap`, whose modulations stay, too.
        gain = transforms.log_gain.unsqueeze(1)
        new["log_gain"] = gain.expand_as(model.log_gain)
        new["log_inverse_gain"] = transforms.log_restoration - gain
    elif isinstance(model, Qvrf):
        new["log_restoration"] = transforms.log_restoration
    elif isinstance(model, Qarv):
        new = _of_hierarchy(model, transforms)
    else:
        raise WeightsError(f"{model.family} cannot take over transforms; all other families can")
    try:
        model.load_state_dict(new, strict=False)
    except RuntimeError as error:
        raise WeightsError("the transforms are not of this recipe's size") from error
    return set(new)


def _of_hierarchy(model: Qarv, transforms: Transforms) -> State:
    new = {_in_hierarchy(name): value for name, value in transforms.networks.items()}
    new["log_restoration"] = transforms.log_restoration
    log2_gain = transforms.log_gain.unsqueeze(1) / math.log(2)
    gains = {k: p for k, p in model.named_parameters() if _GAIN_OF_Y.fullmatch(k)}
    return new | {name: log2_gain.expand_as(own) for name, own in gains.items()}


def _in_hierarchy(name: str) -> str:
    """What `qarv` calls a tensor of the others, whose encoders are not apart."""
    return ENCODER + name if name.startswith(_ANALYSIS) else name


def _log_gain(state: Mapping[str, Tensor]) -> Tensor:
    knots = torch.linspace(0, 1, KNOTS)
    if "regulator.first" in state:
        regulator = Regulator()
        regulator.load_state_dict({k: state[f"regulator.{k}"] for k in ("first", "rises")})
        return math.log(2) * regulator.log2_scale(knots).flatten()
    levels = [v for k, v in state.items() if _GAIN_OF_Y.fullmatch(k)]
    return math.log(2) * torch.cat(levels, dim=1).mean(1)
