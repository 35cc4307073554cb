"""Coarse means of y for idle channels of the hyper latent.

Most channels of z end up idle: at first they carry what nobody reads yet, cost bits, and learn to be zero. So
what a hyperprior could tell best goes untold: in the few channels of y that hold the local mean of luma and
chroma, neighbours are correlated even around the mean that it predicts. Here such means are put there by hand,
as weights of the networks that there are, for training to go on from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu
from torch.optim import Adam

from vrcodec.errors import UsageError
from vrcodec.models.families.gained import Gained
from vrcodec.models.families.qvrf import Qvrf
from vrcodec.models.hyperprior import Gains
from vrcodec.models.networks.context import GroupContext, Pick
from vrcodec.models.networks.gains import KNOTS
from vrcodec.models.networks.layers import LEAKY_SLOPE, Pointwise
from vrcodec.models.networks.modulation import Modulated
from vrcodec.models.networks.module import Sequential
from vrcodec.regions.grid import HYPER_STRIDE
from vrcodec.training.carried_values import (
    Carried,
    carry,
    least_used,
    reserve_inputs,
    reserve_outputs,
    stand_still,
)

# How many channels of y: those of luma and of two kinds of chroma.
_COUNT = 3
# Nearest samples, then this, interpolates linearly.
_SMOOTH = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16
_CENTRE = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
_MEAN = torch.full((2, 2), 0.25)
_POINT = torch.ones(1, 1)
# Weight decay of the least squares, in mean squares of the features.
_RIDGE = 1e-6
_MIN_DEVIATION = 1e-3
_DENSITY_STEPS = 300
_DENSITY_LEARNING_RATE = 2e-2


@torch.no_grad()
def carry_coarse_means(model: Gained | Qvrf, y: Tensor, rate: Tensor) -> list[int]:
    """Let idle channels of z carry the means of the three channels of y whose means vary most.

    With a context model: of three in its first group. ``y`` (B, M, 4h, 4w) at ``rate`` (B,), with rates from
    all of [0, 1]: what is measured on. The prior of the other channels has lost what it used least: train it
    on. Returns the channels of z. Raises UsageError where too few of them are idle.
    """
    gains = model.gains(rate)
    scaled, conditions = model.hyper_input(y, gains), model.compute_conditions(gains.levels)
    z = model.hyper_analysis_net(scaled, *conditions) * gains.hyper_gain
    idle = torch.nonzero((z.round() == 0).all(3).all(2).all(0)).flatten().tolist()[:_COUNT]
    means = avg_pool2d(scaled, HYPER_STRIDE)
    first_group = model.size.groups[0] if isinstance(model, Qvrf) else model.size.latent
    strength = means[:, :first_group].var((0, 2, 3))
    carried = strength.argsort(descending=True)[:_COUNT].tolist()
    if len(idle) < _COUNT:
        raise UsageError("all channels of the hyper latent are in use")
    _pass_means_down(model, scaled, conditions, carried, idle)
    _set_steps(model, scaled, means, rate, carried, idle)
    gains = model.gains(rate)
    z = model.hyper_analysis_net(scaled, *conditions) * gains.hyper_gain
    z_hat = z.round() * gains.hyper_inverse_gain
    value = _pass_means_up(model, z_hat, idle)
    if isinstance(model, Qvrf):
        _predict_from_context(model, z_hat, y, gains, value, carried)
    else:
        _predict(model, z_hat, scaled, value, carried)
    _fit_densities(model, z, idle)
    return idle


def _pass_means_down(
    model: Gained | Qvrf,
    scaled: Tensor,
    conditions: Sequence[Tensor],
    carried: list[int],
    idle: list[int],
) -> None:
    """Through the hyper-analysis."""
    net = model.hyper_analysis_net
    first, block, halve, _, middle, _, last = (net[k] for k in range(7))
    features = _features(net, scaled, conditions)
    inner = least_used(features[1], _COUNT, halve)
    after_halving, after_middle = (
        least_used(features[k], 2 * _COUNT, layer) for k, layer in ((3, middle), (5, last))
    )
    if isinstance(net, Modulated):
        gamma_beta = net.modulations["0"].gamma_beta
        half = gamma_beta.weight.shape[0] // 2
        reserve_outputs(gamma_beta, [*inner, *(half + channel for channel in inner)])
    stand_still(block, inner)
    value = Carried.single(carried)
    value = carry(first, value, Carried.single(inner), _POINT, exclusive=False)
    value = carry(halve, value, Carried.pairs(after_halving), _MEAN)
    value = carry(middle, value, Carried.pairs(after_middle), _CENTRE)
    carry(last, value, Carried.single(idle), _MEAN)


def _set_steps(
    model: Gained | Qvrf,
    scaled: Tensor,
    means: Tensor,
    rate: Tensor,
    carried: list[int],
    idle: list[int],
) -> None:
    """Quantisation steps of the means, by rate: a line in the logarithm, as gains of y nearly are."""
    around = scaled[:, carried] - interpolate(
        means[:, carried], scale_factor=HYPER_STRIDE, mode="bilinear"
    )
    log_step = (_best_step(model) * around.std((2, 3)).clamp_min(_MIN_DEVIATION)).log()
    design = torch.stack((torch.ones_like(rate), rate), 1)
    offset, slope = torch.linalg.lstsq(design, log_step).solution
    knots = offset + slope * torch.linspace(0, 1, KNOTS, device=rate.device).unsqueeze(1)
    model.log_hyper_gain[:, idle] = -knots
    model.log_hyper_inverse_gain[:, idle] = knots


def _best_step(model: Gained | Qvrf) -> float:
    """The step of a mean of n samples that costs fewest bits, mean and samples together.

    In deviations of these around it: sqrt(12 / (n - 1)), from the rate of both at high resolution.
    """
    # Of the squares of a checkerboard the white ones are predicted from the black ones.
    n = HYPER_STRIDE**2 // (2 if isinstance(model, Qvrf) else 1)
    return math.sqrt(12 / (n - 1))


def _pass_means_up(model: Gained | Qvrf, z: Tensor, idle: list[int]) -> Carried:
    """Through the hyper-synthesis, but for its last layer; returns where its features have them."""
    net = model.hyper_synthesis_net
    layers = list(net)
    features = _features(net, z)
    value = Carried.single(idle)
    steps = [(0, 1, _CENTRE, 1), (2, 4, _POINT, 4), (5, 6, _SMOOTH, 1), (7, 9, _POINT, 4)]
    readers = [[layers[2]], [layers[5]], [layers[7]]]
    if isinstance(model, Qvrf):
        readers.append([group.hyper for group in model.context.groups])
    else:
        steps.append((10, 11, _SMOOTH, 1))
        readers += [[layers[10]], [layers[12]]]
    for (number, behind, kernel, phases), reading in zip(steps, readers, strict=True):
        place = Carried.pairs(least_used(features[behind], 2 * _COUNT, *reading))
        value = carry(layers[number], value, place, kernel, phases=phases)
    for layer in readers[-1]:
        reserve_inputs(layer, value.channels)
    return value


def _predict(model: Gained, z: Tensor, scaled: Tensor, value: Carried, carried: list[int]) -> None:
    """By the last layer of the hyper-synthesis."""
    net = model.hyper_synthesis_net
    gain = torch.ones_like(scaled[:, :1, :1, :1])
    _fit_means(list(net)[-1], _features(net, z)[-2], scaled, carried, gain)


def _predict_from_context(
    model: Qvrf, z: Tensor, y: Tensor, gains: Gains, value: Carried, carried: list[int]
) -> None:
    """By the network of the first group, for squares of both colours."""
    group = model.context.groups[0]
    features = model.hyper_synthesis_net(z)
    y_hat = _decoded(model, features, y, gains)[:, : model.size.groups[0]]
    place = least_used(_hidden(group, features, y_hat, gains)[0], 2 * _COUNT, group.hidden)
    group.rate[:, place] = 0
    reserve_outputs(group.black, place)
    value = carry(group.hyper, value, Carried.pairs(place), _POINT)
    place = least_used(_hidden(group, features, y_hat, gains)[1], 2 * _COUNT, group.out)
    value = carry(group.hidden, value, Carried.pairs(place), _POINT)
    reserve_inputs(group.out, value.channels)
    _fit_means(group.out, _hidden(group, features, y_hat, gains)[1], y, carried, gains.gain)


def _decoded(model: Qvrf, features: Tensor, y: Tensor, gains: Gains) -> Tensor:
    """y as the decoder has it, (B, M, h, w)."""

    def code_step(mean: Tensor, log2_scale: Tensor, pick: Pick) -> Tensor:
        symbols: Tensor = model.round(pick(y * gains.gain) - mean, log2_scale)
        return symbols

    y_hat: Tensor = model.context(features, gains.rate, model.regulate(code_step, gains))
    return y_hat


def _hidden(
    group: GroupContext, features: Tensor, y_hat: Tensor, gains: Gains
) -> tuple[Tensor, Tensor]:
    """Both layers of hidden features of the first group, (B, width, h, w) each."""
    rows, columns = (torch.arange(side, device=y_hat.device) for side in y_hat.shape[-2:])
    white = (rows.unsqueeze(1) + columns) % 2
    x = group.base(features, None, gains.rate) + white * group.neighbours(y_hat * (1 - white))
    inner = leaky_relu(x, LEAKY_SLOPE)
    return inner, leaky_relu(group.hidden(inner), LEAKY_SLOPE)


def _features(net: Sequential, x: Tensor, conditions: Sequence[Tensor] = ()) -> list[Tensor]:
    """What each layer of ``net`` gives; copies, because some work in the memory of their input."""
    outputs = net.outputs(x, *conditions) if isinstance(net, Modulated) else _outputs(net, x)
    return [output.clone() for output in outputs]


def _outputs(net: Sequential, x: Tensor) -> Iterator[Tensor]:
    for layer in net:
        x = layer(x)
        yield x


def _fit_means(
    last: Pointwise, features: Tensor, scaled: Tensor, carried: list[int], gain: Tensor
) -> None:
    """Least squares of ``carried`` channels of y on ``features``, in units of the scales predicted so far.

    ``gain`` (B, 1, 1, 1): what makes steps of the unit of ``scaled``.
    """
    log2_scale = last(features)[:, last.weight.shape[0] // 2 :][:, carried]
    x = features.movedim(1, -1).flatten(0, 2).double()
    x = torch.cat((x, torch.ones_like(x[:, :1])), 1)
    for k, channel in enumerate(carried):
        weight = (
            torch.exp2(-log2_scale[:, k]).minimum(4 * gain[:, 0]).flatten().double().unsqueeze(1)
        )
        target, weighted = scaled[:, channel].flatten().double().unsqueeze(1) * weight, x * weight
        gram = weighted.T @ weighted
        ridge = _RIDGE * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
        solution = torch.linalg.solve(gram + ridge, weighted.T @ target).flatten().float()
        last.weight[channel], last.bias[channel] = solution[:-1], solution[-1]
        error = (target - weighted @ solution.double().unsqueeze(1)).std()
        last.bias[channel + last.weight.shape[0] // 2] += float(error.log2().clamp_max(0))


def _fit_densities(model: Gained | Qvrf, z: Tensor, channels: list[int]) -> None:
    """Those of idle channels are nothing but a peak at zero. ``z``: in steps, before it is rounded."""
    from vrcodec.models.learning.factorized_density import FactorizedDensity

    density = model.prior.density
    assert density is not None
    fitted = FactorizedDensity(len(channels)).to(z.device)
    learning = [p for p in fitted.parameters() if p.requires_grad]
    optimizer = Adam(learning, _DENSITY_LEARNING_RATE)
    with torch.enable_grad():
        for _ in range(_DENSITY_STEPS):
            optimizer.zero_grad()
            bits = -torch.log2(fitted.likelihood(z[:, channels], noisy=True)).mean()
            bits.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    values = dict(fitted.named_parameters())
    for name, parameter in density.named_parameters():
        if name != "quantiles":
            parameter[channels] = values[name]
