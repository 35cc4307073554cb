"""BMP: the colours that headers of version 4 and 5 describe, and what lies behind the samples."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from vrcodec.picture.intake.colour_description import colours_of_gamma
from vrcodec.picture.intake.containers.contents import (
    FileContents,
    describe_rest,
    file_size,
    read_at,
)
from vrcodec.picture.intake.icc_profile import D65, SRGB, Colours

_FILE_HEADER_BYTES = 14
_V4_BYTES, _V5_BYTES = 108, 124
# Of BITMAPV4HEADER: the image's bytes; kind of colours, end points of red, green and blue, their gammas.
_IMAGE_BYTES, _COLOURS = struct.Struct("<20xI"), struct.Struct("<56x4s9i3I")
# Of BITMAPV5HEADER: where its profile lies, and bytes of it.
_PROFILE = struct.Struct("<112xII")
_CALIBRATED, _LINKED, _EMBEDDED = bytes(4), b"KNIL", b"DEBM"
# Gammas have 16 bits behind the point.
_GAMMA_UNIT = 1 << 16


def read_bmp(image: Image.Image, source: BinaryIO) -> FileContents:
    """What a BMP file holds beside its samples."""
    header = read_at(source, _FILE_HEADER_BYTES, _V5_BYTES)
    header_bytes = struct.unpack_from("<I", header)[0]
    kind, *numbers = _COLOURS.unpack_from(header.ljust(_V5_BYTES, b"\0"))
    end, icc, colours, problem = _samples_end(image, source, header), None, None, None
    if header_bytes == _V5_BYTES and kind == _EMBEDDED:
        position, count = _PROFILE.unpack_from(header)
        icc = read_at(source, _FILE_HEADER_BYTES + position, count)
        problem = None if icc else "its ICC profile is not there"
        end = max(end, _FILE_HEADER_BYTES + position + count)
    elif header_bytes == _V5_BYTES and kind == _LINKED:
        problem = "its ICC profile is in another file"
    elif header_bytes in (_V4_BYTES, _V5_BYTES) and kind == _CALIBRATED:
        colours, problem = _calibration(numbers[:9], numbers[9:])
    left_out = (*_fourth_byte(image, source), *describe_rest(source, end))
    return FileContents(icc=icc, colours=colours, colour_problem=problem, left_out=left_out)


def _calibration(endpoints: list[int], gammas: list[int]) -> tuple[Colours | None, str | None]:
    """Curve and primaries, or why there are none; neither where all are zero, as many programs write."""
    if len(set(gammas)) > 1:
        return None, "its three channels have different gammas"
    # Some programs write the reciprocal.
    gamma = max(gammas[0], _GAMMA_UNIT**2 / gammas[0]) / _GAMMA_UNIT if gammas[0] else None
    if not any(endpoints):
        return (colours_of_gamma(gamma, SRGB) if gamma else None), None
    sums = [sum(endpoints[at : at + 3]) for at in (0, 3, 6)]
    if min(sums) <= 0:
        return None, "its primaries make no sense"
    # The white point is not in the file.
    primaries = (endpoints[3 * n + axis] / sums[n] for n in range(3) for axis in (0, 1))
    return colours_of_gamma(gamma, (*D65, *primaries)), None


def _tile(image: Image.Image) -> Any:
    """What Pillow decodes: decoder, left, top, right and bottom, place in the file, and arguments."""
    tiles: Any = getattr(image, "tile", ())
    return tiles[0]


def _samples_end(image: Image.Image, source: BinaryIO, header: bytes) -> int:
    decoder, extents, offset, arguments = _tile(image)
    if decoder == "raw":
        return int(offset + arguments[1] * extents[3])
    # Run lengths: as long as the header says.
    run_lengths = _IMAGE_BYTES.unpack_from(header)[0]
    return int(offset + run_lengths) if run_lengths else file_size(source)


def _fourth_byte(image: Image.Image, source: BinaryIO) -> tuple[str, ...]:
    """Of 32 bits a pixel, 8 have no meaning by the specification, and are alpha to some programs."""
    _, (_, _, width, height), offset, arguments = _tile(image)
    if arguments[0] != "BGRX" or image.info.get("compression") != 0:
        return ()
    samples = np.frombuffer(read_at(source, offset, 4 * width * height), np.uint8)
    fourth = samples[3::4]
    if not fourth.size or (fourth == fourth[0]).all():
        return ()
    return ("the fourth byte of each pixel, which is alpha to some programs",)
