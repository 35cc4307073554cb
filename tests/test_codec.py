"""Whole round trips: any size, both modes, and a rate that means what it says."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import GOLDEN, GOLDEN_NAMES, Pixels, with_chunks
from tests.extent import examples
from vrcodec.bitstream import schema
from vrcodec.bitstream.container import build_container, parse_container
from vrcodec.bitstream.information_content import record_bits
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import CorruptError, LimitError, UsageError, VrcError
from vrcodec.limits import Limits
from vrcodec.metrics import psnr
from vrcodec.picture.picture import Picture
from vrcodec.rate import RATE_CODE_MAX, code_from_rate, rate_from_code

_sides = random.Random(0)
SIZES = [(_sides.randint(1, 130), _sides.randint(1, 130)) for _ in range(300)]
SIZES += [(1, 1), (1, 4096), (4096, 1), (1024, 1024), (1025, 17)]


def gradient(width: int, height: int) -> Pixels:
    """A picture whose every row and column differs."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 2 % 256, y * 2 % 256, (x + y) % 256], axis=2).astype(np.uint8)


@pytest.mark.parametrize("start", range(0, len(SIZES), 61))
def test_every_size_comes_back(encoder: Encoder, decoder: Decoder, start: int) -> None:
    for index, (width, height) in enumerate(SIZES[start : start + 61]):
        pixels = gradient(width, height)
        picture = Picture.from_array(pixels if index % 2 else pixels[..., 0].copy())
        decoded = decoder.decode(encoder.encode(picture, RATE_CODE_MAX // 2))
        assert decoded.mode == picture.mode
        assert decoded.to_array().shape == picture.to_array().shape


def test_grey_stays_grey_and_close(encoder: Encoder, decoder: Decoder, photograph: Pixels) -> None:
    grey = Picture.from_array(photograph[..., 1].copy())
    decoded = decoder.decode(encoder.encode(grey, RATE_CODE_MAX))
    assert decoded.to_image().mode == "L"
    assert psnr(decoded.to_array(), grey.to_array()) > 20


def test_colours_stay_where_they_are(
    encoder: Encoder, decoder: Decoder, photograph: Pixels
) -> None:
    decoded = decoder.decode(encoder.encode(Picture.from_array(photograph), RATE_CODE_MAX))
    right = psnr(decoded.pixels, photograph)
    for order in itertools.permutations(range(3)):
        if order != (0, 1, 2):
            assert psnr(decoded.pixels[..., order], photograph) < right
    for turned in (decoded.pixels[::-1], decoded.pixels[:, ::-1]):
        assert psnr(turned, photograph) < right - 3


def test_encoding_twice_gives_the_same_bytes(encoder: Encoder, photograph: Pixels) -> None:
    picture = Picture.from_array(photograph)
    assert encoder.encode(picture, 30_000) == encoder.encode(picture, 30_000)


def test_more_rate_is_more_bytes(encoder: Encoder, photograph: Pixels) -> None:
    picture = Picture.from_array(photograph)
    sizes = [len(encoder.encode(picture, code)) for code in range(0, RATE_CODE_MAX + 1, 6553)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 2 * sizes[0]


def test_overhead_of_a_plain_picture(encoder: Encoder, photograph: Pixels) -> None:
    for code in range(0, RATE_CODE_MAX + 1, 13107):
        with record_bits() as bits:
            data = encoder.encode(Picture.from_array(photograph), code)
        assert len(data) - sum(bits) / 8 <= 48


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_damage_never_passes_for_a_picture(decoder: Decoder, name: str) -> None:
    data = (GOLDEN / f"{name}.vrc").read_bytes()
    noise = random.Random(1)
    for _ in range(20):
        damaged = bytearray(data)
        damaged[noise.randrange(len(data))] ^= 1 << noise.randrange(8)
        with pytest.raises(VrcError):
            decoder.decode(bytes(damaged))
    for length in noise.sample(range(len(data)), 10):
        with pytest.raises(VrcError):
            decoder.decode(data[:length])


@examples(150)
@given(st.data())
def test_forged_streams_are_noticed(data: st.DataObject) -> None:
    """Damage under checksums that fit: whoever forges the container still meets that of the symbols."""
    name = data.draw(st.sampled_from(GOLDEN_NAMES))
    container = parse_container((GOLDEN / f"{name}.vrc").read_bytes())
    payload = bytearray(container.chunks[0].payload)
    for _ in range(data.draw(st.integers(1, 3))):
        # Behind the end, too: a short payload may have been emptied by the damage before.
        position = data.draw(st.integers(0, len(payload)))
        payload[position : position + 1] = data.draw(st.binary(max_size=2))
    forged = bytes(payload)
    if forged == container.chunks[0].payload:
        return
    chunks = [replace(container.chunks[0], payload=forged), *container.chunks[1:]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VRCODEC_WEIGHTS", str(GOLDEN))
        try:
            decoded = Decoder().decode(build_container(replace(container, chunks=chunks)))
        except VrcError:
            return
        # Zero bytes at the end of a stream say nothing, and a tie may repeat what holds anyway.
        intact = Decoder().decode((GOLDEN / f"{name}.vrc").read_bytes())
        assert (decoded.pixels == intact.pixels).all()


def test_pixel_limit_holds_before_the_work(photograph: Pixels, encoder: Encoder) -> None:
    data = encoder.encode(Picture.from_array(photograph), 0)
    with pytest.raises(LimitError, match="--max-pixels"):
        Decoder(limits=Limits(max_pixels=100)).decode(data)


def test_missing_stream_is_refused(decoder: Decoder) -> None:
    data = (GOLDEN / "two_blocks.vrc").read_bytes()
    second = parse_container(data).latent_chunks()[1]
    # In front of its payload stand type and length.
    shorter = data[: second.offset - 1 - (1 if len(second.payload) < 128 else 2)]
    with pytest.raises(CorruptError, match="1 latent streams"):
        decoder.decode(shorter)


@pytest.mark.parametrize("rate", [0.0, 0.123456, 0.5, 1.0])
def test_rate_code_is_close_and_stable(rate: float) -> None:
    code = code_from_rate(rate)
    assert abs(rate_from_code(code) - rate) < 1e-5
    assert code_from_rate(rate_from_code(code)) == code


@pytest.mark.parametrize("rate", [-0.01, 1.01, float("nan"), float("inf")])
def test_rate_outside_its_range_is_refused(rate: float) -> None:
    with pytest.raises(UsageError):
        code_from_rate(rate)


@pytest.mark.parametrize(
    ("chunk_type", "name"),
    [
        (schema.CHUNK_BIN_SIZE, None),
        (schema.CHUNK_QMAP, "qmap_photograph"),
        (schema.CHUNK_WIDTH, "slim_grey"),
        (schema.CHUNK_PROGRESSIVE, "qarv_photograph"),
    ],
)
def test_a_chunk_in_a_file_of_another_family(
    decoder: Decoder, chunk_type: int, name: str | None
) -> None:
    assert chunk_type in schema.CHUNK_METHODS
    payload: bytes | None = schema.BinSize.build(0)
    if name:
        payload = parse_container((GOLDEN / f"{name}.vrc").read_bytes()).single_payload(
            chunk_type, "chunk"
        )
    assert payload
    data = with_chunks(chunk_type, (GOLDEN / "photograph.vrc").read_bytes(), payload)
    with pytest.raises(CorruptError, match=f"no use for a chunk of type {chunk_type}|behind"):
        decoder.decode(data)
