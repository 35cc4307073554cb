"""Coarse means of y in idle channels of the hyper latent."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.errors import UsageError
from vrcodec.models.families.gained import Gained
from vrcodec.models.families.qmap import Qmap
from vrcodec.models.families.qvrf import Qvrf
from vrcodec.models.learning.trainable import attach_training
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.context import Pick
from vrcodec.models.networks.module import initialised
from vrcodec.training.coarse_means import carry_coarse_means

SIZE = BackboneSize(channels=64, latent=24, hyper=12, blocks=1, prior=32)
SMOOTH = [4, 7, 9]

Kind = type[Gained] | type[Qvrf]


def make_model(kind: Kind = Gained) -> Gained | Qvrf:
    size = replace(SIZE, groups=(10, 14), context=32) if kind is Qvrf else SIZE
    with initialised(1):
        model = kind(size)
        attach_training(model)
    model.requires_grad_(False)
    if isinstance(model, Qmap):
        model.hyper_analysis_net.modulations["0"].gamma_beta.weight[:] = 0.1
    # Idle channels, as trained weights have them.
    model.log_hyper_gain[:, ::2] = -12
    return model.eval()


@pytest.fixture
def y() -> Tensor:
    """Noise, and three channels that are smooth as well."""
    noise = torch.Generator().manual_seed(0)
    y = torch.randn(16, SIZE.latent, 16, 16, generator=noise)
    smooth = torch.randn(16, 3, 3, 3, generator=noise)
    y[:, SMOOTH] += 20 * F.interpolate(smooth, (16, 16), mode="bicubic")
    return y


@pytest.mark.parametrize("kind", [Gained, Qmap, Qvrf])
def test_means_reach_z_and_the_predicted_means(kind: Kind, y: Tensor) -> None:
    model = make_model(kind)
    rate = torch.linspace(0, 1, len(y))
    gains = model.gains(rate)
    before = errors_of_means(model, y, rate)
    idle = carry_coarse_means(model, y, rate)
    scaled = model.hyper_input(y, gains)
    z = model.hyper_analysis_net(scaled, *model.compute_conditions(gains.levels))
    means = F.avg_pool2d(scaled, 4)
    for k in idle:
        errors = [float((z[:, k] - means[:, channel]).abs().max()) for channel in SMOOTH]
        assert min(errors) < 1e-3 * float(means.abs().max())
    assert errors_of_means(model, y, rate) < 0.2 * before


def errors_of_means(model: Gained | Qvrf, y: Tensor, rate: Tensor) -> float:
    """Squared errors in y of the means of what is smooth, where nothing else than z is known."""
    gains = model.gains(rate)
    conditions = model.compute_conditions(gains.levels)
    z = model.hyper_analysis_net(model.hyper_input(y, gains), *conditions) * gains.hyper_gain
    features = model.hyper_synthesis_net(z.round() * gains.hyper_inverse_gain)
    errors = []

    def code_step(mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
        residual = pick(y * gains.gain) - mean
        if not errors:
            in_y = residual.flatten(2) / gains.gain[:, : residual.shape[1], 0]
            errors.append(float((in_y[:, SMOOTH] ** 2).mean()))
        symbols: Tensor = residual.round()
        return symbols

    model.code_block(features, gains, code_step)
    return errors[0]


def test_a_step_follows_what_lies_around_the_mean(y: Tensor) -> None:
    """Of channels twice as large the steps are: nothing else would be right for both."""
    steps = []
    for factor in (1, 2):
        model = make_model()
        idle = carry_coarse_means(model, factor * y, torch.linspace(0, 1, len(y)))
        steps.append(model.log_hyper_inverse_gain[:, idle].exp())
    assert torch.allclose(2 * steps[0], steps[1], rtol=1e-3)


def test_where_all_channels_are_in_use(y: Tensor) -> None:
    busy = make_model()
    busy.log_hyper_gain[:] = 3
    with pytest.raises(UsageError, match="in use"):
        carry_coarse_means(busy, y, torch.linspace(0, 1, len(y)))
