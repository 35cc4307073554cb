"""More than 8 bits a sample: refused, or rounded correctly when asked for."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Pixels
from tests.pictures import chunk, deep_png, deep_tiff, stored
from vrcodec.errors import InputError
from vrcodec.picture.intake.depth import to_8_bits
from vrcodec.picture.intake.read_options import ReadOptions
from vrcodec.picture.picture import Picture
from vrcodec.picture.reading import picture_from_image, read_colours, read_picture

REDUCED = ReadOptions(reduce_depth=True)


def noise(*shape: int, highest: int = 65535) -> np.ndarray:
    return np.random.default_rng(5).integers(0, highest + 1, shape, dtype=np.uint16)


def rounded(samples: np.ndarray, highest: int = 65535) -> np.ndarray:
    return np.floor(samples / highest * 255 + 0.5).astype(np.uint8)


def channels(picture: Picture) -> np.ndarray:
    """Grey or colours, and alpha behind them, as the file had them."""
    colours = picture.pixels[..., :1] if picture.mode == "L" else picture.pixels
    parts = [colours] if picture.alpha is None else [colours, picture.alpha[..., None]]
    return np.concatenate(parts, axis=2)


def netpbm(kind: str, samples: np.ndarray, highest: int) -> io.BytesIO:
    height, width = samples.shape[:2]
    head = f"{kind} {width} {height} {highest}\n".encode()
    return io.BytesIO(head + samples.astype(">u2").tobytes())


@pytest.mark.parametrize("highest", [256, 1023, 4095, 65535])
def test_every_value_is_rounded_to_the_nearest(highest: int) -> None:
    values = np.arange(highest + 1, dtype=np.uint32)
    exact = values.astype(np.float64) * 255 / highest
    assert np.abs(to_8_bits(values, highest) - exact).max() <= 0.5


@pytest.mark.parametrize("colour_type", [0, 2, 4, 6])
def test_png(colour_type: int) -> None:
    samples = noise(7, 9, {0: 1, 2: 3, 4: 2, 6: 4}[colour_type])
    source = deep_png(samples, colour_type)
    with pytest.raises(InputError, match=r"convert it to 8 bits first$"):
        read_colours(source, "x")
    with pytest.raises(InputError, match=r"more than 8 bits .*--reduce-depth"):
        read_picture(source, "x")
    picture = read_picture(source, "x", options=REDUCED)
    assert picture.mode == ("L" if colour_type in (0, 4) else "RGB")
    assert (channels(picture) == rounded(samples)).all()


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 3)])
def test_tiff(shape: tuple[int, ...], order: str, deflated: bool) -> None:
    samples = noise(*shape)
    source = deep_tiff(samples, order, deflated)
    with pytest.raises(InputError, match="more than 8 bits"):
        read_picture(source, "x")
    assert (read_picture(source, "x", options=REDUCED).colours() == rounded(samples)).all()


def test_separate_planes_are_refused() -> None:
    with Image.open(deep_tiff(noise(7, 9, 3), "<")) as opened:
        opened.tag_v2[284] = 2
        with pytest.raises(InputError, match="more than 8 bits"):
            picture_from_image(opened, options=REDUCED)


def test_signed_samples_have_no_place() -> None:
    for tag, formats in ((2, None), (1, True), (4, True)):
        with Image.open(deep_tiff(noise(7, 9), "<")) as opened:
            opened.tag_v2[339] = tag
            if formats:
                assert picture_from_image(opened, options=REDUCED).mode == "L"
                continue
            with pytest.raises(InputError, match="32-bit or signed"):
                picture_from_image(opened, options=REDUCED)


def test_deep_frames_behind_the_first_are_refused() -> None:
    """Pillow draws them over each other in 8 bits."""
    frames = [Image.fromarray(noise(7, 9) + n) for n in range(2)]
    source = stored(frames[0], "PNG", save_all=True, append_images=frames[1:])
    first = read_picture(source, "x", options=ReadOptions(reduce_depth=True, frame=0))
    assert (first.colours() == rounded(np.asarray(frames[0]))).all()
    with pytest.raises(InputError, match="frames of more than 8 bits"):
        read_picture(source, "x", options=ReadOptions(reduce_depth=True, frame=1))


@pytest.mark.parametrize("highest", [300, 1023, 4095, 65535])
@pytest.mark.parametrize(("kind", "shape"), [("P5", (40, 60)), ("P6", (40, 60, 3))])
def test_netpbm(kind: str, shape: tuple[int, ...], highest: int) -> None:
    samples = noise(*shape, highest=highest)
    with pytest.raises(InputError, match="more than 8 bits"):
        read_picture(netpbm(kind, samples, highest), "x")
    picture = read_picture(netpbm(kind, samples, highest), "x", options=REDUCED)
    found = picture.colours().astype(int)
    assert np.abs(found - samples / highest * 255).max() <= 0.5


def test_netpbm_of_fewer_levels_is_stretched() -> None:
    source = io.BytesIO(b"P5 4 1 3\n" + bytes([0, 1, 2, 3]))
    assert read_picture(source, "x").colours().tolist() == [[0, 85, 170, 255]]


@pytest.mark.parametrize("depth", [10, 12])
def test_avif(photograph: Pixels, depth: int) -> None:
    data = stored(Image.fromarray(photograph), "AVIF", quality=95).getvalue()
    at = data.index(b"av1C") + 6
    flags = {10: 0x40, 12: 0x60}[depth]
    said = data[:at] + bytes([data[at] | flags]) + data[at + 1 :]
    said = said.replace(b"\x03\x08\x08\x08", b"\x03" + 3 * bytes([depth]))
    with pytest.raises(InputError, match="more than 8 bits"):
        read_picture(io.BytesIO(said), "x")


def test_a_transparent_colour_is_one_of_16_bits() -> None:
    """Its neighbour, equal in 8 bits, stays opaque."""
    samples = np.array([[[258, 3, 3], [257, 3, 3]]], np.uint16)
    key = chunk(b"tRNS", samples[0, 1].astype(">u2").tobytes())
    picture = read_picture(deep_png(samples, 2, key), "x", options=REDUCED)
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[255, 0]]
    assert (picture.pixels[0, 0] == picture.pixels[0, 1]).all()


def test_white_may_be_zero() -> None:
    samples = noise(3, 4)
    with Image.open(deep_tiff(samples, "<")) as opened:
        opened.tag_v2[262] = 0
        picture = picture_from_image(opened, options=REDUCED)
    assert (picture.colours() == rounded(65535 - samples.astype(int))).all()


@pytest.mark.parametrize("mode", ["F", "I"])
def test_floats_and_32_bits_have_no_place(mode: str) -> None:
    image = Image.new(mode, (9, 7))
    with pytest.raises(InputError, match=r"x: .*convert it to 8 bits first"):
        read_picture(stored(image, "TIFF"), "x", options=REDUCED)
    with pytest.raises(InputError, match=r"image: .*convert it to 8 bits first"):
        picture_from_image(image, options=REDUCED)


def test_images_in_memory(photograph: Pixels) -> None:
    samples = noise(7, 9, 3)
    with Image.open(deep_png(samples, 2)) as image:
        with pytest.raises(InputError, match="8 bits"):
            picture_from_image(image)
        picture = picture_from_image(image, options=REDUCED)
    assert (picture.pixels == rounded(samples)).all()
    grey = Image.fromarray(samples[..., 0])
    assert grey.mode == "I;16"
    assert (picture_from_image(grey, options=REDUCED).colours() == rounded(samples[..., 0])).all()
