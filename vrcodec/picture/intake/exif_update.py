"""Keeping EXIF true after the samples have changed: thumbnail, sizes, places and colours. In place."""

from __future__ import annotations

from vrcodec.picture.intake.exif_block import (
    COLOUR_SPACE,
    DCF_OPTION_FILE,
    INTEROP_INDEX,
    ExifBlock,
)
from vrcodec.picture.intake.pixel_change import PixelChange

_SRGB_SPACE, _DCF_BASIC_FILE = 1, b"R98"
_IMAGE_WIDTH, _IMAGE_LENGTH = 0x0100, 0x0101
_PIXEL_X_DIMENSION, _PIXEL_Y_DIMENSION = 0xA002, 0xA003
# Places in the picture before it is turned, and descriptions of its colours.
_PLACES = {0x9214: "SubjectArea", 0xA214: "SubjectLocation"}
_COLOURS = {0x012D: "TransferFunction", 0x013E: "WhitePoint", 0x013F: "PrimaryChromaticities"}
_GAMMA = 0xA500


def update_exif(exif: bytes, change: PixelChange) -> tuple[bytes, list[str]]:
    """The block with what is untrue after ``change`` removed or set right, and what that was, in words."""
    block, done = ExifBlock(exif), []
    if change.looks_other and block.remove_thumbnail():
        done.append("thumbnail removed")
    if change.moved:
        done += _update_sizes(block, change)
        done += [
            f"{name} removed" for tag, name in _PLACES.items() if block.remove(block.exif, tag)
        ]
    if change.to_srgb:
        done += _update_colours(block)
    return bytes(block.content), done


def _update_sizes(block: ExifBlock, change: PixelChange) -> list[str]:
    updated = False
    for directory, tag, size in (
        (block.main, _IMAGE_WIDTH, change.width),
        (block.main, _IMAGE_LENGTH, change.height),
        (block.exif, _PIXEL_X_DIMENSION, change.width),
        (block.exif, _PIXEL_Y_DIMENSION, change.height),
    ):
        updated |= block.set_number(directory, tag, size)
    return [f"dimensions set to {change.width}x{change.height}"] if updated else []


def _update_colours(block: ExifBlock) -> list[str]:
    done = [f"{name} removed" for tag, name in _COLOURS.items() if block.remove(block.main, tag)]
    if block.remove(block.exif, _GAMMA):
        done.append("Gamma removed")
    if block.set_number(block.exif, COLOUR_SPACE, _SRGB_SPACE):
        done.append("ColorSpace set to sRGB")
    if block.text(block.interop, INTEROP_INDEX) == DCF_OPTION_FILE:
        block.set_text(block.interop, INTEROP_INDEX, _DCF_BASIC_FILE)
        done.append("interoperability index set to R98")
    return done
