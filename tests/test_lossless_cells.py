"""Graphics beside photographs: found, stored without loss over what a model codes, exact at every place."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import vrcodec
from tests.conftest import GOLDEN, Pixels, with_chunks
from tests.extent import examples
from tests.sample_blocks import samples
from vrcodec.bitstream import schema
from vrcodec.bitstream.container import build_container, parse_container
from vrcodec.bitstream.inspection import check_structure, inspect
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import CorruptError
from vrcodec.lossless import blocks
from vrcodec.lossless.cells import LosslessCells, check_cells, pack_cells
from vrcodec.picture.graphics import CELL, find_graphics, has_few_colours, stretch_cells
from vrcodec.picture.picture import Picture
from vrcodec.picture.transparency import fill_lossless_cells
from vrcodec.search.lossless_choice import encode_smallest, with_lossless_cells
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import Target
from vrcodec.search.verification import verify_encoding

SETTING = RateSetting(45_000)


def page(width: int = 512, height: int = 320) -> Pixels:
    """White, with lines of text and a red bar."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for top in range(8, height - 20, 24):
        draw.text((8, top), "The quick brown fox jumps over the lazy dog. " * 3, fill="black")
    draw.rectangle((8, height - 60, width // 2, height - 20), fill=(230, 20, 30))
    return np.asarray(image)


def screenshot() -> Pixels:
    """The page, with a photograph on it."""
    pixels = page().copy()
    pixels[40:232, 260:484] = skimage.data.astronaut()[20:212, 120:344]
    return pixels


def test_graphics_are_found_and_photographs_left_alone() -> None:
    for photograph in (
        skimage.data.astronaut(),
        skimage.data.coffee(),
        skimage.data.chelsea(),
        np.repeat(skimage.data.camera()[:, :, None], 3, axis=2),
    ):
        assert find_graphics(photograph) is None
        assert not has_few_colours(photograph)
    whole = find_graphics(page())
    assert whole is not None
    assert whole.mean() > 0.95
    cells = find_graphics(screenshot())
    assert cells is not None
    inside = cells[40 // CELL + 1 : 232 // CELL - 1, 260 // CELL + 2 : 484 // CELL - 1]
    outside = cells[:, : 260 // CELL - 1]
    assert inside.mean() < 0.05
    assert outside.mean() > 0.95


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (16, 16), (17, 33)])
def test_pictures_of_any_size_are_looked_at(size: tuple[int, int]) -> None:
    flat = np.full((*size, 3), 7, np.uint8)
    cells = find_graphics(flat)
    assert has_few_colours(flat)
    assert cells is None or cells.shape == (-(-size[0] // CELL), -(-size[1] // CELL))
    find_graphics(samples(0, *size, "noise", 3))


@examples(60)
@given(st.data())
def test_cells_come_back_and_nothing_else_changes(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 70))
    kind = data.draw(st.sampled_from(["one", "two", "ramp", "noise"]))
    channels = data.draw(st.sampled_from([1, 3]))
    array = samples(data.draw(st.integers(0, 9)), height, width, kind, channels)
    cells = np.array(
        data.draw(
            st.lists(
                st.lists(st.booleans(), min_size=-(-width // CELL), max_size=-(-width // CELL)),
                min_size=-(-height // CELL),
                max_size=-(-height // CELL),
            )
        )
    )
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_PIXELS", 32)
        payloads = pack_cells(array, cells)
        check_cells(payloads, width, height, channels)
        # A tile may go beyond the picture.
        tile = np.full((40, 40, 3), 77, np.uint8)
        LosslessCells(payloads, width, height, channels).overlay(tile, top, left)
    stored = stretch_cells(cells, height, width)[top : top + 40, left : left + 40]
    part = array.reshape(height, width, channels)[top : top + 40, left : left + 40]
    shown = tile[: stored.shape[0], : stored.shape[1]]
    assert (shown[stored] == part[stored]).all()
    tile[: stored.shape[0], : stored.shape[1]][stored] = 77
    assert (tile == 77).all()


def test_a_screenshot_keeps_its_text(encoder: Encoder, decoder: Decoder) -> None:
    picture = Picture(screenshot())
    data = encode_smallest(encoder, picture, SETTING)
    info = inspect(data)
    assert not info.lossless
    assert info.cell_bytes
    assert len(data) < len(encoder.encode(picture, SETTING))
    assert len(data) < len(encoder.encode_lossless(picture))
    assert encode_smallest(encoder, picture, SETTING, lossless="never") == encoder.encode(
        picture, SETTING
    )
    decoded = decoder.decode(data).pixels
    assert (decoded[:, :240] == picture.pixels[:, :240]).all()
    assert (decoded[:, 240:] != picture.pixels[:, 240:]).any()
    verify_encoding(data, picture, decoder)


@pytest.mark.parametrize("target", [Target("size", 9000), Target("psnr", 33), Target("bpp", 0.5)])
def test_targets_of_a_screenshot(encoder: Encoder, decoder: Decoder, target: Target) -> None:
    picture = Picture(screenshot())
    found = encode_to_target(encoder, decoder, picture, target)
    never = encode_to_target(encoder, decoder, picture, target, lossless="never")
    assert found.met or not never.met
    if target.limits_size:
        assert found.achieved <= target.value or not found.met
    elif never.met:
        assert len(found.data) <= len(never.data)


@pytest.mark.parametrize("family", ["gained", "qvrf", "qmap", "slim", "qarv", "hyperprior"])
def test_every_family_takes_cells(family: str, decoder: Decoder) -> None:
    picture = with_lossless_cells(Picture(screenshot()))
    assert picture is not None
    data = Encoder(family).encode(picture, SETTING)
    assert check_structure(data) == inspect(data)
    cells = picture.lossless_cells
    assert cells is not None
    stored = stretch_cells(cells, picture.height, picture.width)
    for levels in (None, 1):
        decoded = decoder.decode(data, levels if family == "qarv" else None)
        assert (decoded.pixels[stored] == picture.pixels[stored]).all()


def test_grey_and_alpha(encoder: Encoder, decoder: Decoder) -> None:
    grey = Picture.from_array(np.ascontiguousarray(screenshot()[:, :, 1]))
    data = encode_smallest(encoder, grey, SETTING)
    assert inspect(data).cell_bytes
    assert (decoder.decode(data).to_array()[:, :240] == grey.to_array()[:, :240]).all()
    opaque = np.full(grey.pixels.shape[:2], 255, np.uint8)
    seen = replace(Picture(screenshot()), alpha=opaque)
    data = encode_smallest(encoder, seen, SETTING)
    assert inspect(data).cell_bytes
    assert (decoder.decode(data).to_array()[:, :240] == seen.to_array()[:, :240]).all()
    # Cells with pixels that nobody sees have no colours to keep.
    opaque[:100] = 0
    hidden = with_lossless_cells(replace(seen, alpha=opaque))
    assert hidden is not None
    assert hidden.lossless_cells is not None
    assert not hidden.lossless_cells[: 100 // CELL + 1].any()
    verify_encoding(encode_smallest(encoder, hidden, SETTING), hidden, decoder)


def test_what_a_model_sees_is_smooth_where_it_need_not_code() -> None:
    picture = with_lossless_cells(Picture(screenshot()))
    assert picture is not None
    assert picture.lossless_cells is not None
    stored = stretch_cells(picture.lossless_cells, picture.height, picture.width)
    seen = fill_lossless_cells(picture)
    assert (seen[~stored] == picture.pixels[~stored]).all()
    left = seen[:, : 260 - CELL].astype(int)
    assert max(np.abs(np.diff(left, axis=axis)).max() for axis in (0, 1)) < 12
    nothing = replace(picture, lossless_cells=np.ones_like(picture.lossless_cells))
    assert len(np.unique(fill_lossless_cells(nothing))) == 1


GOLDEN_CELLS = (GOLDEN / "sides" / "cells.vrc").read_bytes()


def test_golden_cells_are_exact(decoder: Decoder) -> None:
    with Image.open(GOLDEN / "sides" / "cells.png") as image:
        expected = np.asarray(image)
    assert (decoder.decode(GOLDEN_CELLS).pixels[:, :48] == expected[:, :48]).all()
    assert set(np.unique(expected[:, :48])) == {10, 255}


def test_damaged_cells_are_refused(decoder: Decoder) -> None:
    own = next(
        chunk.payload
        for chunk in parse_container(GOLDEN_CELLS).chunks
        if chunk.type == schema.CHUNK_CELLS
    )
    end = 2 + int.from_bytes(own[:2], "little")
    for payloads in (
        [own, own],
        [own[:1]],
        [own[:end]],
        [own[:-1]],
        [b"\0\0" + own[2:]],
        [b"\xff\xff" + own[2:]],
        # A mask that is longer than the picture has cells.
        [b"\x06\0" + bytes.fromhex("4b4c84020000")[:6] + own[end:]],
    ):
        data = with_chunks(schema.CHUNK_CELLS, GOLDEN_CELLS, *payloads)
        with pytest.raises(CorruptError):
            decoder.decode(data)
        with pytest.raises(CorruptError):
            check_structure(data)
    stored = parse_container((GOLDEN / "sides" / "lossless_rgb.vrc").read_bytes())
    chunk = next(c for c in parse_container(GOLDEN_CELLS).chunks if c.type == schema.CHUNK_CELLS)
    both = build_container(replace(stored, chunks=[chunk, *stored.chunks]))
    with pytest.raises(CorruptError, match="all is stored without loss"):
        inspect(both)


def test_other_cells_than_those_of_the_picture_are_noticed(
    encoder: Encoder, decoder: Decoder
) -> None:
    picture = with_lossless_cells(Picture(screenshot()))
    assert picture is not None
    changed = picture.pixels.copy()
    changed[3, 3, 1] ^= 1
    data = encoder.encode(replace(picture, pixels=changed), SETTING)
    with pytest.raises(CorruptError, match="cells without loss"):
        verify_encoding(data, picture, decoder)


def test_the_command_says_what_it_did(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(screenshot()).save(tmp_path / "a.png")
    assert run("encode", "a.png", "--rate", "0.7", "--json") == 0
    said = capsys.readouterr()
    assert "graphics lossless" in said.err
    cell_bytes = json.loads(said.out)[0]["lossless_cell_bytes"]
    assert run("info", "a.vrc") == 0
    assert f"{cell_bytes} bytes" in capsys.readouterr().out
    assert run("encode", "a.png", "-f", "--lossless", "always", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["lossless"]
    assert run("encode", "a.png", "-f", "--lossless", "never", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["lossless_cell_bytes"] is None
    assert vrcodec.inspect(vrcodec.encode(tmp_path / "a.png", 0.7)).cell_bytes == cell_bytes
