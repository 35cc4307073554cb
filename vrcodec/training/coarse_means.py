"""Coarse means of y for idle channels of the hyper latent.

Most channels of z end up idle: at first they carry what nobody reads yet, cost bits, and learn to be zero. So
what a hyperprior could tell best goes untold: in the few channels of y that hold the local mean of luma and
chroma, neighbours are correlated even around the mean that it predicts. Here such means are put there by hand,
as weights of the networks that there are, for training to go on from.

A value passes a leaky ReLU unchanged as two channels, x and -x, of which one is subtracted from the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vrcodec.errors import UsageError
from vrcodec.models.families.gained import Gained
from vrcodec.models.networks.gains import KNOTS
from vrcodec.models.networks.layers import LEAKY_SLOPE, Conv2d, Pointwise, ResidualBlock
from vrcodec.models.networks.modulation import Modulated
from vrcodec.models.networks.module import Sequential
from vrcodec.regions.grid import HYPER_STRIDE

# How many channels of y: those of luma and of two kinds of chroma.
_COUNT = 3
# What makes a value of the difference of its two channels.
_JOIN = 1 / (1 + LEAKY_SLOPE)
# The step of a mean of n samples that costs fewest bits, mean and samples together, in deviations of these
# around it: sqrt(12 / (n - 1)), from the rate of both at high resolution.
_STEP = math.sqrt(12 / (HYPER_STRIDE**2 - 1))
# Nearest samples, then this, interpolates linearly.
_SMOOTH = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16
_CENTRE = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
_MEAN = torch.full((2, 2), 0.25)
_POINT = torch.ones(1, 1)
# Weight decay of the least squares, in mean squares of the features.
_RIDGE = 1e-6
_MIN_DEVIATION = 1e-3


@dataclass(frozen=True)
class _Carried:
    """Where a layer has the values: (channel, factor) of each, whose sum it is."""

    terms: tuple[tuple[tuple[int, float], ...], ...]

    @property
    def channels(self) -> list[int]:
        """All that take part."""
        return [channel for terms in self.terms for channel, _ in terms]

    @staticmethod
    def single(channels: Sequence[int]) -> _Carried:
        return _Carried(tuple(((channel, 1.0),) for channel in channels))

    @staticmethod
    def pairs(channels: Sequence[int]) -> _Carried:
        """Of values behind a leaky ReLU: the first half of ``channels`` has x, the other -x."""
        half = len(channels) // 2
        return _Carried(
            tuple(
                ((a, _JOIN), (b, -_JOIN))
                for a, b in zip(channels[:half], channels[half:], strict=True)
            )
        )


@torch.no_grad()
def carry_coarse_means(model: Gained, y: Tensor, rate: Tensor) -> list[int]:
    """Let idle channels of z carry the means of the three channels of y whose means vary most.

    ``y`` (B, M, 4h, 4w) at ``rate`` (B,), with rates from all of [0, 1]: what is measured on. Densities and
    scales of these channels are rough then, and the prior of the others has lost what it used least: train
    it on. Returns the channels of z. Raises UsageError where too few of them are idle.
    """
    gains = model.gains(rate)
    scaled, conditions = model.hyper_input(y, gains), model.compute_conditions(gains.levels)
    z = model.hyper_analysis_net(scaled, *conditions) * gains.hyper_gain
    idle = torch.nonzero((z.round() == 0).all(3).all(2).all(0)).flatten().tolist()[:_COUNT]
    means = torch.nn.functional.avg_pool2d(scaled, HYPER_STRIDE)
    carried = means.var((0, 2, 3)).argsort(descending=True)[:_COUNT].tolist()
    if len(idle) < _COUNT:
        raise UsageError("all channels of the hyper latent are in use")
    _pass_means_down(model, scaled, conditions, carried, idle)
    _set_steps(model, scaled, means, rate, carried, idle)
    gains = model.gains(rate)
    z = model.hyper_analysis_net(scaled, *conditions) * gains.hyper_gain
    _pass_means_up(model, z.round() * gains.hyper_inverse_gain, scaled, carried, idle)
    _renew_densities(model, idle)
    return idle


def _pass_means_down(
    model: Gained,
    scaled: Tensor,
    conditions: Sequence[Tensor],
    carried: list[int],
    idle: list[int],
) -> None:
    """Through the hyper-analysis."""
    net = model.hyper_analysis_net
    first, block, halve, _, middle, _, last = (net[k] for k in range(7))
    features = _features(net, scaled, conditions)
    inner = _least_used(features[1], halve)[:_COUNT]
    after_halving, after_middle = (
        _least_used(features[k], layer) for k, layer in ((3, middle), (5, last))
    )
    if isinstance(net, Modulated):
        gamma_beta = net.modulations["0"].gamma_beta
        half = gamma_beta.weight.shape[0] // 2
        _reserve_outputs(gamma_beta, [*inner, *(half + channel for channel in inner)])
    _stand_still(block, inner)
    value = _Carried.single(carried)
    value = _carry(first, value, _Carried.single(inner), _POINT, exclusive=False)
    value = _carry(halve, value, _Carried.pairs(after_halving), _MEAN)
    value = _carry(middle, value, _Carried.pairs(after_middle), _CENTRE)
    _carry(last, value, _Carried.single(idle), _MEAN)


def _set_steps(
    model: Gained,
    scaled: Tensor,
    means: Tensor,
    rate: Tensor,
    carried: list[int],
    idle: list[int],
) -> None:
    """Quantisation steps of the means, by rate: a line in the logarithm, as gains of y nearly are."""
    around = scaled[:, carried] - torch.nn.functional.interpolate(
        means[:, carried], scale_factor=HYPER_STRIDE, mode="bilinear"
    )
    log_step = (_STEP * around.std((2, 3)).clamp_min(_MIN_DEVIATION)).log()
    design = torch.stack((torch.ones_like(rate), rate), 1)
    offset, slope = torch.linalg.lstsq(design, log_step).solution
    knots = offset + slope * torch.linspace(0, 1, KNOTS, device=rate.device).unsqueeze(1)
    model.log_hyper_gain[:, idle] = -knots
    model.log_hyper_inverse_gain[:, idle] = knots


def _pass_means_up(
    model: Gained, z: Tensor, scaled: Tensor, carried: list[int], idle: list[int]
) -> None:
    """Through the hyper-synthesis, whose mean of the carried channels is then fitted to them."""
    net = model.hyper_synthesis_net
    layers = list(net)
    features = _features(net, z)
    value = _Carried.single(idle)
    # Layers, the one that reads what they give behind their activation, and where in a row that is.
    for number, reader, behind, kernel, phases in (
        (0, 2, 1, _CENTRE, 1),
        (2, 5, 4, _POINT, 4),
        (5, 7, 6, _SMOOTH, 1),
        (7, 10, 9, _POINT, 4),
        (10, 12, 11, _SMOOTH, 1),
    ):
        place = _Carried.pairs(_least_used(features[behind], layers[reader]))
        value = _carry(layers[number], value, place, kernel, phases=phases)
    last = layers[-1]
    _reserve_inputs(last, value.channels)
    _fit_means(last, _features(net, z)[-2], scaled, carried)


def _features(net: Sequential, x: Tensor, conditions: Sequence[Tensor] = ()) -> list[Tensor]:
    """What each layer of ``net`` gives; copies, because some work in the memory of their input."""
    outputs = net.outputs(x, *conditions) if isinstance(net, Modulated) else _outputs(net, x)
    return [output.clone() for output in outputs]


def _outputs(net: Sequential, x: Tensor) -> Iterator[Tensor]:
    for layer in net:
        x = layer(x)
        yield x


def _least_used(features: Tensor, layer: Conv2d | Pointwise) -> list[int]:
    """Two channels of ``features`` for each carried value: those that the ``layer`` behind them uses least."""
    strength = layer.weight.flatten(2) if layer.weight.ndim == 4 else layer.weight.unsqueeze(2)
    use = features.std((0, 2, 3)) * strength.pow(2).sum((0, 2)).sqrt()
    order: list[int] = use.argsort()[: 2 * _COUNT].tolist()
    return order


def _stand_still(block: ResidualBlock, channels: list[int]) -> None:
    """Let ``channels`` pass ``block`` unchanged and unseen."""
    for layer in (block.mix, block.merge):
        _reserve_outputs(layer, channels)
    for layer in (block.spread, block.gate):
        _reserve_inputs(layer, channels)


def _carry(
    layer: Conv2d | Pointwise,
    source: _Carried,
    target: _Carried,
    kernel: Tensor,
    *,
    phases: int = 1,
    exclusive: bool = True,
) -> _Carried:
    """Let ``layer`` take the values by ``kernel`` from ``source`` to ``target``, where they are alone.

    ``phases``: outputs for each channel of ``target``, in front of a pixel shuffle. Not ``exclusive``: other
    outputs need what ``source`` has, too.
    """
    weight = layer.weight if layer.weight.ndim == 4 else layer.weight[..., None, None]
    if exclusive:
        _reserve_inputs(layer, source.channels)
    _reserve_outputs(layer, [phases * k + j for k in target.channels for j in range(phases)])
    for sources, targets in zip(source.terms, target.terms, strict=True):
        for channel, sign in targets:
            rows = slice(phases * channel, phases * (channel + 1))
            for other, factor in sources:
                weight[rows, other] = math.copysign(factor, factor * sign) * kernel
    return target


def _reserve_outputs(layer: Conv2d | Pointwise, channels: list[int]) -> None:
    layer.weight[channels] = 0
    layer.bias[channels] = 0


def _reserve_inputs(layer: Conv2d | Pointwise, channels: list[int]) -> None:
    layer.weight[:, channels] = 0


def _fit_means(last: Pointwise, features: Tensor, scaled: Tensor, carried: list[int]) -> None:
    """Least squares of ``carried`` channels of y on ``features``, in units of the scales predicted so far."""
    log2_scale = last(features)[:, last.weight.shape[0] // 2 :][:, carried]
    x = features.movedim(1, -1).flatten(0, 2).double()
    x = torch.cat((x, torch.ones_like(x[:, :1])), 1)
    for k, channel in enumerate(carried):
        weight = torch.exp2(-log2_scale[:, k]).clamp_max(4).flatten().double().unsqueeze(1)
        target, weighted = scaled[:, channel].flatten().double().unsqueeze(1) * weight, x * weight
        gram = weighted.T @ weighted
        ridge = _RIDGE * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
        solution = torch.linalg.solve(gram + ridge, weighted.T @ target).flatten().float()
        last.weight[channel], last.bias[channel] = solution[:-1], solution[-1]
        error = (target - weighted @ solution.double().unsqueeze(1)).std()
        last.bias[channel + last.weight.shape[0] // 2] += float(error.log2().clamp_max(0))


def _renew_densities(model: Gained, channels: list[int]) -> None:
    """Those of idle channels are nothing but a peak at zero."""
    from vrcodec.models.learning.factorized_density import FactorizedDensity

    density = model.prior.density
    assert density is not None
    fresh = dict(FactorizedDensity(model.size.hyper).named_parameters())
    for name, parameter in density.named_parameters():
        if name != "quantiles":
            parameter[channels] = fresh[name][channels].to(parameter)
