"""Writing decoded pictures: what a format cannot hold is refused, converted on request, or named.

What each can hold: `vrcodec.picture.output_formats`. See docs/PICTURES.md.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vrcodec.errors import InputError, LimitError, OutputError, UsageError
from vrcodec.picture.intake.colour_management import manage_colours
from vrcodec.picture.intake.exif_block import TIFF_MAGICS
from vrcodec.picture.intake.read_options import ReadOptions
from vrcodec.picture.intake.samples import Samples
from vrcodec.picture.metadata import EXIF_PREFIX, Metadata
from vrcodec.picture.output_formats import (
    DEFAULT_WRITE_OPTIONS,
    FORMATS,
    LOSSLESS_QUALITY,
    OutputFormat,
    WriteOptions,
)
from vrcodec.picture.picture import Picture
from vrcodec.picture.tiff import build_tiff, read_directory

# An iTXt chunk without compression and language, as the XMP specification has it.
_PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
_TIFF_HEADER_BYTES = 8


def check_size(width: int, height: int, output: OutputFormat) -> None:
    """Raise LimitError for a picture that is larger than files of this format can be."""
    side = FORMATS[output].side
    if max(width, height) > side:
        raise LimitError(
            f"is {width}x{height} pixels, and {output} files have at most {side} a side; write a .png, "
            "or less of it with --crop or --scale"
        )


def check_content(alpha: bool, metadata: Metadata, output: OutputFormat) -> None:
    """Raise UsageError for what would look another in a file of this format."""
    held = FORMATS[output]
    if alpha and not held.alpha:
        raise UsageError(
            f"has alpha, and {output} files cannot; write a .png, or lay it on white with --flatten"
        )
    if not held.samples_only and metadata.icc and not _holds_profile(metadata.icc, output):
        raise UsageError(
            f"has an ICC profile that {output} files cannot hold; write a .png, or convert its colours to "
            "sRGB with --flatten"
        )


def _holds_profile(icc: bytes, output: OutputFormat) -> bool:
    held = FORMATS[output]
    return len(icc) <= held.icc and (held.grey_profile or icc[16:20] != b"GRAY")


def unsupported_metadata(picture: Picture, output: OutputFormat) -> list[str]:
    """Names of the kinds of the picture's metadata that a format cannot hold."""
    held, metadata = FORMATS[output], picture.metadata
    lost = []
    if metadata.icc and not _holds_profile(metadata.icc, output):
        lost.append("an ICC profile")
    if metadata.exif:
        lost += _lost_exif(metadata.exif, output)
    if metadata.xmp and len(metadata.xmp) > held.xmp:
        lost.append(_name_lost("XMP data", metadata.xmp, held.xmp))
    return lost


def _lost_exif(exif: bytes, output: OutputFormat) -> list[str]:
    if len(exif) > FORMATS[output].exif:
        return [_name_lost("EXIF data", exif, FORMATS[output].exif)]
    if not _holds_exif(exif, output):
        return ["EXIF data that is damaged"]
    if output == "tiff" and (directory := read_directory(exif)) and directory[1]:
        return ["the thumbnail of EXIF data"]
    return []


def _holds_exif(exif: bytes, output: OutputFormat) -> bool:
    # libavif looks into it, for the orientation.
    if output == "avif" and not (
        exif.startswith(tuple(TIFF_MAGICS)) and len(exif) >= _TIFF_HEADER_BYTES
    ):
        return False
    if output == "tiff" and read_directory(exif) is None:
        return False
    return len(exif) <= FORMATS[output].exif


def _name_lost(kind: str, content: bytes, limit: int) -> str:
    return f"{kind} of {len(content)} bytes" if limit else kind


def flatten_picture(picture: Picture, output: OutputFormat) -> Picture:
    """The picture on white, without alpha; in sRGB where a format has no place for its profile.

    Raises InputError where that is damaged.
    """
    icc = picture.metadata.icc
    if icc and not _holds_profile(icc, output):
        picture = _convert_to_srgb(picture, icc)
    return picture.on_white()


