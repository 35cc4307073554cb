"""A slimmable model from the weights of a model that has one width."""

from __future__ import annotations

import torch
from torch import Tensor

from vrcodec.models.coding.hyperprior import HyperpriorModel
from vrcodec.models.families.slim import Slim
from vrcodec.models.networks.gains import KNOTS
from vrcodec.models.slimming.widths import NETWORKS
from vrcodec.training.channel_order import sort_channels


@torch.no_grad()
def start_from_wide(model: Slim, wide: HyperpriorModel, x: Tensor) -> None:
    """Set ``model`` to do what ``wide`` does at its widest, with the most useful channels first.

    ``x`` (B, 3, 16h, 16w) in [0, 1]: pictures that tell which channels those are, and the scales of latents.
    """
    assert model.analysis_net is not None
    assert model.synthesis_net is not None
    for name in NETWORKS:
        model.get_submodule(name).load_state_dict(wide.get_submodule(name).state_dict())
    usual = _log_gains(wide, torch.tensor([0.5]))
    order = sort_channels(model.analysis_net, model.synthesis_net, x, *(g[0].exp() for g in usual))
    for width, reach in zip(model.all_widths().values(), model.size.reach, strict=True):
        own = order[: width.log_gain.shape[1]]
        gain, inverse = _log_gains(wide, torch.linspace(0, reach, KNOTS))
        width.log_gain.copy_(gain[:, own])
        width.log_inverse_gain.copy_(inverse[:, own])
    start_scales(model, x)


def _log_gains(wide: HyperpriorModel, rate: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of gains and inverse gains at ``rate`` (B,), both (B, M)."""
    factors = wide.factors(rate)
    shape = len(rate), wide.size.latent
    gain, inverse = factors.gain.flatten(1), factors.inverse_gain.flatten(1)
    return gain.log().expand(shape), inverse.log().expand(shape)


@torch.no_grad()
def start_scales(model: Slim, x: Tensor) -> None:
    """Set the densities to the means and deviations of the latents that ``x`` has now."""
    for width in model.all_widths().values():
        y = model.call_narrow(width, "analysis_net", x - 0.5).float()
        deviation, mean = torch.std_mean(y, dim=(0, 2, 3))
        width.prior.density.start(mean, deviation.clamp_min(1e-3))
