"""Networks of CompressAI's own classes: random, with scales as trained ones have them."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    from compressai.models import MeanScaleHyperprior, ScaleHyperprior
    from compressai.models.vbr import MeanScaleHyperpriorVbr, ScaleHyperpriorVbr

KINDS = {"bmshj2018-hyperprior": ScaleHyperprior, "mbt2018-mean": MeanScaleHyperprior}
VARIABLE = {
    "bmshj2018-hyperprior-vbr": ScaleHyperpriorVbr,
    "mbt2018-mean-vbr": MeanScaleHyperpriorVbr,
}
# Of latents, hyper latents and pictures.
_Y_SCALE, _Z_SCALE, _X_SCALE = 4.0, 2.0, 0.2


@torch.no_grad()
def random_network(
    layout: str, n: int = 8, m: int = 12, seed: int = 0, **options: bool
) -> ScaleHyperprior:
    """A network of CompressAI's ``layout`` with N and M channels."""
    torch.manual_seed(seed)
    net = (KINDS | VARIABLE)[layout](n, m, **options).eval()
    for name, parameter in net.named_parameters():
        if name.endswith("gamma"):
            parameter.add_(0.1 * torch.rand_like(parameter))
    net.entropy_bottleneck.quantiles[:, 0, 1] = torch.randn(n)
    x = torch.rand(1, 3, 128, 128)
    y = _scale_outputs(net.g_a, x, _Y_SCALE)
    z = _scale_outputs(net.h_a, y if layout.startswith("mbt") else y.abs(), _Z_SCALE)
    _scale_outputs(net.h_s, z.round(), 1.0)
    _scale_outputs(net.g_s, y.round(), _X_SCALE)
    net.g_s[6].bias.add_(0.5)
    return net


def _scale_outputs(layers: torch.nn.Sequential, x: Tensor, scale: float) -> Tensor:
    """Let every convolution have outputs of standard deviation 1, the last one of ``scale``; returns those."""
    last = max(k for k, layer in enumerate(layers) if hasattr(layer, "weight"))
    for k, layer in enumerate(layers):
        x = layer(x)
        if hasattr(layer, "weight"):
            factor = (scale if k == last else 1.0) / x.std()
            layer.weight.mul_(factor)
            layer.bias.mul_(factor)
            x = x * factor
    return x
