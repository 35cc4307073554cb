"""Profiles and other words about colours: kept, applied or left out, and never lost in silence."""

from __future__ import annotations

import io
import struct

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from tests.conftest import Pixels
from tests.pictures import stored, with_chunk
from vrcodec.errors import InputError
from vrcodec.picture.intake.colour_description import _PRIMARIES
from vrcodec.picture.intake.icc_profile import (
    BT709_CURVE,
    SRGB_CURVE,
    Curve,
    grey_profile,
    rgb_profile,
)
from vrcodec.picture.intake.read_options import IccChoice, ReadOptions
from vrcodec.picture.picture import Picture
from vrcodec.picture.reading import read_picture

P3, SRGB = _PRIMARIES[12], _PRIMARIES[1]
TO_SRGB, DROPPED = ReadOptions(icc="srgb"), ReadOptions(icc="strip")
Floats = npt.NDArray[np.float64]


def linear(samples: npt.ArrayLike, curve: Curve) -> Floats:
    """Light of samples 0 .. 1, by the formula of the curve."""
    values = np.asarray(samples, dtype=np.float64)
    if len(curve) == 1:
        return values ** curve[0]
    power, a, b, c, edge = curve
    return np.where(values >= edge, (a * values + b) ** power, c * values)


def displayed(light: Floats) -> Floats:
    """Samples 0 .. 255 of sRGB."""
    light = light.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def test_profiles_are_kept_byte_for_byte(photograph: Pixels) -> None:
    for icc in (rgb_profile(SRGB_CURVE, P3), b"".join([_srgb_profile()])):
        for file_format in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF"):
            source = stored(Image.fromarray(photograph), file_format, icc_profile=icc)
            assert read_picture(source, "x").metadata.icc == icc
            for options in (DROPPED, ReadOptions(frozenset({"icc"}))):
                kept = read_picture(source, "x", options=options)
                assert kept.metadata.empty
    grey = grey_profile((1.8,))
    source = stored(Image.fromarray(photograph).convert("L"), "PNG", icc_profile=grey)
    assert read_picture(source, "x").metadata.icc == grey


def _srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("choice", ["keep", "srgb"])
@pytest.mark.parametrize(
    ("mode", "icc", "message"),
    [
        ("L", rgb_profile(SRGB_CURVE, P3), "one for RGB, and the samples are grey"),
        ("RGB", grey_profile((2.2,)), "one for GRAY, and the samples are RGB"),
        ("RGB", b"profile", "the ICC profile is damaged"),
    ],
)
def test_profiles_that_do_not_fit_are_refused(
    photograph: Pixels, choice: IccChoice, mode: str, icc: bytes, message: str
) -> None:
    source = stored(Image.fromarray(photograph).convert(mode), "PNG", icc_profile=icc)
    with pytest.raises(InputError, match=f"x: .*{message}; leave it out with --icc strip"):
        read_picture(source, "x", options=ReadOptions(icc=choice))
    assert read_picture(source, "x", options=DROPPED).metadata.empty


def test_a_profile_of_colours_that_no_letters_name(photograph: Pixels) -> None:
    icc = bytearray(_srgb_profile())
    icc[16:20] = b"\xff\xfe\xfd\xfc"
    source = stored(Image.fromarray(photograph), "PNG", icc_profile=bytes(icc))
    with pytest.raises(InputError, match="leave it out with --icc strip"):
        read_picture(source, "x")


def test_greys_of_a_palette_stay_rgb_beside_a_profile_for_rgb(photograph: Pixels) -> None:
    icc = rgb_profile(SRGB_CURVE, P3)
    indexed = Image.fromarray(photograph).convert("L").convert("P")
    picture = read_picture(stored(indexed, "PNG", icc_profile=icc), "x")
    assert (picture.mode, picture.metadata.icc) == ("RGB", icc)


@pytest.mark.parametrize("curve", [(1.0,), (1 / 0.35,), SRGB_CURVE, BT709_CURVE])
@pytest.mark.parametrize("primaries", [SRGB, P3, _PRIMARIES[9], _PRIMARIES[4]])
def test_conversion_to_srgb_is_that_of_the_formulas(
    curve: Curve, primaries: tuple[float, ...]
) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    icc = rgb_profile(curve, primaries)
    source = stored(Image.fromarray(pixels), "PNG", icc_profile=icc)
    picture = read_picture(source, "x", options=TO_SRGB)
    assert picture.metadata.icc is None
    matrix = _between(primaries)
    expected = displayed(linear(pixels / 255, curve) @ matrix.T)
    assert np.abs(picture.pixels - expected).max() < 0.8


