"""Starting one family from the weights of another."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vrcodec.models.gains import KNOTS

State = dict[str, Tensor]

_LAST_ANALYSIS, _FIRST_SYNTHESIS = "analysis_net.9.", "synthesis_net.0."
_LAST_HYPER = "hyper_synthesis_net.12."


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
