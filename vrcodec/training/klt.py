"""Initialising the backbone: the Karhunen-Loeve transform of 16x16 patches.

The blocks of a new backbone are the identity, so what its other layers do is linear, and can be set to
the best linear transform there is. From random weights, a short training leaves half of the latent
channels dead, and their share of the picture lost at every rate: measured on Kodak, a backbone trained
on 96,000 crops passed what 160 principal components do (28 to 39 dB), and 320 components pass 40 to 47 dB.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vrcodec.models.families.slim import Slim
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.models.learning.initial_scales import initialise_scales
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.layers import Conv2d, Pointwise
from vrcodec.models.networks.module import Module
from vrcodec.regions.grid import STRIDE

_PATCH = 3 * STRIDE**2
_HALF = STRIDE // 2
_SAMPLES = 100_000
# Quantisation steps of orthonormal coefficients that minimise bpp + lambda 255^2 MSE at high rate are
# sqrt(4.0e-4 / lambda); with gains exp(-1.5) .. exp(1.5) over the range of lambda, this factor before
# the gains makes them the unit steps of rounding.
LATENT_SCALE = 5.47


def can_carry_klt(size: BackboneSize) -> bool:
    """Whether a backbone has as many channels as a quarter of a patch has samples, 192."""
    return size.channels >= _PATCH // 4


def principal_components(pictures: Sequence[Tensor], seed: int) -> tuple[Tensor, Tensor]:
    """Basis (768, 768), columns by falling energy, and standard deviations (768,) of patches - 0.5.

    A patch is (3, 16, 16), flattened. ``pictures`` are uint8 (3, H, W), at least 16 pixels a side.
    """
    random = np.random.default_rng(seed)
    patches = []
    for index in random.integers(len(pictures), size=_SAMPLES):
        picture = pictures[index]
        top = random.integers(picture.shape[-2] - STRIDE + 1)
        left = random.integers(picture.shape[-1] - STRIDE + 1)
        patches.append(picture[:, top : top + STRIDE, left : left + STRIDE].reshape(-1))
    x = torch.stack(patches).cpu().double() / 255 - 0.5
    energy, basis = torch.linalg.eigh(x.T @ x / len(x))
    return basis.flip(1), energy.flip(0).clamp_min(0).sqrt()


@torch.no_grad()
def initialise_from_klt(model: HyperpriorModel | Slim, basis: Tensor, deviations: Tensor) -> None:
    """Set the linear path of ``model``'s transforms to the first M components of ``basis``.

    Its size must be one that can carry them (`can_carry_klt`).
    """
    size = model.size
    components = basis[:, : size.latent].to(torch.float32)
    # (M, 3, 2, 8, 2, 8) -> (M, 3 * 64, 2, 2): the channels of pixel-unshuffle by 8, at 2x2 positions.
    phases = components.T.reshape(-1, 3, 2, _HALF, 2, _HALF).permute(0, 1, 3, 5, 2, 4)
    kernel = phases.reshape(size.latent, _PATCH // 4, 2, 2)
    analysis, synthesis = (
        _layers(model.get_submodule(name)) for name in ("analysis_net", "synthesis_net")
    )
    _set_identity(analysis[0])
    analysis[1].weight[:, _PATCH // 4 :] = 0
    analysis[1].weight[:, : _PATCH // 4] = kernel
    _zero_bias(analysis[1])
    _set_identity(analysis[2], LATENT_SCALE)
    _set_identity(synthesis[0], 1 / LATENT_SCALE)
    synthesis[1].weight.zero_()
    _zero_bias(synthesis[1])
    synthesis[1].weight[:_PATCH] = kernel.reshape(size.latent, _PATCH).T
    _set_identity(synthesis[2])
    scales = LATENT_SCALE * deviations[: size.latent].clamp_min(1e-3)
    initialise_scales(model, torch.log2(scales).to(torch.float32))


def _layers(net: Module) -> list[Conv2d | Pointwise]:
    return [layer for layer in net.children() if isinstance(layer, Conv2d | Pointwise)]


def _set_identity(layer: Module, factor: float = 1.0) -> None:
    """Pass the first channels through; channels beyond those that come in keep their random weights."""
    assert isinstance(layer, Pointwise)
    rows = min(layer.weight.shape)
    layer.weight[:rows] = 0
    layer.weight[:rows, :rows] = factor * torch.eye(rows)
    _zero_bias(layer)


def _zero_bias(layer: Conv2d | Pointwise) -> None:
    layer.bias.zero_()
