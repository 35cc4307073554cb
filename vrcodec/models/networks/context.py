"""A parallel context model: channel groups crossed with a checkerboard.

The channels of y come in groups of growing size, because the first ones hold most of the bits; each group
is coded in two steps, the black squares of a checkerboard and then the white ones. A step sees the features of
the hyper-synthesis, the groups before it with their neighbourhoods, and on white squares the black ones
around them. He et al., "ELIC", CVPR 2022, sections 3.2 and 3.3; here with narrow networks of 1x1 and
depthwise convolutions, because they run in float64. A block of the latent grid is coded by itself: beyond
its border the context is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from vrcodec.kernels import Array, kernels_of
from vrcodec.models.networks.gains import KNOTS, as_channels, interpolate_knots
from vrcodec.models.networks.layers import LEAKY_SLOPE, Depthwise, Pointwise
from vrcodec.models.networks.module import Module, ModuleList, initialises, normal, parameter

# Picks from (B, M, h, w) the samples (B, C, n) of a step.
Pick = Callable[[Array], Array]
# Codes or decodes the samples of a step, given their means and log2 scales (B, C, n): returns values (B, C, n).
StepCoder = Callable[[Array, Array, Pick], Array]


class GroupContext(Module):
    """Entropy parameters of one group of ``channels``, given the ``before`` channels of the groups before it.

    ``features``: channels of the hyper-synthesis. ``width``: of the network.
    """

    def __init__(self, features: int, before: int, channels: int, width: int) -> None:
        super().__init__()
        self.hyper = Pointwise(features, width)
        self.rate = parameter(np.zeros((KNOTS, width), np.float32))
        if before:
            self.around_before = Depthwise(before)
            self.before = Pointwise(before, width)
        self.around_black = Depthwise(channels, factor=2)
        self.black = Pointwise(2 * channels, width)
        self.hidden = Pointwise(width, width)
        self.out = Pointwise(width, 2 * channels)
        if initialises():
            # At first means and scales hardly depend on the context.
            self.out.weight[:] = normal(self.out.weight.shape, 0.01)

    def base(self, features: Array, before: Array | None, rate: Array) -> Array:
        """Hidden features for both colours, (B, width, h, w), from hyper-synthesis, groups before and rate."""
        of_rate = as_channels(interpolate_knots(self.rate, rate))
        x = self.hyper(features) + kernels_of(features).like(of_rate, features)
        return x if before is None else x + self.before(self.around_before(before))

    def neighbours(self, black: Array) -> Array:
        """Features of the black squares, (B, channels, h, w) with zeros on the white, for the white ones."""
        return self.black(self.around_black(black))

    def head(self, x: Array) -> tuple[Array, Array]:
        """(B, width, n) -> mean and log2 scale, (B, channels, n) each, not below float32."""
        kernels = kernels_of(x)
        x = kernels.leaky_relu(x[..., None], LEAKY_SLOPE)
        hidden = kernels.leaky_relu(self.hidden(x), LEAKY_SLOPE)
        out = kernels.at_least_float32(self.out(hidden)[..., 0])
        half = out.shape[1] // 2
        return out[:, :half], out[:, half:]


class ParallelContext(Module):
    """Codes y group by group and colour by colour; the same steps on both sides, and in training."""

    def __init__(self, features: int, groups: Sequence[int], width: int) -> None:
        super().__init__()
        ends = list(accumulate(groups, initial=0))
        self.ranges = list(pairwise(ends))
        self.groups = ModuleList(
            *(GroupContext(features, start, end - start, width) for start, end in self.ranges)
        )

    def forward(self, features: Array, rate: Array, code_step: StepCoder) -> Array:
        """``features`` (B, F, h, w), ``rate`` (B,) -> y_hat (B, M, h, w): what ``code_step`` returned."""
        xp = kernels_of(features).xp
        decoded: list[Array] = []
        for channels, group in zip(self.ranges, self.groups, strict=True):
            before = xp.concatenate(decoded, axis=1) if decoded else None
            base = group.base(features, before, rate)
            decoded.append(_code_group(group, base, slice(*channels), code_step))
        return xp.concatenate(decoded, axis=1)


def _code_group(group: GroupContext, base: Array, channels: slice, code_step: StepCoder) -> Array:
    """Both colours of one group: (B, C, h, w)."""
    kernels = kernels_of(base)
    batch, _, height, width = base.shape
    count = channels.stop - channels.start
    values = kernels.at_least_float32(kernels.zeros(base, (batch, count, height * width)))
    for white, positions in enumerate(_checkerboard(height, width)):
        if not len(positions):
            continue
        squares = kernels.whole_numbers(positions, base)
        x = base
        if white:
            x = base + group.neighbours(values.reshape(batch, count, height, width))
        mean, log2_scale = group.head(_gather(x, squares))
        coded = code_step(mean, log2_scale, partial(_pick, channels=channels, squares=squares))
        values = kernels.scatter(values, squares, coded)
    return values.reshape(batch, count, height, width)


def _pick(y: Array, channels: slice, squares: Array) -> Array:
    return _gather(y[:, channels], squares)


def _gather(x: Array, squares: Array) -> Array:
    """(B, C, h, w) -> (B, C, n)."""
    return kernels_of(x).gather(x.reshape(*x.shape[:2], -1), squares)


@lru_cache(maxsize=8)
def _checkerboard(height: int, width: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions of the black and the white squares in a flattened (height, width)."""
    rows, columns = np.indices((height, width), sparse=True)
    white = ((rows + columns) % 2).ravel()
    return np.flatnonzero(white == 0), np.flatnonzero(white)
