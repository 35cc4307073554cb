"""Coarse means of y in idle channels of the hyper latent."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.errors import UsageError
from vrcodec.models.families.gained import Gained
from vrcodec.models.families.qmap import Qmap
from vrcodec.models.learning.trainable import attach_training
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.module import initialised
from vrcodec.training.coarse_means import carry_coarse_means

SIZE = BackboneSize(channels=64, latent=24, hyper=12, blocks=1, prior=32)


def make_model(kind: type[Gained] = Gained) -> Gained:
    with initialised(1):
        model = kind(SIZE)
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
    y[:, [4, 7, 20]] += 20 * F.interpolate(smooth, (16, 16), mode="bicubic")
    return y


@pytest.mark.parametrize("kind", [Gained, Qmap])
def test_means_reach_z_and_the_predicted_means(kind: type[Gained], y: Tensor) -> None:
    model = make_model(kind)
    rate = torch.linspace(0, 1, len(y))
    before = predicted_means(model, y, rate)
    idle = carry_coarse_means(model, y, rate)
    gains = model.gains(rate)
    conditions = model.compute_conditions(gains.levels)
    z = model.hyper_analysis_net(y * gains.gain, *conditions)
    means = F.avg_pool2d(y * gains.gain, 4)
    for k in idle:
        errors = [float((z[:, k] - means[:, channel]).abs().max()) for channel in (4, 7, 20)]
        assert min(errors) < 1e-3 * float(means.abs().max())
    after = predicted_means(model, y, rate)
    errors = [
        (((y * gains.gain - mean) / gains.gain)[:, [4, 7, 20]] ** 2).mean()
        for mean in (before, after)
    ]
    assert float(errors[1]) < 0.2 * float(errors[0])


def predicted_means(model: Gained, y: Tensor, rate: Tensor) -> Tensor:
    gains = model.gains(rate)
    conditions = model.compute_conditions(gains.levels)
    z = (model.hyper_analysis_net(y * gains.gain, *conditions) * gains.hyper_gain).round()
    parameters: Tensor = model.hyper_synthesis_net(z * gains.hyper_inverse_gain)
    return parameters[:, : SIZE.latent]


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