def _between(primaries: tuple[float, ...]) -> Floats:
    """Linear RGB of ``primaries`` to linear sRGB, whites by Bradford, from the definitions."""
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )

    def to_xyz(x: float, y: float) -> Floats:
        return np.array([x / y, 1, (1 - x - y) / y])

    def matrix(of: tuple[float, ...]) -> Floats:
        columns = np.array([to_xyz(*of[at : at + 2]) for at in (2, 4, 6)]).T
        return columns * np.linalg.solve(columns, to_xyz(*of[:2]))

    cones = [bradford @ to_xyz(*of[:2]) for of in (SRGB, primaries)]
    adapted = np.linalg.inv(bradford) @ np.diag(cones[0] / cones[1]) @ bradford
    return np.linalg.inv(matrix(SRGB)) @ adapted @ matrix(primaries)


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.857])
def test_grey_is_converted_and_stays_grey(gamma: float) -> None:
    greys = np.arange(256, dtype=np.uint8).reshape(16, 16)
    source = stored(Image.fromarray(greys), "PNG", icc_profile=grey_profile((gamma,)))
    picture = read_picture(source, "x", options=TO_SRGB)
    assert (picture.mode, picture.metadata.icc) == ("L", None)
    assert np.abs(picture.colours() - displayed(linear(greys / 255, (gamma,)))).max() < 0.8


def test_alpha_is_not_converted(photograph: Pixels) -> None:
    image = Image.fromarray(photograph)
    image.putalpha(image.getchannel(0))
    source = stored(image, "PNG", icc_profile=rgb_profile((1.0,), P3))
    picture = read_picture(source, "x", options=TO_SRGB)
    assert picture.alpha is not None
    assert (picture.alpha == photograph[..., 0]).all()
    assert (picture.pixels != photograph).any()


def read_with(
    photograph: Pixels, options: ReadOptions, mode: str = "RGB", **chunks: bytes
) -> Picture:
    data = stored(Image.fromarray(photograph).convert(mode), "PNG").getvalue()
    for kind, content in chunks.items():
        data = with_chunk(data, kind.encode(), content).getvalue()
    return read_picture(io.BytesIO(data), "x", options=options)


GAMMA = {"gAMA": struct.pack(">I", 35000)}
CHROMATICITIES = {"cHRM": struct.pack(">8I", *(round(1e5 * v) for v in P3))}


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_gamma_becomes_a_profile_that_says_the_same(photograph: Pixels, mode: str) -> None:
    kept = read_with(photograph, ReadOptions(), mode, **GAMMA)
    assert kept.mode == mode
    expected = rgb_profile((1 / 0.35,), SRGB) if mode == "RGB" else grey_profile((1 / 0.35,))
    assert kept.metadata.icc == expected
    converted = read_with(photograph, TO_SRGB, mode, **GAMMA)
    light = linear(kept.colours() / 255, (1 / 0.35,))
    assert np.abs(converted.colours() - displayed(light)).max() < 0.8
    assert read_with(photograph, DROPPED, mode, **GAMMA).metadata.empty


def test_primaries_become_a_profile(photograph: Pixels) -> None:
    kept = read_with(photograph, ReadOptions(), **CHROMATICITIES)
    assert kept.metadata.icc == rgb_profile(SRGB_CURVE, P3)
    both = read_with(photograph, ReadOptions(), **CHROMATICITIES, **GAMMA)
    assert both.metadata.icc == rgb_profile((1 / 0.35,), P3)
    # Grey has no primaries.
    assert read_with(photograph, ReadOptions(), "L", **CHROMATICITIES).metadata.empty


@pytest.mark.parametrize(
    "chunks",
    [
        {"gAMA": struct.pack(">I", 45455)},
        {"cHRM": struct.pack(">8I", *(round(1e5 * v) for v in SRGB))},
        {"sRGB": b"\0", **GAMMA},
        {"cICP": bytes([1, 13, 0, 1]), **GAMMA},
        {"cICP": bytes([1, 1, 0, 1])},
    ],
)
def test_what_means_srgb_needs_no_profile(photograph: Pixels, chunks: dict[str, bytes]) -> None:
    assert read_with(photograph, ReadOptions(), **chunks).metadata.empty


