"""Crops and previews of a large picture show what the whole picture shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import vrcodec
from tests.conftest import Pixels, assert_same_pixels
from tests.extent import examples
from tests.large_picture import (
    HEIGHT,
    KINDS,
    SIDES,
    WIDTH,
    data,
    decoder,
    picture_of,
    pixels,
    whole,
)
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.errors import UsageError
from vrcodec.picture.picture import Picture
from vrcodec.regions.region import Rectangle, Region
from vrcodec.regions.tiling import Tiling


def mean(values: Pixels, scale: int) -> Pixels:
    """Means of squares, as `decode --scale` promises them."""
    height, width = values.shape[:2]
    others = [(0, 0)] * (values.ndim - 2)

    def sums(of: Pixels) -> np.ndarray:  # type: ignore[type-arg]
        whole = np.pad(of, [(0, -height % scale), (0, -width % scale), *others]).astype(np.int64)
        down, across = whole.shape[0] // scale, whole.shape[1] // scale
        return whole.reshape(down, scale, across, scale, *values.shape[2:]).sum(axis=(1, 3))

    counts = sums(np.ones_like(values))
    return ((sums(values) + counts // 2) // counts).astype(np.uint8)


@st.composite
def rectangles(draw: st.DrawFn) -> Rectangle:
    left = draw(st.integers(0, WIDTH - 1))
    top = draw(st.integers(0, HEIGHT - 1))
    width = draw(st.integers(1, min(150, WIDTH - left)))
    height = draw(st.integers(1, min(150, HEIGHT - top)))
    return Rectangle(left, top, width, height)


@examples(60)
@given(rectangles(), st.sampled_from(KINDS), SIDES)
def test_a_crop_is_a_part_of_the_picture(rectangle: Rectangle, kind: str, side: int | None) -> None:
    tiled = Decoder(Engine("cpu", "float32", Tiling(side=side)))
    crop = tiled.decode(data(kind), region=Region(rectangle))
    rows = slice(rectangle.top, rectangle.bottom)
    columns = slice(rectangle.left, rectangle.right)
    assert_same_pixels(crop.pixels, whole(kind).pixels[rows, columns])
    if kind == "alpha":
        assert crop.alpha is not None
        assert (crop.alpha == picture_of(kind).alpha[rows, columns]).all()  # type: ignore[index]


@examples(30)
@given(
    st.one_of(st.none(), rectangles()), st.sampled_from([2, 4, 8]), st.sampled_from(KINDS), SIDES
)
def test_a_preview_has_the_means(
    rectangle: Rectangle | None, scale: int, kind: str, side: int | None
) -> None:
    side = None if rectangle is None else side
    tiled = Decoder(Engine("cpu", "float32", Tiling(side=side)))
    preview = tiled.decode(data(kind), region=Region(rectangle, scale))
    own = rectangle or Rectangle(0, 0, WIDTH, HEIGHT)
    window = slice(own.top, own.bottom), slice(own.left, own.right)
    assert_same_pixels(preview.pixels, mean(whole(kind).pixels[window], scale))
    if kind == "alpha":
        assert (preview.alpha == mean(picture_of(kind).alpha[window], scale)).all()  # type: ignore[index]


def test_levels_go_with_crop_and_scale() -> None:
    rectangle = Rectangle(1000, 900, 80, 150)
    plain = decoder().decode(data("qarv"), 2).pixels
    cropped = plain[rectangle.top : rectangle.bottom, rectangle.left : rectangle.right]
    region = Region(rectangle, 4)
    assert_same_pixels(decoder().decode(data("qarv"), 2, region=region).pixels, mean(cropped, 4))
    early = data("qarv")[:-200]
    partial = decoder().decode(early, partial=True, region=region).pixels
    held = decoder().read(early, partial=True).available_levels
    assert (partial == decoder().decode(data("qarv"), held, region=region).pixels).all()


def test_a_preview_of_black_and_white_is_grey() -> None:
    dots = np.indices((5, 9)).sum(axis=0) % 2 * 255
    picture = Picture(np.repeat(dots.astype(np.uint8)[..., None], 3, axis=2), "1")
    preview = decoder().decode(Encoder("slim").encode(picture, 0), region=Region(scale=2))
    assert preview.mode == "L"
    assert set(preview.to_array()[:2, :4].flat) == {128}


@pytest.mark.parametrize(
    "crop",
    [(-1, 0, 5, 5), (0, 0, WIDTH + 1, 5), (0, HEIGHT, 5, 5), (0, 0, 0, 5), (3, 3, 5, -2)],
)
def test_a_crop_beyond_the_picture_is_refused(crop: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match=f"{WIDTH}x{HEIGHT}|no pixels"):
        vrcodec.decode(data("slim"), crop=crop)


# --- what a user does ---


def test_crop_scale_and_memory_on_the_command_line(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.vrc").write_bytes(data("slim"))
    assert run("decode", "a.vrc", "-o", "crop.png", "--crop", "1000,10,90,40") == 0
    assert run("decode", "a.vrc", "-o", "small.png", "--scale", "1/8", "--memory", "1GB") == 0
    assert Image.open("crop.png").size == (90, 40)
    assert Image.open("small.png").size == (-(-WIDTH // 8), -(-HEIGHT // 8))
    assert np.array_equal(
        np.asarray(vrcodec.open("a.vrc", crop=(1000, 10, 90, 40))),
        np.asarray(vrcodec.decode(data("slim"), crop=(1000, 10, 90, 40))),
    )
    assert run("decode", "a.vrc", "-o", "b.png", "--crop", "1000,10,900,40") == 2
    assert f"a.vrc: the crop 1000,10,900,40 is not inside the picture of {WIDTH}x{HEIGHT}" in (
        capsys.readouterr().err
    )
    assert run("decode", "a.vrc", "-o", "b.png", "--crop", "1,2,3") == 2
    Image.fromarray(pixels()[:300, :300]).save("c.png")
    for memory in ("0", "3GiB"):
        assert run("encode", "c.png", "-o", f"{memory}.vrc", "--memory", memory) == 0
    assert Path("0.vrc").read_bytes() == Path("3GiB.vrc").read_bytes()
    assert run("verify", "--full", "--memory", "700MB", "0.vrc") == 0
