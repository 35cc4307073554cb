"""Analysis, synthesis, hyper-analysis and hyper-synthesis, shared by the families.

Sizes are per recipe (`BackboneSize`); the layout is fixed. Pictures are RGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vrcodec.models.networks.layers import (
    Conv2d,
    LeakyReLU,
    PixelShuffle,
    PixelUnshuffle,
    Pointwise,
    ResidualBlock,
)
from vrcodec.models.networks.module import Sequential

_UNSHUFFLE = 8
_PATCH = 3 * _UNSHUFFLE**2

_WIDEST, _MOST_BLOCKS = 4096, 256


@dataclass(frozen=True)
class BackboneSize:
    """Numbers of the architecture, stored with the weights.

    ``channels`` C at 1/8, ``latent`` M of y, ``hyper`` N of z, ``blocks`` at 1/8 in analysis and in
    synthesis, ``prior`` the width of the float64 hyper-synthesis. With a context model: ``groups`` of
    channels of y, and its width ``context``; the hyper-synthesis then ends in features for it. ``widths``: of a
    slimmable model, narrow to wide; the last one is ``channels``. ``reach``: for each width the highest rate
    that it is trained for; beyond it a narrow network spends bits without gaining quality.
    """

    channels: int = 256
    latent: int = 320
    hyper: int = 128
    blocks: int = 5
    prior: int = 192
    groups: tuple[int, ...] = ()
    context: int = 0
    widths: tuple[int, ...] = ()
    reach: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        # JSON gives lists.
        object.__setattr__(self, "groups", tuple(self.groups))
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "reach", tuple(self.reach))
        widths = (self.channels, self.latent, self.hyper, self.prior, self.context)
        if max(*widths, *self.groups, *self.widths) > _WIDEST or self.blocks > _MOST_BLOCKS:
            # Weights may be anybody's, and networks are built before their tensors are looked at.
            raise ValueError("a network of such a size is not built")

    def narrowed(self, width: int) -> BackboneSize:
        """This size with ``width`` channels at 1/8, and y in proportion."""
        latent = self.latent * width // self.channels
        return replace(self, channels=width, latent=latent, widths=(), reach=())

    @property
    def halo(self) -> int:
        """Samples of y on each side of a tile that its analysis or synthesis sees: the receptive field."""
        return 1 + -(-self.blocks // 2)


def analysis(size: BackboneSize) -> Sequential:
    """x (B, 3, 16h, 16w) -> y (B, M, h, w).

    M channels wide from the strided convolution on: fewer would bound the rank of y, and so the quality at
    any rate.
    """
    c, m = size.channels, size.latent
    return Sequential(
        PixelUnshuffle(_UNSHUFFLE),
        Pointwise(_PATCH, c),
        *(ResidualBlock(c) for _ in range(size.blocks)),
        Conv2d(c, m, 2, stride=2),
        ResidualBlock(m),
        Pointwise(m, m),
    )


def synthesis(size: BackboneSize) -> Sequential:
    """y_hat (B, M, h, w) -> x_hat (B, 3, 16h, 16w)."""
    c, m = size.channels, size.latent
    return Sequential(
        Pointwise(m, m),
        ResidualBlock(m),
        Pointwise(m, 4 * c),
        PixelShuffle(2),
        *(ResidualBlock(c) for _ in range(size.blocks)),
        Pointwise(c, _PATCH),
        PixelShuffle(_UNSHUFFLE),
    )


def hyper_analysis(size: BackboneSize) -> Sequential:
    """Scaled y (B, M, 4h, 4w) -> z (B, N, h, w). Runs on the encoder only."""
    p = size.prior
    return Sequential(
        Pointwise(size.latent, p),
        ResidualBlock(p),
        Conv2d(p, p, 2, stride=2),
        LeakyReLU(),
        Conv2d(p, p, 3, padding=1),
        LeakyReLU(),
        Conv2d(p, size.hyper, 2, stride=2),
    )


def hyper_synthesis(size: BackboneSize) -> Sequential:
    """z_hat (B, N, h, w) -> (mean, log2 scale) (B, 2M, 4h, 4w). Chooses tables: runs in float64.

    With a context model it is shorter, and gives features (B, prior, 4h, 4w). Receptive field: two
    samples of z on each side.
    """
    p = size.prior
    last = (
        Conv2d(p, p, 3, padding=1),
        LeakyReLU(),
        Pointwise(p, 2 * size.latent),
    )
    return Sequential(
        Conv2d(size.hyper, p, 3, padding=1),
        LeakyReLU(),
        Pointwise(p, 4 * p),
        PixelShuffle(2),
        LeakyReLU(),
        Conv2d(p, p, 3, padding=1),
        LeakyReLU(),
        Pointwise(p, 4 * p),
        PixelShuffle(2),
        LeakyReLU(),
        *(() if size.groups else last),
    )
