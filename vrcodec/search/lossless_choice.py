"""Whether a picture, or some of its cells, are better stored without loss than coded by a model.

Graphics (text, line art, flat shapes, screenshots) are far smaller without loss. `picture.graphics` tells in a
few milliseconds which pictures may have any; of these there are up to three files to choose from: by the model
alone, without loss, and by the model with the cells of graphics without loss. The smallest is taken.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, cast, get_args

import numpy as np

from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Encoder
from vrcodec.errors import InputError, UsageError
from vrcodec.lossless.packing import estimate_bpp
from vrcodec.models.base import Latents
from vrcodec.picture.graphics import find_graphics, has_few_colours, reduce_cells
from vrcodec.picture.picture import Picture
from vrcodec.picture.transparency import fill_transparent
from vrcodec.refinement.effort import NO_EFFORT, Effort, SearchMonitor

# Store without loss: where that is no larger; never, but for bilevel pictures; in any case.
LosslessMode = Literal["auto", "never", "always"]

# From so many bits a pixel on, a model's file is compared with one without loss, whatever the picture looks
# like: it is tiny, or noise, or bins are very small. A photograph takes half as much at rate 1.
_EXPENSIVE_BPP = 8.0
# So is it where a few rows of the picture, packed in haste, take at most so many times the bits a pixel of the
# model's file: gradients and patterns that were computed, which `picture.graphics` does not tell.
_HASTE = 1.25
# A search takes off less than this share of a model's file.
_MAX_SEARCH_GAIN = 0.5


def parse_lossless_mode(mode: str | bool) -> LosslessMode:
    """``mode``, where True stands for always and False for never. Raises UsageError for what is neither."""
    if isinstance(mode, bool):
        return "always" if mode else "never"
    if mode not in get_args(LosslessMode):
        raise UsageError(f"lossless is {', '.join(get_args(LosslessMode))}, not {mode!r}")
    return cast(LosslessMode, mode)


def encode_smallest(
    encoder: Encoder,
    picture: Picture,
    setting: RateSetting,
    latents: Latents | None = None,
    *,
    lossless: LosslessMode = "auto",
    effort: Effort = NO_EFFORT,
    monitor: SearchMonitor | None = None,
) -> bytes:
    """The smallest file of ``picture`` at a setting, of those that ``lossless`` allows.

    The other arguments are those of `Encoder.encode`. In mode ``auto`` a picture that the model breaks down on
    is stored without loss. Raises what `Encoder.encode` raises.
    """
    if lossless == "always":
        return encoder.encode_lossless(picture)
    if lossless == "never":
        return encoder.encode(picture, setting, latents, effort=effort, monitor=monitor)
    try:
        graphics = with_lossless_cells(picture)
        if graphics or has_few_colours(picture.pixels):
            return _encode_graphics(encoder, picture, graphics, setting, latents, effort, monitor)
        data = encoder.encode(picture, setting, latents, effort=effort, monitor=monitor)
    except InputError:
        # The model breaks down on the picture.
        return encoder.encode_lossless(picture)
    return (
        min(encoder.encode_lossless(picture), data, key=len)
        if may_be_smaller_exact(picture, data)
        else data
    )


def _encode_graphics(
    encoder: Encoder,
    picture: Picture,
    graphics: Picture | None,
    setting: RateSetting,
    latents: Latents | None,
    effort: Effort,
    monitor: SearchMonitor | None,
) -> bytes:
    """``graphics``: ``picture`` with lossless cells, where it has any."""
    exact = encoder.encode_lossless(picture)
    best = encoder.encode(picture, setting, latents)
    chosen = picture
    if graphics and encoder.auxiliary_bytes(graphics) < min(len(best), len(exact)):
        mixed = encoder.encode(graphics, setting)
        if len(mixed) <= len(best):
            best, chosen = mixed, graphics
    if effort.searches and len(exact) > _MAX_SEARCH_GAIN * len(best):
        best = encoder.encode(chosen, setting, effort=effort, monitor=monitor)
    return min(exact, best, key=len)


def with_lossless_cells(picture: Picture) -> Picture | None:
    """``picture`` with its graphics as lossless cells; None for one that has none."""
    cells = None if picture.mode == "1" else find_graphics(picture.pixels)
    if cells is not None and picture.alpha is not None:
        # Nobody sees the colours there.
        cells = cells & reduce_cells(np.logical_and, picture.alpha > 0)
    return None if cells is None else replace(fill_transparent(picture), lossless_cells=cells)


def may_be_smaller_exact(picture: Picture, data: bytes) -> bool:
    """Whether a file without loss may be no larger than a model's file ``data``: a guess, in milliseconds."""
    bpp = 8 * len(data) / (picture.width * picture.height)
    return bpp >= _EXPENSIVE_BPP or may_be_stored_in(picture, bpp)


def may_be_stored_in(picture: Picture, bpp: float) -> bool:
    """Whether so many bits a pixel may do for ``picture`` without loss: the same guess."""
    return estimate_bpp(picture.pixels) <= _HASTE * bpp