def _convert_to_srgb(picture: Picture, icc: bytes) -> Picture:
    samples = Samples(
        picture.colours(),
        "RGB" if picture.mode == "RGB" else "GRAY",
        bilevel=picture.mode == "1",
    )
    try:
        converted, _ = manage_colours(samples, icc, ReadOptions(icc="srgb"), "")
    except InputError as error:
        raise InputError(
            "has an ICC profile that cannot be applied; write a .png, which keeps it"
        ) from error
    colours = Picture.from_array(converted.colours)
    return replace(
        picture,
        pixels=colours.pixels,
        mode="1" if converted.bilevel else colours.mode,
        metadata=replace(picture.metadata, icc=None),
    )


def serialise_picture(picture: Picture, options: WriteOptions = DEFAULT_WRITE_OPTIONS) -> bytes:
    """The picture as the bytes of a file (PGM in place of PPM when grey, PBM when bilevel).

    What stands beside the samples and has no place is left out (`unsupported_metadata`). ``options.flatten``
    is no concern of this (`flatten_picture`).

    Raises what `check_size` and `check_content` raise, and OutputError where the encoder of a format fails.
    """
    output = options.format
    check_size(picture.width, picture.height, output)
    check_content(picture.alpha is not None, picture.metadata, output)
    if output == "tiff":
        return build_tiff(picture)
    buffer = io.BytesIO()
    if output == "npy":
        np.save(buffer, picture.to_array())
        return buffer.getvalue()
    image = Image.fromarray(picture.to_array())
    parameters = {**_metadata_parameters(picture, output), **_parameters(picture, options)}
    try:
        image.save(buffer, output.upper(), **parameters)
    # What Pillow's encoders raise, of their own libraries' failures.
    except (OSError, ValueError, RuntimeError) as error:
        raise OutputError(f"cannot be written as {output}: {error}") from error
    return buffer.getvalue()


class _VerbatimExif(Image.Exif):
    """EXIF data that is written byte for byte; of other Exif objects, Pillow writes directories anew."""

    def __init__(self, block: bytes) -> None:
        super().__init__()
        self._block = block

    def __bool__(self) -> bool:
        """Whether there is anything to write. The mapping of tags, which nobody fills, is empty."""
        return bool(self._block)

    def tobytes(self, offset: int = 8) -> bytes:
        """The block with the prefix of JPEG."""
        return EXIF_PREFIX + self._block


def _metadata_parameters(picture: Picture, output: OutputFormat) -> dict[str, Any]:
    """Pillow's parameters for the metadata that the format can hold."""
    held, metadata = FORMATS[output], picture.metadata
    parameters: dict[str, Any] = {}
    if metadata.icc and _holds_profile(metadata.icc, output):
        parameters["icc_profile"] = metadata.icc
    if metadata.exif and _holds_exif(metadata.exif, output):
        parameters["exif"] = _VerbatimExif(metadata.exif)
    # PNG has it as a text (`_png_text`).
    if metadata.xmp and len(metadata.xmp) <= held.xmp and output != "png":
        parameters["xmp"] = metadata.xmp
    return parameters


def _parameters(picture: Picture, options: WriteOptions) -> dict[str, Any]:
    """Pillow's parameters for the samples."""
    quality = options.quality or FORMATS[options.format].quality
    if options.format == "png":
        # Level 1 takes a third of the time of the default for files a few per cent larger.
        return {"compress_level": 1, "pnginfo": _png_text(picture.metadata)}
    if options.format == "jpeg":
        return {"quality": quality, "subsampling": "4:4:4"}
    if options.format == "webp":
        if quality == LOSSLESS_QUALITY:
            return {"lossless": True, "exact": True}
        return {"quality": quality}
    if options.format == "avif":
        return _avif_parameters(picture, quality)
    return {}


def _avif_parameters(picture: Picture, quality: int | None) -> dict[str, Any]:
    parameters: dict[str, Any] = {"quality": quality, "subsampling": "4:4:4"}
    if picture.mode != "RGB":
        parameters["subsampling"] = "4:0:0"
    if picture.alpha is not None:
        # Alpha would have the quality of the colours. Only this encoder has an option for it.
        parameters |= {"codec": "aom", "advanced": {"alpha:lossless": "1"}}
    return parameters


def _png_text(metadata: Metadata) -> PngInfo:
    text = PngInfo()
    if metadata.xmp:
        # As a raw chunk: Pillow's own takes text, and not every packet is UTF-8.
        text.add(b"iTXt", _PNG_XMP + metadata.xmp)
    return text
