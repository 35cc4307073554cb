"""Where the priors of a model begin: at mean zero, and at scales that were measured."""

from __future__ import annotations

import torch
from torch import Tensor

from vrcodec.models.families.gained import Gained
from vrcodec.models.families.qvrf import Qvrf
from vrcodec.models.families.slim import Slim
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.models.networks.layers import Pointwise


@torch.no_grad()
def initialise_scales(model: HyperpriorModel | Slim, log2_scales: Tensor) -> None:
    """Let the prior begin at mean zero and these log2 scales (M,) of the channels of y, at rate 1/2."""
    if isinstance(model, Slim):
        for width in model.all_widths().values():
            scales = log2_scales[: width.prior.channels].exp2()
            width.prior.density.initialise(torch.zeros_like(scales), scales)
    elif isinstance(model, Qvrf):
        for (start, end), group in zip(model.context.ranges, model.context.groups, strict=True):
            group.out.bias.copy_(_at_mean_zero(log2_scales[start:end]))
    else:
        assert isinstance(model, Gained)
        initialise_output(model.hyper_synthesis_net[-1], log2_scales)


@torch.no_grad()
def initialise_output(layer: Pointwise, log2_scales: Tensor) -> None:
    """The same for a ``layer`` that gives means and log2 scales: at first means hardly depend on its input."""
    layer.weight[: len(log2_scales)] *= 0.1
    layer.bias.copy_(_at_mean_zero(log2_scales))


def _at_mean_zero(log2_scales: Tensor) -> Tensor:
    return torch.cat((torch.zeros_like(log2_scales), log2_scales))
