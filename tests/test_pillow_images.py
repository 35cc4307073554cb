"""Pillow images in memory: what `Image.open` gives is its file, any other is what the caller sees."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, ImageSequence

import vrcodec
from tests.conftest import Pixels
from tests.pictures import stored
from vrcodec.errors import InputError
from vrcodec.picture.intake.icc_profile import SRGB_CURVE, grey_profile, rgb_profile
from vrcodec.picture.intake.orientation import rotate_upright
from vrcodec.picture.intake.read_options import ReadOptions
from vrcodec.picture.reading import picture_from_image, read_picture

Operation = Callable[[Image.Image], Image.Image]

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF", "BMP", "PPM", "MPO")
WITH_EXIF = ("JPEG", "PNG", "WEBP", "AVIF", "MPO")
P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
RGB_PROFILE, GREY_PROFILE = rgb_profile(SRGB_CURVE, P3), grey_profile((2.2,))

# What gives a new image, or the result of a change that leaves nothing of the file to be turned.
OPERATIONS: dict[str, Operation] = {
    "copy": Image.Image.copy,
    "copy.copy": copy.copy,
    "convert to RGB": lambda image: image.convert("RGB"),
    "convert to L": lambda image: image.convert("L"),
    "convert to LA": lambda image: image.convert("LA"),
    "convert to RGBA": lambda image: image.convert("RGBA"),
    "convert to 1": lambda image: image.convert("1"),
    "convert to P": lambda image: image.convert("P"),
    "convert to YCbCr": lambda image: image.convert("YCbCr"),
    "quantize": lambda image: image.convert("RGB").quantize(20),
    "crop": lambda image: image.crop((3, 2, 40, 21)),
    "crop beyond": lambda image: image.crop((-3, -2, 40, 21)),
    "resize": lambda image: image.resize((31, 17)),
    "reduce": lambda image: image.reduce(2),
    "rotate": lambda image: image.rotate(30, expand=True),
    "rotate by 90": lambda image: image.rotate(90, expand=True),
    **{
        f"transpose {method.name}": lambda image, method=method: image.transpose(method)
        for method in Image.Transpose
    },
    "mirror": ImageOps.mirror,
    "exif_transpose": ImageOps.exif_transpose,
    "point": lambda image: image.point(lambda value: 255 - value),
    "band": lambda image: image.convert("RGB").getchannel(1),
    "split and merge": lambda image: Image.merge("RGB", image.convert("RGB").split()[::-1]),
    "blend": lambda image: Image.blend(image, ImageOps.invert(image), 0.25),
    "alpha_composite": lambda image: Image.alpha_composite(
        image.convert("RGBA"), Image.new("RGBA", image.size, (9, 8, 7, 99))
    ),
    "fit": lambda image: ImageOps.fit(image, (20, 20)),
    "autocontrast": lambda image: ImageOps.autocontrast(image),
    "fromarray": lambda image: Image.fromarray(np.asarray(image)),
    "frombytes": lambda image: Image.frombytes(image.mode, image.size, image.tobytes()),
}


def turned_file(file_format: str, orientation: int = 6, **options: object) -> io.BytesIO:
    """A file of 60 x 40 samples that says how to turn them."""
    values = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = orientation, "a description"
    image = Image.fromarray(values).resize((60, 40), Image.Resampling.BICUBIC)
    return stored(image, file_format, exif=exif, icc_profile=RGB_PROFILE, **options)


def seen(image: Image.Image) -> Pixels:
    """What `show` would show."""
    return np.asarray(image.convert("RGBA"))


@pytest.mark.filterwarnings("ignore:image. the ICC profile")
@pytest.mark.parametrize("file_format", WITH_EXIF)
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_result_of_an_operation_is_kept_as_it_is_seen(name: str, file_format: str) -> None:
    result = OPERATIONS[name](Image.open(turned_file(file_format)))
    kept = picture_from_image(result).to_image()
    assert (seen(kept) == seen(result)).all()
    # Nobody turns it again.
    assert kept.getexif().get(0x0112, 1) == 1
    if result.info.get("exif"):
        assert kept.getexif()[0x010E] == "a description"


@given(
    st.sampled_from(WITH_EXIF),
    st.integers(1, 8),
    st.lists(st.sampled_from(sorted(OPERATIONS)), min_size=1, max_size=4),
)
def test_so_is_that_of_several(file_format: str, orientation: int, names: list[str]) -> None:
    result: Image.Image = Image.open(turned_file(file_format, orientation)).convert("RGB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            result = OPERATIONS[name](result.convert("RGB"))
        kept = picture_from_image(result).to_image()
    assert (seen(kept) == seen(result)).all()
    assert kept.getexif().get(0x0112, 1) == 1


def test_turned_by_hand_it_decodes_upright() -> None:
    upright = Image.open(turned_file("JPEG")).transpose(Image.Transpose.ROTATE_270)
    decoded = vrcodec.decode(vrcodec.encode(upright, lossless="always"))
    assert decoded.tobytes() == upright.tobytes()
    assert decoded.getexif()[0x0112] == 1


def loaded(source: io.BytesIO) -> Image.Image:
    image = Image.open(source)
    image.load()
    return image


def loaded_and_closed(source: io.BytesIO) -> Image.Image:
    with source, Image.open(source) as image:
        image.load()
    return image


@pytest.mark.parametrize(
    "opened",
    [
        Image.open,
        loaded,
        loaded_and_closed,
        lambda source: copy.deepcopy(Image.open(source)),
        lambda source: pickle.loads(pickle.dumps(Image.open(source))),
        lambda source: pickle.loads(pickle.dumps(loaded(source))),
    ],
)
@pytest.mark.parametrize("file_format", FORMATS)
def test_an_opened_image_is_its_file(
    file_format: str, opened: Callable[[io.BytesIO], Image.Image]
) -> None:
    source = turned_file(file_format)
    expected = read_picture(source, "x")
    for frame in (None, 0):
        image = opened(io.BytesIO(source.getvalue()))
        picture = picture_from_image(image, options=ReadOptions(frame=frame))
        assert (picture.pixels == expected.pixels).all()
        assert picture.metadata.icc == expected.metadata.icc


def test_changes_in_place_are_of_the_file() -> None:
    image = Image.open(turned_file("JPEG"))
    image.paste((1, 2, 3), (0, 0, 60, 4))
    image.putalpha(77)
    picture = picture_from_image(image)
    assert (picture.to_array() == rotate_upright(np.asarray(image), 6)).all()
    image = Image.open(turned_file("JPEG"))
    image.thumbnail((15, 15))
    assert (picture_from_image(image).width, picture_from_image(image).height) == (10, 15)
    ImageOps.exif_transpose(image, in_place=True)
    assert (picture_from_image(image).pixels == np.asarray(image)).all()


def test_edited_exif_counts_where_pillow_looks_for_it() -> None:
    image = Image.open(turned_file("JPEG"))
    # As when Pillow saves, this has no effect by itself.
    image.getexif()[0x0112] = 1
    assert picture_from_image(image).width == 40
    image.info["exif"] = image.getexif().tobytes()
    assert picture_from_image(image).width == 60


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_a_profile_left_over_from_colours_is_left_out(mode: str, file_format: str) -> None:
    image = Image.open(turned_file(file_format)).convert(mode)
    with pytest.warns(UserWarning, match=r"one for RGB, and left out, as the samples are grey"):
        picture = picture_from_image(image)
    assert picture.metadata.icc is None
    # By choice, without a warning.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert picture_from_image(image, options=ReadOptions(icc="strip")).mode == mode[:1]
        with pytest.raises(UserWarning, match="left out"):
            picture_from_image(image)


def test_of_draft_too() -> None:
    image = Image.open(turned_file("JPEG"))
    image.draft("L", (30, 20))
    with pytest.warns(UserWarning, match="one for RGB"):
        picture = picture_from_image(image)
    assert (picture.mode, picture.width, picture.height) == ("L", 20, 30)


def test_a_profile_of_grey_too(photograph: Pixels) -> None:
    grey = Image.fromarray(photograph).convert("L")
    image = Image.open(stored(grey, "PNG", icc_profile=GREY_PROFILE))
    with pytest.warns(UserWarning, match="one for GRAY, and left out, as the samples are RGB"):
        assert picture_from_image(image.convert("RGB")).metadata.icc is None
    for fitting in (
        image,
        image.copy(),
        image.convert("P"),
        image.convert("LA"),
        image.resize((9, 9)),
    ):
        assert picture_from_image(fitting).metadata.icc == GREY_PROFILE


def test_a_file_is_still_refused_where_its_profile_does_not_fit(photograph: Pixels) -> None:
    grey = Image.fromarray(photograph).convert("L")
    source = stored(grey, "PNG", icc_profile=RGB_PROFILE)
    with pytest.raises(InputError, match="one for RGB, and the samples are grey"):
        read_picture(source, "x")
    with pytest.raises(InputError, match="one for RGB, and the samples are grey"):
        picture_from_image(Image.open(source))
    damaged = Image.fromarray(photograph)
    damaged.info["icc_profile"] = b"profile"
    with pytest.raises(InputError, match="damaged"):
        picture_from_image(damaged)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_an_animation_it_is_the_frame_that_the_caller_went_to(
    photograph: Pixels, file_format: str
) -> None:
    frames = [Image.fromarray(p) for p in (photograph, 255 - photograph)]
    animation = Image.open(stored(frames[0], file_format, save_all=True, append_images=frames[1:]))
    with pytest.raises(InputError, match="--frame"):
        picture_from_image(animation)
    animation.seek(1)
    picture = picture_from_image(animation)
    assert animation.tell() == 1
    assert (picture.to_rgb() == np.asarray(animation.convert("RGB"))).all()
    first = picture_from_image(animation, options=ReadOptions(frame=0))
    assert (first.pixels != picture.pixels).any()
    for number, frame in enumerate(ImageSequence.Iterator(animation)):
        one = picture_from_image(frame.copy())
        assert (one.pixels == (picture if number else first).pixels).all()


def test_a_transparent_colour_left_over_from_before_a_palette_has_no_say(
    photograph: Pixels,
) -> None:
    image = Image.fromarray(photograph)
    keyed = Image.open(stored(image, "PNG", transparency=image.getpixel((5, 5))))
    assert picture_from_image(keyed.copy()).alpha is not None
    picture = picture_from_image(keyed.quantize(20))
    assert picture.alpha is None
    assert (picture.pixels == np.asarray(image.quantize(20).convert("RGB"))).all()
