"""What a picture file holds beside what Pillow tells of it: the way to each format."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from PIL import Image

from vrcodec.picture.intake.containers.avif import read_avif, read_heif
from vrcodec.picture.intake.containers.bmp import read_bmp
from vrcodec.picture.intake.containers.contents import FileContents
from vrcodec.picture.intake.containers.gif import read_gif
from vrcodec.picture.intake.containers.jpeg import read_jpeg
from vrcodec.picture.intake.containers.netpbm import read_netpbm
from vrcodec.picture.intake.containers.png import read_png
from vrcodec.picture.intake.containers.tiff import read_tiff
from vrcodec.picture.intake.containers.webp import read_webp

# By Pillow's names of formats.
_READERS: dict[str | None, Callable[[Image.Image, BinaryIO], FileContents]] = {
    "AVIF": read_avif,
    "BMP": read_bmp,
    "GIF": read_gif,
    "HEIF": read_heif,
    "JPEG": read_jpeg,
    "MPO": read_jpeg,
    "PNG": read_png,
    "PPM": read_netpbm,
    "WEBP": read_webp,
}


def read_contents(
    image: Image.Image, source: BinaryIO | None, frame: int | None = None
) -> FileContents:
    """What the file of an opened ``image`` holds beside what Pillow tells of it.

    ``frame``: the one that will be read, where the user has chosen. The position of ``source`` is left as it
    was. Of other formats, or without a source, nothing.
    """
    if source is None:
        return FileContents()
    reader, position = _READERS.get(image.format), source.tell()
    try:
        if image.format == "TIFF":
            return read_tiff(image, source, frame)
        return reader(image, source) if reader else FileContents()
    finally:
        source.seek(position)
