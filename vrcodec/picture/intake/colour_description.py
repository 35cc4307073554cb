"""Colours that a file describes without an ICC profile: gAMA, cHRM and cICP of PNG, nclx of AVIF, end points
of BMP, the colour space of EXIF.

They become an equivalent ICC profile, so that nothing is lost where a decoder writes another format.
"""

from __future__ import annotations

from PIL import Image

from vrcodec.errors import InputError
from vrcodec.picture.intake.containers.contents import FileContents
from vrcodec.picture.intake.exif_block import (
    COLOUR_SPACE,
    DCF_OPTION_FILE,
    INTEROP_INDEX,
    UNCALIBRATED,
    ExifBlock,
)
from vrcodec.picture.intake.file_header import FileHeader
from vrcodec.picture.intake.icc_profile import (
    BT709_CURVE,
    D65,
    SRGB,
    SRGB_CURVE,
    Chromaticities,
    Colours,
    Curve,
    grey_profile,
    rgb_profile,
)

# gAMA and cHRM of files that are meant as sRGB, and the error that rounding may add.
_SRGB_GAMMA = 1 / 2.2
_TOLERANCE = 0.005

# Adobe RGB (1998).
ADOBE_RGB: Colours = ((563 / 256,), (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06))
_ADOBE_RGB_SPACE = 2

# Code points of ITU-T H.273. In both tables 2 is "unspecified", which viewers take for sRGB.
_UNSPECIFIED = 2
_PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    _UNSPECIFIED: SRGB,
    4: (0.31, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
    6: (*D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (*D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (*D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (*D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
# Files that are meant, and shown, as sRGB often name the curve of BT.709 or BT.601.
_SHOWN_AS_SRGB = (1, _UNSPECIFIED, 6, 13)
_TRANSFERS: dict[int, Curve] = {
    4: (2.2,),
    5: (2.8,),
    8: (1.0,),
    14: BT709_CURVE,
    15: BT709_CURVE,
    **dict.fromkeys(_SHOWN_AS_SRGB, SRGB_CURVE),
}
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}


def build_declared_profile(
    image: Image.Image,
    header: FileHeader,
    contents: FileContents,
    exif: bytes | None,
    grey: bool,
    name: str,
) -> bytes | None:
    """An ICC profile of the colours that the file describes; None where they are those of sRGB.

    Raises InputError for unknown code points, and for a gamma or primaries that make no sense.
    """
    try:
        described = _from_cicp(*header.cicp, name) if header.cicp else None
        described = described or contents.colours or _from_png_chunks(image)
        described = described or (read_exif_colours(exif) if exif else None)
        curve, primaries = described or (SRGB_CURVE, SRGB)
        if grey:
            return None if curve == SRGB_CURVE else grey_profile(curve)
        if curve == SRGB_CURVE and _close(primaries, SRGB):
            return None
        return rgb_profile(curve, primaries)
    except ValueError as error:
        raise InputError(
            f"{name}: its gamma or primaries make no sense ({error}); leave them out with --icc strip"
        ) from None


def refuse_undescribable(header: FileHeader, contents: FileContents, name: str) -> None:
    """Raise InputError for what no profile of primaries and a curve describes: PQ, HLG, the range of video."""
    transfer = _HDR_TRANSFERS.get(header.cicp[1]) if header.cicp else None
    if transfer:
        raise InputError(f"{name}: is of high dynamic range ({transfer}); convert it to sRGB first")
    if header.narrow_range:
        raise InputError(
            f"{name}: has samples of narrow range, as video has; convert it to full range first"
        )
    if contents.colour_problem:
        raise InputError(
            f"{name}: {contents.colour_problem}; convert it to sRGB first, or take its colours for sRGB "
            "with --icc strip"
        )


def _from_cicp(primaries: int, transfer: int, name: str) -> Colours | None:
    if primaries == transfer == _UNSPECIFIED:
        return None
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        raise InputError(
            f"{name}: has colours of an unknown kind (H.273 {primaries}/{transfer}); convert it to sRGB "
            "first, or take them for sRGB with --icc strip"
        )
    return _TRANSFERS[transfer], _PRIMARIES[primaries]


def _from_png_chunks(image: Image.Image) -> Colours | None:
    """From gAMA and cHRM, over which an sRGB chunk takes precedence; None without any."""
    if "srgb" in image.info:
        return SRGB_CURVE, SRGB
    gamma = image.info.get("gamma")
    if gamma is None and "chromaticity" not in image.info:
        return None
    if gamma == 0:
        raise ValueError("a gamma of 0")
    return colours_of_gamma(1 / gamma if gamma else None, image.info.get("chromaticity", SRGB))


def colours_of_gamma(exponent: float | None, primaries: Chromaticities) -> Colours:
    """Primaries with x^``exponent``; with the curve of sRGB where none is given, or where that is meant."""
    meant = exponent is not None and abs(1 / exponent - _SRGB_GAMMA) <= _TOLERANCE
    if exponent is None or (meant and _close(primaries, SRGB)):
        return SRGB_CURVE, primaries
    return (exponent,), primaries


def read_exif_colours(exif: bytes) -> Colours | None:
    """Adobe RGB (1998), where an EXIF block says that in one of the two ways of cameras; else None.

    The option file of DCF has an interoperability index of its own, and the colour space "uncalibrated";
    other cameras give the colour space a number that is in no standard.
    """
    block = ExifBlock(exif)
    space = block.number(block.exif, COLOUR_SPACE)
    option_file = block.text(block.interop, INTEROP_INDEX) == DCF_OPTION_FILE
    if space == _ADOBE_RGB_SPACE or (option_file and space in (None, UNCALIBRATED)):
        return ADOBE_RGB
    return None


def _close(one: Chromaticities, other: Chromaticities) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= _TOLERANCE
