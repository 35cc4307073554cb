"""Files in levels: any prefix is a picture, and the more levels, the better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vrcodec
from tests.conftest import GOLDEN, Pixels
from tests.levels import LEVELS, level_ends
from vrcodec.bitstream import schema
from vrcodec.bitstream.container import build_container, parse_container
from vrcodec.bitstream.progressive import build_progressive
from vrcodec.codec import CodedPicture, Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.errors import CorruptError, FormatError, UsageError, VrcError
from vrcodec.metrics import psnr
from vrcodec.picture.picture import Picture
from vrcodec.regions.region import WHOLE, Rectangle, Region

# Of three sizes, one of them of two blocks.
FILES = ("qarv_dot", "qarv_grey", "qarv_two_blocks")


@pytest.mark.parametrize("name", FILES)
def test_any_prefix_is_an_error_or_the_picture_of_its_levels(decoder: Decoder, name: str) -> None:
    data = (GOLDEN / f"{name}.vrc").read_bytes()
    whole, ends = decoder.read(data), level_ends(data)
    assert len(ends) == LEVELS
    for length in range(len(data)):
        cut = data[:length]
        with pytest.raises(FormatError if length == 0 else CorruptError):
            decoder.read(cut)
        complete = sum(end <= length for end in ends)
        if not complete:
            with pytest.raises(VrcError):
                decoder.read(cut, partial=True)
            continue
        coded = decoder.read(cut, partial=True)
        assert (coded.available_levels, coded.level_count, coded.complete) == (
            complete,
            LEVELS,
            False,
        )
        # What decides the picture: then it is the picture of these levels.
        assert coded.streams == [stream.truncate(complete) for stream in whole.streams]
    for level, end in enumerate(ends, 1):
        expected = decoder.decode(data, level).pixels
        assert (decoder.decode(data[:end], partial=True).pixels == expected).all()


def test_more_levels_are_a_better_picture(qarv: Encoder, photograph: Pixels) -> None:
    decoder, picture = Decoder(), Picture.from_array(photograph)
    coded = decoder.read(qarv.encode(picture, 50_000))
    quality = [psnr(photograph, decoder.reconstruct(coded, k).pixels) for k in range(1, LEVELS + 1)]
    # Those at 1/16, from the first to the last; the coarse ones tell what to expect of them.
    assert quality[2:] == sorted(quality[2:])
    assert quality[-1] > quality[1] + 6


def test_a_whole_file_needs_no_mercy(decoder: Decoder) -> None:
    data = (GOLDEN / "qarv_photograph.vrc").read_bytes()
    coded = decoder.read(data, partial=True)
    assert (coded.complete, coded.available_levels) == (True, LEVELS)
    with pytest.raises(CorruptError):
        decoder.read(data + b"\0", partial=True)


@given(st.data())
def test_damage_in_a_file_that_ends_early_is_noticed(draw: st.DataObject) -> None:
    """There the chunk's checksum is missing; those of its levels stand in."""
    decoder = Decoder(Engine("cpu", "float32"))
    data = (GOLDEN / "qarv_grey.vrc").read_bytes()
    ends = level_ends(data)
    length = draw.draw(st.integers(ends[3], len(data) - 1))
    place = draw.draw(st.integers(0, length - 1))
    damaged = bytearray(data[:length])
    damaged[place] ^= 1 << draw.draw(st.integers(0, 7))
    complete = sum(end <= length for end in ends)
    try:
        coded = decoder.read(bytes(damaged), partial=True)
        pixels = decoder.reconstruct(coded).pixels
    except VrcError:
        return
    # The damage lies behind the last complete level, or says that there are fewer.
    assert coded.available_levels <= complete
    assert (pixels == decoder.decode(data, coded.available_levels).pixels).all()


def test_levels_can_be_asked_for(decoder: Decoder) -> None:
    data = (GOLDEN / "qarv_photograph.vrc").read_bytes()
    for levels in (0, LEVELS + 1):
        with pytest.raises(UsageError, match=f"no level {levels}: the file has {LEVELS}"):
            decoder.decode(data, levels)
    image = vrcodec.decode(data, levels=4)
    assert image.info["levels"] == (4, LEVELS)
    cut = vrcodec.decode(data[: level_ends(data)[3]], partial=True)
    assert cut.info["levels"] == (4, LEVELS)
    assert cut.tobytes() == image.tobytes()
    other = (GOLDEN / "photograph.vrc").read_bytes()
    assert vrcodec.decode(other, levels=1).info["levels"] == (1, 1)
    with pytest.raises(UsageError, match="no level 2: the file has 1"):
        vrcodec.decode(other, levels=2)
    with pytest.raises(CorruptError, match="truncated"):
        vrcodec.decode(other[:-1], partial=True)


def test_latents_that_are_not_those_of_the_model_are_refused(decoder: Decoder) -> None:
    data = (GOLDEN / "qarv_photograph.vrc").read_bytes()
    container = parse_container(data)
    progressive = container.latent_chunks()[0]
    as_stream = replace(container, chunks=[replace(progressive, type=schema.CHUNK_STREAM)])
    with pytest.raises(CorruptError, match="not those of its model"):
        decoder.decode(build_container(as_stream))
    streams = decoder.read(data).streams
    fewer = [
        replace(s.truncate(3), symbols_crc=0, ends=s.ends[:2], data=s.data[: s.ends[2].size])
        for s in streams
    ]
    short = replace(container, chunks=[replace(progressive, payload=build_progressive(fewer))])
    with pytest.raises(CorruptError, match="3 levels, and its model has 9"):
        decoder.decode(build_container(short))
    twice = replace(container, chunks=[progressive, progressive])
    with pytest.raises(CorruptError):
        decoder.decode(build_container(twice))


def test_levels_show_something_where_they_beat_a_single_colour_well(
    decoder: Decoder, qarv: Encoder, photograph: Pixels
) -> None:
    for data in (
        qarv.encode(Picture.from_array(photograph), 50_000),
        (GOLDEN / "qarv_grey.vrc").read_bytes(),
    ):
        coded = decoder.read(data)
        whole = decoder.reconstruct(coded).pixels
        mean = np.rint(whole.mean(axis=(0, 1))).astype(np.uint8)
        needed = psnr(np.full_like(whole, mean), whole) + 10 * np.log10(4 / 3)
        first = decoder.first_visible_level(coded)
        quality = [psnr(decoder.reconstruct(coded, k).pixels, whole) for k in range(1, LEVELS + 1)]
        assert max(quality[: first - 1]) < needed <= quality[first - 1]


def test_of_what_shows_nothing_the_last_level_is_shown(decoder: Decoder) -> None:
    """One pixel, which is a single colour; and a file of another model."""
    for name, level in (("qarv_dot", LEVELS), ("photograph", 1)):
        coded = decoder.read((GOLDEN / f"{name}.vrc").read_bytes())
        assert decoder.first_visible_level(coded) == level


def test_large_pictures_are_judged_by_their_middle(
    monkeypatch: pytest.MonkeyPatch, decoder: Decoder
) -> None:
    coded = decoder.read((GOLDEN / "qarv_two_blocks.vrc").read_bytes())
    seen: list[Region] = []
    reconstruct = decoder.reconstruct

    def record(coded: CodedPicture, levels: int | None = None, region: Region = WHOLE) -> Picture:
        seen.append(region)
        return reconstruct(coded, levels, region)

    monkeypatch.setattr(decoder, "reconstruct", record)
    decoder.first_visible_level(coded)
    assert {region.crop for region in seen} == {Rectangle(38, 0, 1024, 17)}
