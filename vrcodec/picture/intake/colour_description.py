"""Colours that a file describes without an ICC profile: gAMA, cHRM and cICP of PNG, nclx of AVIF.

They become an equivalent ICC profile, so that nothing is lost where a decoder writes another format.
"""

from __future__ import annotations

from PIL import Image

from vrcodec.errors import InputError
from vrcodec.picture.intake.file_header import FileHeader
from vrcodec.picture.intake.icc_profile import (
    BT709_CURVE,
    SRGB_CURVE,
    Chromaticities,
    Curve,
    grey_profile,
    rgb_profile,
)

# gAMA and cHRM of files that are meant as sRGB, and the error that rounding may add.
_SRGB_GAMMA = 1 / 2.2
_D65 = (0.3127, 0.329)
_SRGB = (*_D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_TOLERANCE = 0.005

# Code points of ITU-T H.273. In both tables 2 is "unspecified", which viewers take for sRGB.
_UNSPECIFIED = 2
_PRIMARIES: dict[int, Chromaticities] = {
    1: _SRGB,
    _UNSPECIFIED: _SRGB,
    4: (0.31, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
    6: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
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
    image: Image.Image, header: FileHeader, grey: bool, name: str
) -> bytes | None:
    """An ICC profile of the colours that the file describes; None where they are those of sRGB.

    Raises InputError for unknown code points, and for a gamma or primaries that make no sense.
    """
    try:
        described = _from_cicp(*header.cicp, name) if header.cicp else None
        curve, primaries = described or _from_png_chunks(image)
        if grey:
            return None if curve == SRGB_CURVE else grey_profile(curve)
        if curve == SRGB_CURVE and _close(primaries, _SRGB):
            return None
        return rgb_profile(curve, primaries)
    except ValueError as error:
        raise InputError(
            f"{name}: its gamma or primaries make no sense ({error}); leave them out with --icc strip"
        ) from None


def refuse_hdr(header: FileHeader, name: str) -> None:
    """Raise InputError for PQ and HLG, which no profile of primaries and a curve describes."""
    transfer = _HDR_TRANSFERS.get(header.cicp[1]) if header.cicp else None
    if transfer:
        raise InputError(f"{name}: is of high dynamic range ({transfer}); convert it to sRGB first")


def _from_cicp(primaries: int, transfer: int, name: str) -> tuple[Curve, Chromaticities] | None:
    if primaries == transfer == _UNSPECIFIED:
        return None
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        raise InputError(
            f"{name}: has colours of an unknown kind (H.273 {primaries}/{transfer}); convert it to sRGB "
            "first, or take them for sRGB with --icc strip"
        )
    return _TRANSFERS[transfer], _PRIMARIES[primaries]


def _from_png_chunks(image: Image.Image) -> tuple[Curve, Chromaticities]:
    """From gAMA and cHRM, over which an sRGB chunk takes precedence."""
    if "srgb" in image.info:
        return SRGB_CURVE, _SRGB
    gamma = image.info.get("gamma")
    primaries = image.info.get("chromaticity", _SRGB)
    if gamma is None or (abs(gamma - _SRGB_GAMMA) <= _TOLERANCE and _close(primaries, _SRGB)):
        return SRGB_CURVE, primaries
    if not gamma:
        raise ValueError("a gamma of 0")
    return (1 / gamma,), primaries


def _close(one: Chromaticities, other: Chromaticities) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= _TOLERANCE
