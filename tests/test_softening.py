"""Pictures that models break down on are softened, stored without loss or refused; never a wrong picture."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import ROOT, Pixels
from tests.extent import examples
from vrcodec.bitstream.inspection import inspect
from vrcodec.bitstream.rans import CodingTables
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.bitstream.symbol_coding import StreamWriter
from vrcodec.bitstream.tables import gaussian_tables
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import InputError
from vrcodec.picture import softening
from vrcodec.picture.picture import Picture
from vrcodec.picture.softening import soften_patterns
from vrcodec.search.lossless_choice import encode_smallest
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import Target
from vrcodec.search.verification import verify_encoding


def dithered(height: int = 208, width: int = 240) -> Pixels:
    """A photograph in black and white only, by error diffusion: (height, width, 3)."""
    image = Image.fromarray(skimage.data.astronaut()[:height, :width])
    return np.asarray(image.convert("1").convert("RGB"))


def means(pixels: Pixels) -> np.ndarray:
    """Of cells of 16 x 16, of which there are whole numbers."""
    height, width = pixels.shape[:2]
    return pixels.reshape(height // 16, 16, width // 16, 16, 3).mean((1, 3))


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket", "page", "text"])
def test_photographs_are_untouched(name: str) -> None:
    pixels = Picture.from_array(getattr(skimage.data, name)()).pixels
    assert soften_patterns(pixels) is pixels


def test_hard_patterns_become_softer_and_stay_as_bright() -> None:
    hard = dithered()
    soft = soften_patterns(hard)
    assert np.abs(soft.astype(int) - hard).max() > 40
    assert np.abs(means(soft) - means(hard)).max() < 4
    # Softening what is soft changes nothing much: it is about as soft as asked for.
    assert np.abs(soften_patterns(soft).astype(int) - soft).mean() < 4


def test_softness_ends_near_the_pattern() -> None:
    pixels = skimage.data.astronaut()[:256, :256].copy()
    pixels[:64, :64] = dithered(64, 64)
    soft = soften_patterns(pixels)
    assert (soft[:64, :64] != pixels[:64, :64]).any()
    assert (soft[112:] == pixels[112:]).all()
    assert (soft[:, 112:] == pixels[:, 112:]).all()


@examples(15)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([16, 32, 64]))
def test_strips_do_not_show(height: int, width: int, strip: int) -> None:
    random = np.random.default_rng(height * 100 + width)
    grey = random.integers(0, 2, (height, width, 1), dtype=np.uint8) * np.uint8(255)
    pixels = np.repeat(grey, 3, axis=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(softening, "_STRIP", strip)
        assert (soften_patterns(pixels) == whole(pixels)).all()


def whole(pixels: Pixels) -> Pixels:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(softening, "_STRIP", 1 << 20)
        return soften_patterns(pixels)


@pytest.mark.parametrize("family", ["gained", "qvrf", "qmap", "slim", "qarv"])
def test_shipped_models_do_not_break_down(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(ROOT / "weights"))
    encoder, decoder = Encoder(family), Decoder()
    picture = Picture.from_array(dithered())
    for code in (0, 32768, 65535):
        data = encoder.encode(picture, code)
        # The model's own file is smaller than the samples, and looks like the picture.
        assert len(data) < picture.pixels.size
        verify_encoding(data, picture, decoder)


def broken(*arguments: object) -> None:
    raise InputError("the model breaks down on this picture")


def test_a_model_that_breaks_down_says_so_or_is_left_out(
    encoder: Encoder, photograph: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder.model, "compress", broken)
    picture = Picture.from_array(photograph)
    with pytest.raises(InputError, match="breaks down"):
        encoder.encode(picture, 0)
    with pytest.raises(InputError, match="breaks down"):
        encode_smallest(encoder, picture, RateSetting(0), lossless="never")
    assert inspect(encode_smallest(encoder, picture, RateSetting(0))).lossless
    target = Target("size", 10)
    with pytest.raises(InputError, match="breaks down"):
        encode_to_target(encoder, Decoder(), picture, target, lossless="never")
    found = encode_to_target(encoder, Decoder(), picture, target)
    assert inspect(found.data).lossless
    assert not found.met


@pytest.mark.parametrize(
    ("symbol", "t"), [(0, np.nan), (0, np.inf), (1 << 20, 3.0), (-(1 << 31), 3.0)]
)
def test_numbers_beyond_all_sense_are_not_coded(symbol: int, t: float) -> None:
    tables = CodingTables(gaussian_tables())
    symbols = np.array([0, symbol], np.int32)
    with pytest.raises(InputError, match="--lossless auto"):
        StreamWriter().put_guarded(symbols, np.array([3.0, t]), tables)
