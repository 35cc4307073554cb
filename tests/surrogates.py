"""Surrogates of every family for a picture, and what a search minimises."""

from __future__ import annotations

import torch

from tests.conftest import Pixels, random_map
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder, derive_rate_parameters
from vrcodec.engine import Engine
from vrcodec.picture.picture import Picture
from vrcodec.refinement.distortion import Original, SquaredError
from vrcodec.refinement.refine import create_surrogate
from vrcodec.refinement.surrogate import Surrogate

FAMILIES = ("gained", "qvrf", "qmap", "slim", "qarv", "hyperprior")
CODE = 40_000
CPU = torch.device("cpu")


def surrogate(
    family: str, pixels: Pixels, code: int = CODE, precision: str = "float32"
) -> tuple[Encoder, RateSetting, Surrogate]:
    encoder = Encoder(family, Engine(precision=precision))
    picture = Picture.from_array(pixels)
    setting = RateSetting(code, qmap=random_map(picture) if family == "qmap" else None)
    rate = derive_rate_parameters(encoder.model, setting, picture.width, picture.height)
    return encoder, setting, create_surrogate(encoder.model, encoder.analyse(picture), rate)


def cost(encoder: Encoder, picture: Picture, setting: RateSetting, data: bytes) -> float:
    """What the search minimises, of a real file."""
    rate = derive_rate_parameters(encoder.model, setting, picture.width, picture.height)
    levels = create_surrogate(encoder.model, encoder.analyse(picture), rate).levels
    distortion = SquaredError(Original(picture.pixels, CPU), levels)
    return 8 * len(data) + distortion.of_picture(Decoder().decode(data).pixels)
