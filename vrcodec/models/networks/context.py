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
from functools import partial
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrcodec.models.networks.gains import KNOTS, as_channels, interpolate_knots
from vrcodec.models.networks.layers import (
    LEAKY_SLOPE,
    Depthwise,
    Pointwise,
    at_least_float32,
    initialises,
)

# Picks from (B, M, h, w) the samples (B, C, n) of a step.
Pick = Callable[[Tensor], Tensor]
# Codes or decodes the samples of a step, given their means and log2 scales (B, C, n): returns values (B, C, n).
StepCoder = Callable[[Tensor, Tensor, Pick], Tensor]


class GroupContext(nn.Module):
    """Entropy parameters of one group of ``channels``, given the ``before`` channels of the groups before it.

    ``features``: channels of the hyper-synthesis. ``width``: of the network.
    """

    def __init__(self, features: int, before: int, channels: int, width: int) -> None:
        super().__init__()
        self.hyper = Pointwise(features, width)
        self.rate = nn.Parameter(torch.zeros(KNOTS, width))
        if before:
            self.around_before = Depthwise(before)
            self.before = Pointwise(before, width)
        self.around_black = Depthwise(channels, factor=2)
        self.black = Pointwise(2 * channels, width)
        self.hidden = Pointwise(width, width)
        self.out = Pointwise(width, 2 * channels)
        if initialises():
            # At first means and scales hardly depend on the context.
            nn.init.normal_(self.out.weight, std=0.01)

    def base(self, features: Tensor, before: Tensor | None, rate: Tensor) -> Tensor:
        """Hidden features for both colours, (B, width, h, w), from hyper-synthesis, groups before and rate."""
        x = self.hyper(features) + as_channels(interpolate_knots(self.rate, rate)).to(features)
        return x if before is None else x + self.before(self.around_before(before))

    def neighbours(self, black: Tensor) -> Tensor:
        """Features of the black squares, (B, channels, h, w) with zeros on the white, for the white ones."""
        return self.black(self.around_black(black))

    def head(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, width, n) -> mean and log2 scale, (B, channels, n) each, not below float32."""
        x = F.leaky_relu(x.unsqueeze(-1), LEAKY_SLOPE)
        out = self.out(F.leaky_relu(self.hidden(x), LEAKY_SLOPE)).squeeze(-1)
        mean, log2_scale = at_least_float32(out).chunk(2, dim=1)
        return mean, log2_scale


class ParallelContext(nn.Module):
    """Codes y group by group and colour by colour; the same steps on both sides, and in training."""

    def __init__(self, features: int, groups: Sequence[int], width: int) -> None:
        super().__init__()
        ends = list(accumulate(groups, initial=0))
        self.ranges = list(pairwise(ends))
        self.groups = nn.ModuleList(
            GroupContext(features, start, end - start, width) for start, end in self.ranges
        )

    @torch.no_grad()
    def initialise_scales(self, log2_scales: Tensor) -> None:
        """Begin at mean zero and ``log2_scales`` (M,)."""
        for (start, end), group in zip(self.ranges, self.groups, strict=True):
            assert isinstance(group, GroupContext)
            scales = log2_scales[start:end]
            group.out.bias.copy_(torch.cat((torch.zeros_like(scales), scales)))

    def forward(self, features: Tensor, rate: Tensor, code_step: StepCoder) -> Tensor:
        """``features`` (B, F, h, w), ``rate`` (B,) -> y_hat (B, M, h, w): what ``code_step`` returned."""
        decoded: list[Tensor] = []
        for channels, group in zip(self.ranges, self.groups, strict=True):
            assert isinstance(group, GroupContext)
            before = torch.cat(decoded, dim=1) if decoded else None
            base = group.base(features, before, rate)
            decoded.append(_code_group(group, base, slice(*channels), code_step))
        return torch.cat(decoded, dim=1)


def _code_group(group: GroupContext, base: Tensor, channels: slice, code_step: StepCoder) -> Tensor:
    """Both colours of one group: (B, C, h, w)."""
    batch, _, height, width = base.shape
    count = channels.stop - channels.start
    empty = at_least_float32(base.new_zeros(()))
    values = empty.new_zeros(batch, count, height * width)
    for white, squares in enumerate(_checkerboard(height, width, base.device)):
        if not len(squares):
            continue
        x = base + group.neighbours(values.view(batch, count, height, width)) if white else base
        mean, log2_scale = group.head(_gather(x, squares))
        coded = code_step(mean, log2_scale, partial(_pick, channels=channels, squares=squares))
        values = values.scatter(2, squares.expand_as(coded), coded)
    return values.view(batch, count, height, width)


def _pick(y: Tensor, channels: slice, squares: Tensor) -> Tensor:
    return _gather(y[:, channels], squares)


def _gather(x: Tensor, squares: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, n). `gather`, because indexing is several times slower."""
    flat = x.flatten(2)
    return flat.gather(2, squares.expand(*flat.shape[:2], -1))


def _checkerboard(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Positions of the black and the white squares in a flattened (height, width)."""
    rows = torch.arange(height, device=device).unsqueeze(1)
    white = ((rows + torch.arange(width, device=device)) % 2).flatten()
    return torch.nonzero(white == 0)[:, 0], torch.nonzero(white)[:, 0]
