"""JPEG XL, read by the package pillow_jxl, which is imported when such a file is met."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO

from PIL import Image

from vrcodec import extras
from vrcodec.errors import InputError
from vrcodec.limits import Limits
from vrcodec.picture.intake.boxes import read_boxes
from vrcodec.picture.intake.embedded_metadata import MAX_METADATA_BYTES
from vrcodec.picture.intake.exif_block import TIFF_MAGICS
from vrcodec.picture.intake.file_kind import JXL
from vrcodec.picture.intake.jxl_header import JxlHeader, read_jxl_header

# Channels beside the colours without which these are not what is meant: black, and what no reader knows yet.
_NEEDED_CHANNELS = frozenset({4, 5, *range(7, 16)})
_DAMAGED = "{}: is a JPEG XL picture, and a damaged one"


def restore_jpeg(source: BinaryIO, name: str, limits: Limits) -> BinaryIO:
    """The JPEG file that a JPEG XL file was made of without loss; ``source`` itself for any other.

    Raises InputError where it is damaged, or LimitError.
    """
    data = _read_from_start(source)
    if not any(box_type == b"jbrd" for box_type, _ in read_boxes(data)):
        return source
    _read_header(data, name, limits)
    is_jpeg, _, content, _ = _decode(data, name)
    return io.BytesIO(content) if is_jpeg else source


def open_jxl(source: BinaryIO, name: str, limits: Limits) -> Image.Image:
    """The picture, decoded and upright, with its profile, EXIF and XMP in ``info``.

    Raises InputError where it is damaged, or of a kind that the package does not give as it is; LimitError.
    """
    data = _read_from_start(source)
    header = _read_header(data, name, limits)
    _refuse_unkept(header, name)
    _, decoded, samples, icc = _decode(data, name)
    image = Image.frombytes(decoded.mode, (decoded.width, decoded.height), samples)
    image.format = "JXL"
    image.info.update(_read_metadata(data, name))
    if icc and not header.is_srgb:
        # The decoder makes one where the file only names its colours.
        image.info["icc_profile"] = bytes(icc)
    return image


def _read_from_start(source: BinaryIO) -> bytes:
    position = source.tell()
    source.seek(0)
    data = source.read()
    source.seek(position)
    return data


def _read_header(data: bytes, name: str, limits: Limits) -> JxlHeader:
    try:
        header = read_jxl_header(data)
    except ValueError as error:
        raise InputError(f"{_DAMAGED.format(name)}: {error}") from None
    limits.check_picture(name, header.width, header.height)
    return header


def _refuse_unkept(header: JxlHeader, name: str) -> None:
    """Raise InputError for what the package would drop or change in silence."""
    if header.animated:
        raise InputError(
            f"{name}: is an animation; save the frame that you want as PNG first, as of JPEG XL none can be "
            "chosen"
        )
    if header.premultiplied:
        raise InputError(f"{name}: has premultiplied alpha; convert it to RGBA first")
    if _NEEDED_CHANNELS.intersection(header.channels):
        raise InputError(f"{name}: has channels beside its colours; convert it to RGB first")
    # Of colours, the package cuts off what is beyond 8 bits; of plain grey it gives all.
    if (header.depth > 8 or header.floating) and (not header.grey or header.channels):
        raise InputError(f"{name}: has more than 8 bits a sample; convert it to 8 bits first")


def _decode(data: bytes, name: str) -> tuple[bool, Any, bytes, bytes]:
    """Whether the result is a JPEG file; a description of it (mode, width, height); the result; a profile."""
    try:
        is_jpeg, decoded, content, icc, *_ = _load_decoder()(num_threads=0)(data)
    except RuntimeError:
        # The words of the package are for those who build it.
        raise InputError(_DAMAGED.format(name)) from None
    return is_jpeg, decoded, content, icc


@functools.cache
def _load_decoder() -> Callable[..., Any]:
    """The class that decodes. Importing its package registers it with Pillow: that is taken back.

    Nor does the package stay imported, so that it registers itself for a caller who imports it later.
    """
    imported = JXL.module in sys.modules
    decoder: Callable[..., Any] = import_module(JXL.module).Decoder
    if not imported:
        for table in (Image.OPEN, Image.SAVE, Image.MIME):
            table.pop("JXL", None)
        Image.EXTENSION.pop(".jxl", None)
        Image.ID.remove("JXL")
        for module in [name for name in sys.modules if name.partition(".")[0] == JXL.module]:
            del sys.modules[module]
    return decoder


def _read_metadata(data: bytes, name: str) -> dict[str, bytes]:
    """EXIF and XMP by the names of Pillow."""
    found: dict[str, bytes] = {}
    for box_type, content in read_boxes(data):
        if box_type == b"brob":
            box_type, content = content[:4], content[4:]
            if box_type in (b"Exif", b"xml "):
                content = _unpack(content, name)
        if box_type == b"Exif":
            found.setdefault("exif", _tiff_header_on(content))
        elif box_type == b"xml ":
            found.setdefault("xmp", content)
    return found


def _tiff_header_on(content: bytes) -> bytes:
    """What stands behind the offset of the TIFF header, and it; the package writes no offset."""
    if content.startswith(tuple(TIFF_MAGICS)):
        return content
    return content[4 + int.from_bytes(content[:4], "big") :]


def _unpack(content: bytes, name: str) -> bytes:
    """Brotli's stream unpacked. Raises InputError where it is damaged."""
    if not extras.is_installed("brotli"):
        raise InputError(f"{name}: {extras.missing('brotli', JXL.extra, 'its metadata')}")
    import brotli

    unpacker = brotli.Decompressor()
    try:
        # A little more is refused as too much, when metadata are kept.
        unpacked = unpacker.process(content, output_buffer_limit=MAX_METADATA_BYTES + 1)
    except brotli.error:
        unpacked = b""
    if not unpacker.is_finished() and len(unpacked) <= MAX_METADATA_BYTES:
        raise InputError(f"{_DAMAGED.format(name)}: so are its metadata")
    return unpacked
