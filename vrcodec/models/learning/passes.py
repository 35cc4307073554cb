"""The training pass of each family: from pictures to reconstructions and likelihoods, with gradients.

Noise stands for rounding in the rate, straight-through rounding is used for the distortion; in evaluation both
are rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vrcodec.models.base import VariableRateModel
from vrcodec.models.coding.entropy import round_with_dead_zone
from vrcodec.models.families.qarv import Qarv
from vrcodec.models.families.slim import Slim
from vrcodec.models.hyperprior import Gains, HyperpriorModel, pad_to_hyper
from vrcodec.models.learning.likelihoods import gaussian_likelihood, round_straight_through
from vrcodec.models.learning.mixture_likelihood import mixture_likelihood
from vrcodec.models.networks.context import Pick
from vrcodec.models.networks.gains import interpolate_gains
from vrcodec.models.networks.hierarchy import Prior
from vrcodec.models.slimming.widths import Width
from vrcodec.rate import RATE_CODE_MAX, rate_from_code


@dataclass(frozen=True)
class Reconstruction:
    """``x_hat`` (B, 3, H, W), 0 .. 1 but for errors, and the likelihoods of all latents by name."""

    x_hat: Tensor
    likelihoods: Mapping[str, Tensor]


def run(
    model: VariableRateModel, x: Tensor, rate: Tensor, width: int | None = None
) -> Reconstruction:
    """The training pass: x (B, 3, 16h, 16w) in [0, 1], ``rate`` (B,), or maps for `qmap`.

    ``width``: of `slim`, whose ``rate`` then is a level 0 .. 1 of its reach; without it, the first rate chooses
    width and level.
    """
    if isinstance(model, HyperpriorModel):
        return _run_hyperprior(model, x, rate)
    if isinstance(model, Qarv):
        return _run_qarv(model, x, rate)
    assert isinstance(model, Slim)
    return _run_scheduled(model, x, rate) if width is None else _run_width(model, x, rate, width)


def analyse(model: HyperpriorModel, x: Tensor, conditions: Sequence[Tensor]) -> Tensor:
    """y (B, M, h, w), before its gains, of x (B, 3, 16h, 16w) in [0, 1].

    ``conditions``: `HyperpriorModel.compute_conditions` of the levels.
    """
    y: Tensor = model.analysis_net(x - 0.5, *conditions)
    return y.float()


def _run_hyperprior(model: HyperpriorModel, x: Tensor, rate: Tensor) -> Reconstruction:
    gains = model.gains(rate)
    conditions = model.compute_conditions(gains.levels)
    y = analyse(model, x, conditions)
    y_hat, likelihoods = code_latents(model, y, gains, conditions)
    if not y.requires_grad:
        # It is y and an error of rounding, whatever the prior predicts: nothing else learns from the picture.
        y_hat = y_hat.detach()
    return Reconstruction(model.synthesis_net(y_hat, *conditions).float() + 0.5, likelihoods)


def code_latents(
    model: HyperpriorModel, y: Tensor, gains: Gains, conditions: Sequence[Tensor]
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """y_hat of y (B, M, h, w), before its gains, same shape, and the likelihoods of y and z by name.

    ``conditions``: those of `analyse`.
    """
    assert model.prior.density is not None
    padded = pad_to_hyper(model.hyper_input(y, gains), *conditions)
    z = model.hyper_analysis_net(*padded).float() * gains.hyper_gain
    z_hat = round_straight_through(z) * gains.hyper_inverse_gain
    features = model.hyper_synthesis_net(z_hat)[..., : y.shape[-2], : y.shape[-1]]
    scaled = y * gains.gain
    likelihoods: list[Tensor] = []

    def code_step(mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
        residual = pick(scaled) - mean
        symbols = model.round(residual, log2_scale).detach()
        noise = torch.rand_like(residual) - 0.5
        coded = residual + noise if model.training else symbols
        likelihoods.append(gaussian_likelihood(coded, log2_scale).flatten(1))
        return residual + (symbols - residual).detach()

    y_hat = model.code_block(features, gains, code_step)
    of_z = model.prior.density.likelihood(z, noisy=model.training)
    return y_hat, {"y": torch.cat(likelihoods, dim=1), "z": of_z}


def _run_qarv(model: Qarv, x: Tensor, rate: Tensor) -> Reconstruction:
    encoder = model.attached_encoder()
    y = encoder.analysis_net(x - 0.5).float()
    posterior = encoder.posterior(y)
    likelihoods: dict[str, Tensor] = {}

    def latent_source(number: int, prior: Prior) -> Tensor:
        residual = prior.residual(posterior(number, prior))
        symbols = model.round(residual, prior.log2_scale).detach()
        noisy = residual + torch.rand_like(residual) - 0.5 if model.training else symbols
        likelihoods[f"z{number}"] = gaussian_likelihood(noisy, prior.log2_scale)
        straight_through = residual + (symbols - residual).detach()
        return prior.value(straight_through)

    y_hat = model.decode_top_down(rate, y.shape[-2:], latent_source)
    return Reconstruction(model.synthesis_net(y_hat).float() + 0.5, likelihoods)


def _run_scheduled(model: Slim, x: Tensor, rate: Tensor) -> Reconstruction:
    code = round(float(rate[0]) * RATE_CODE_MAX)
    index, level = model.schedule_at(code)
    levels = rate.new_full(rate.shape, rate_from_code(level))
    return _run_width(model, x, levels, model.size.widths[index])


def _run_width(model: Slim, x: Tensor, rate: Tensor, width: int) -> Reconstruction:
    parameters = model.all_widths()[width]
    knots = parameters.log_gain, parameters.log_inverse_gain
    gain, inverse = (interpolate_gains(k, rate) for k in knots)
    y = run_narrow(model, parameters, "analysis_net", x - 0.5).float() * gain
    centre = parameters.rounding_centres(gain)
    symbols = round_with_dead_zone(y.detach() - centre, parameters.log2_scales(gain))
    straight_through = y + (symbols + centre - y).detach()
    coded = y + torch.rand_like(y) - 0.5 if model.training else straight_through
    likelihood = mixture_likelihood(parameters.prior.density, coded.flatten(2), gain.flatten(2))
    x_hat = run_narrow(model, parameters, "synthesis_net", straight_through * inverse)
    return Reconstruction(x_hat.float() + 0.5, {"y": likelihood})


def run_narrow(model: Slim, width: Width, name: str, x: Tensor) -> Tensor:
    """A narrow network of ``model`` on ``x``, with gradients to the wide one."""
    state = width.network_state(name, model.leading)
    result: Tensor = width.templates[name].with_parameters(state)(x)
    return result