def test_black_and_white_have_no_gamma(photograph: Pixels) -> None:
    picture = read_with(photograph, ReadOptions(), "1", **GAMMA)
    assert (picture.mode, picture.metadata.empty) == ("1", True)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ({"gAMA": bytes(4)}, "a gamma of 0"),
        ({"cHRM": bytes(32)}, "0, 0 is no chromaticity"),
        ({"cHRM": struct.pack(">8I", *[30000] * 8)}, "on one line"),
        ({"gAMA": struct.pack(">I", 1)}, "too large for a profile"),
        ({"cICP": bytes([9, 99, 0, 1])}, "unknown kind .*9/99"),
    ],
)
def test_words_that_make_no_sense_are_refused(
    photograph: Pixels, chunks: dict[str, bytes], message: str
) -> None:
    with pytest.raises(InputError, match=f"{message}.*--icc strip"):
        read_with(photograph, ReadOptions(), **chunks)
    assert read_with(photograph, DROPPED, **chunks).metadata.empty


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused(photograph: Pixels, transfer: int, name: str) -> None:
    for options in (ReadOptions(), TO_SRGB):
        with pytest.raises(InputError, match=rf"high dynamic range \({name}\); convert it"):
            read_with(photograph, options, cICP=bytes([9, transfer, 0, 1]))
    assert read_with(photograph, DROPPED, cICP=bytes([9, transfer, 0, 1])).metadata.empty


def test_code_points_of_png(photograph: Pixels) -> None:
    picture = read_with(photograph, ReadOptions(), cICP=bytes([12, 13, 0, 1]))
    assert picture.metadata.icc == rgb_profile(SRGB_CURVE, P3)


@pytest.mark.parametrize(
    ("primaries", "transfer", "outcome"),
    [
        (1, 13, None),
        (2, 2, None),
        (12, 13, rgb_profile(SRGB_CURVE, P3)),
        (9, 14, rgb_profile(BT709_CURVE, _PRIMARIES[9])),
        (9, 16, "high dynamic range"),
    ],
)
def test_code_points_of_avif(
    photograph: Pixels, primaries: int, transfer: int, outcome: bytes | str | None
) -> None:
    data = bytearray(stored(Image.fromarray(photograph), "AVIF").getvalue())
    at = data.index(b"nclx") + 4
    data[at : at + 4] = struct.pack(">HH", primaries, transfer)
    if isinstance(outcome, str):
        with pytest.raises(InputError, match=outcome):
            read_picture(io.BytesIO(data), "x")
        return
    assert read_picture(io.BytesIO(data), "x").metadata.icc == outcome


@given(st.tuples(*[st.floats(0.01, 0.9)] * 8), st.floats(0.05, 10))
def test_every_profile_opens(chromaticities: tuple[float, ...], gamma: float) -> None:
    try:
        data = rgb_profile((gamma,), chromaticities)
    except ValueError:
        return
    assert struct.unpack(">I", data[:4])[0] == len(data)
    for icc, space in ((data, "RGB "), (grey_profile((gamma,)), "GRAY")):
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile
        assert (profile.xcolor_space, profile.version) == (space, 4.3)


def test_cmyk_needs_a_profile_of_its_own() -> None:
    image = Image.new("CMYK", (9, 7), (255, 0, 0, 0))
    for options in (ReadOptions(), TO_SRGB):
        with pytest.raises(InputError, match="no ICC profile to convert them by"):
            read_picture(stored(image, "JPEG"), "x", options=options)
    with pytest.raises(InputError, match="CMYK"):
        read_picture(stored(image, "JPEG"), "x", options=DROPPED)


def test_lab_is_converted_on_request() -> None:
    """Bytes of Lab: L of 0 .. 100 over 255, a and b with 128 added."""
    image = Image.new("LAB", (9, 7), (138, 209, 198))
    with pytest.raises(InputError, match=r"in Lab colours; .*--icc srgb"):
        read_picture(stored(image, "TIFF"), "x")
    picture = read_picture(stored(image, "TIFF"), "x", options=TO_SRGB)
    assert picture.mode == "RGB"
    # Red of sRGB is L 54.3, a 80.8, b 69.9 under D50.
    assert np.abs(picture.pixels[3, 3].astype(int) - (255, 0, 0)).max() <= 6
