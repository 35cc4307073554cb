"""Alpha: comes back exactly at any rate, and what is beneath it costs little."""

from __future__ import annotations

import struct
import weakref
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import GOLDEN, Pixels, with_chunks
from tests.extent import examples
from tests.sample_blocks import GREY, as_png, png_of_parts, samples
from vrcodec.bitstream import assembly, schema
from vrcodec.bitstream.container import parse_container
from vrcodec.bitstream.inspection import check_structure, inspect
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import CorruptError, TargetError
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.picture import Picture
from vrcodec.picture.transparency import fill_transparent
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import Target

RGBA = (GOLDEN / "sides" / "rgba.vrc").read_bytes()


@pytest.mark.parametrize("payloads", [[b"\0\0"] * 2, [b"\3"], [as_png(GREY)]])
def test_alpha_that_does_not_fit_is_refused(decoder: Decoder, payloads: list[bytes]) -> None:
    damaged = with_chunks(schema.CHUNK_ALPHA, RGBA, *payloads)
    with pytest.raises(CorruptError):
        decoder.decode(damaged)
    with pytest.raises(CorruptError):
        check_structure(damaged)


def test_alpha_that_cannot_be_unpacked_is_found_by_decoding(decoder: Decoder) -> None:
    info = inspect(RGBA)
    head = struct.pack(">IIBBBBB", info.width, info.height, 8, 0, 0, 0, 0)
    # Rows of the right length, with a filter that there is not.
    rows = zlib.compress(b"\7" * info.height * (info.width + 1))
    damaged = with_chunks(schema.CHUNK_ALPHA, RGBA, png_of_parts(head, rows))
    check_structure(damaged)
    with pytest.raises(CorruptError, match="unpacked"):
        decoder.decode(damaged)


@pytest.mark.parametrize("family", ["gained", "qvrf", "qmap", "slim", "qarv", "hyperprior"])
@pytest.mark.parametrize("grey", [False, True])
def test_every_family_keeps_alpha(photograph: Pixels, family: str, grey: bool) -> None:
    alpha = samples(3, *photograph.shape[:2], "noise", 1)
    colours = photograph[:, :, :1] if grey else photograph
    picture = Picture.from_array(np.dstack([colours, alpha]))
    data = Encoder(family).encode(picture, 30_000)
    decoded = Decoder().decode(data)
    assert decoded.to_image().mode == ("LA" if grey else "RGBA")
    assert (decoded.alpha == alpha).all()
    assert decoded.to_array().shape == picture.to_array().shape


def test_opaque_alpha_is_kept_for_a_few_bytes(
    encoder: Encoder, decoder: Decoder, photograph: Pixels
) -> None:
    opaque = np.full(photograph.shape[:2], 255, np.uint8)
    data = encoder.encode(Picture(photograph, "RGB", opaque), 0)
    assert decoder.decode(data).to_image().mode == "RGBA"
    assert len(data) - len(encoder.encode(Picture(photograph), 0)) == 8


def hidden_noise(photograph: Pixels) -> Picture:
    """The right half transparent, with noise beneath."""
    pixels = photograph.copy()
    half = pixels.shape[1] // 2
    pixels[:, half:] = samples(5, pixels.shape[0], pixels.shape[1] - half, "noise", 3)
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[:, half:] = 0
    return Picture(pixels, "RGB", alpha)


def test_what_nobody_sees_costs_next_to_nothing(encoder: Encoder, photograph: Pixels) -> None:
    picture = hidden_noise(photograph)
    for code in (10_000, 60_000):
        treated = len(encoder.encode(picture, code)) - encoder.auxiliary_bytes(picture)
        # Less than the photograph that was there, and much less than the noise.
        assert treated < 0.85 * len(encoder.encode(Picture(photograph), code))
        assert treated < 0.7 * len(encoder.encode(Picture(picture.pixels), code))


@examples(40)
@given(st.integers(0, 99), st.integers(1, 50), st.integers(1, 50), st.floats(0, 1))
def test_only_what_is_hidden_changes(seed: int, height: int, width: int, share: float) -> None:
    random = np.random.default_rng(seed)
    alpha = ((random.random((height, width)) < share) * random.integers(1, 256)).astype(np.uint8)
    pixels = samples(seed, height, width, "noise", 3)
    found = fill_transparent(Picture(pixels, "RGB", alpha))
    assert (found.pixels[alpha > 0] == pixels[alpha > 0]).all()
    assert (fill_transparent(found).pixels == found.pixels).all()
    # What is beneath has no say.
    other = np.where(alpha[:, :, None] > 0, pixels, 255 - pixels)
    assert (fill_transparent(Picture(other, "RGB", alpha)).pixels == found.pixels).all()
    if alpha.any():
        low, high = (edge(pixels[alpha > 0], axis=0) for edge in (np.min, np.max))
        assert ((found.pixels >= low) & (found.pixels <= high)).all()


def test_fills_are_smooth_over_strips(monkeypatch: pytest.MonkeyPatch, photograph: Pixels) -> None:
    from vrcodec.picture import transparency

    alpha = np.zeros(photograph.shape[:2], np.uint8)
    alpha[10:30, 20:50] = alpha[100:140, 120:] = 9
    picture = Picture(photograph, "RGB", alpha)
    whole = fill_transparent(picture).pixels
    monkeypatch.setattr(transparency, "_STRIP", 16)
    assert (fill_transparent(picture).pixels == whole).all()
    hidden = np.where(alpha[:, :, None] > 0, 0, whole).astype(int)
    inside = hidden[35:95, 60:115]
    assert max(np.abs(np.diff(inside, axis=axis)).max() for axis in (0, 1)) < 12


def test_targets_count_alpha_and_metadata(encoder: Encoder, photograph: Pixels) -> None:
    picture = replace(hidden_noise(photograph), metadata=Metadata(icc=bytes(range(256))))
    found = encode_to_target(encoder, Decoder(), picture, Target("size", 2000))
    assert found.met
    assert 1950 < len(found.data) <= 2000
    with pytest.raises(TargetError, match=r"alpha and metadata take \d+ bytes"):
        encode_to_target(encoder, Decoder(), picture, Target("size", 200), strict=True)


def test_alpha_is_packed_once_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = []
    right = assembly.pack_blocks
    monkeypatch.setattr(assembly, "pack_blocks", lambda a: packed.append(a.shape) or right(a))
    sides, alpha = assembly.AuxiliaryChunkCache(), samples(0, 8, 8, "noise", 1)
    pixels = samples(0, 8, 8, "noise", 3)
    picture = Picture(pixels, "RGB", alpha)
    chunks = sides.chunks(picture)
    assert sides.chunks(replace(picture, pixels=255 - pixels)) is chunks
    assert len(packed) == 1
    gone = weakref.ref(alpha)
    metadata = picture.metadata
    del alpha, picture
    assert gone() is None
    assert sides.chunks(Picture(pixels, metadata=metadata)) == []


def test_quality_is_that_of_what_is_visible(encoder: Encoder, photograph: Pixels) -> None:
    """Noise that nobody sees would let no rate reach this."""
    found = encode_to_target(encoder, Decoder(), hidden_noise(photograph), Target("psnr", 27))
    assert found.met


def test_older_programs_refuse_alpha_rather_than_lose_it() -> None:
    kinds = {chunk.type for chunk in parse_container(RGBA).chunks}
    assert schema.CHUNK_ALPHA in kinds
    assert schema.CHUNK_ALPHA < schema.FIRST_ANCILLARY
