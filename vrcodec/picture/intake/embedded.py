"""ICC profiles, EXIF and XMP, wherever formats and tools have put them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from PIL import ExifTags, Image

from vrcodec.errors import InputError, LimitError

MAX_METADATA_BYTES = 1 << 24

_WORDS = {"icc": "ICC profile", "exif": "EXIF data", "xmp": "XMP data"}
_EXIF_HEADS = (b"II*\0", b"MM\0*")
_APP1_EXIF, _APP1_XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/"
# Tags of a TIFF file that describe the picture rather than the file, as EXIF has them.
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 316, 318, 319, 33432, 34665, 34853)
_RESOLUTION = (282, 283, 296)


class DamagedError(Exception):
    """Metadata are there, and cannot be read."""


def found_metadata(image: Image.Image, kind: str, wanted: bool, name: str) -> bytes | None:
    """The bytes of metadata of ``kind`` (icc, exif, xmp) in a loaded image, None where there are none.

    EXIF is without the prefix of JPEG. Raises InputError where they are damaged and ``wanted``, LimitError
    where they are too large.
    """
    find = {"icc": _icc, "exif": _exif, "xmp": _xmp}[kind]
    hint = f"leave it out with --strip {kind}"
    try:
        content = find(image)
    except DamagedError as error:
        if wanted:
            raise InputError(f"{name}: the {_WORDS[kind]} {error}; {hint}") from None
        return None
    if wanted and content and len(content) > MAX_METADATA_BYTES:
        raise LimitError(
            f"{name}: the {_WORDS[kind]} is {len(content)} bytes, over {MAX_METADATA_BYTES}; {hint}"
        )
    return content or None


def _icc(image: Image.Image) -> bytes | None:
    content = image.info.get("icc_profile")
    if content is None and "icc_profile" in image.info:
        raise DamagedError("is damaged")
    return content or _raw_profile(image, "icc", "icm")


def _exif(image: Image.Image) -> bytes | None:
    if image.format == "TIFF":
        return _tiff_exif(image)
    content = image.info.get("exif") or _raw_profile(image, "exif") or _app1(image, _APP1_EXIF)
    content = re.sub(b"^(Exif\0\0){1,2}", b"", content or b"")
    if content and content[:4] not in _EXIF_HEADS:
        raise DamagedError("is damaged")
    return content


def _xmp(image: Image.Image) -> bytes | None:
    segments = getattr(image, "applist", [])
    if any(content.startswith(_EXTENDED_XMP) for _, content in segments):
        raise DamagedError("is spread over several segments, which this version cannot keep")
    content = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(content, str):
        content = content.encode()
    return content or _raw_profile(image, "xmp") or _app1(image, _APP1_XMP)


def _app1(image: Image.Image, prefix: bytes) -> bytes | None:
    """A segment of JPEG that ImageMagick has kept as a text of PNG."""
    content = _raw_profile(image, "APP1")
    return content[len(prefix) :] if content and content.startswith(prefix) else None


def _raw_profile(image: Image.Image, *names: str) -> bytes | None:
    """ImageMagick's way of metadata in texts of PNG: a name, a length, hexadecimal digits."""
    for name in names:
        text = image.info.get(f"Raw profile type {name}")
        if text is None:
            continue
        try:
            _, length, *digits = text.split()
            content = bytes.fromhex("".join(digits))
            if len(content) == int(length):
                return content
        except (AttributeError, TypeError, ValueError):
            pass
        raise DamagedError("is damaged")
    return None


def _tiff_exif(image: Image.Image) -> bytes | None:
    """EXIF of a TIFF, whose tags are its own: those that describe the picture, in a block of their own."""
    own = image.getexif()
    described = [tag for tag in _DESCRIPTIVE if tag in own]
    if not described:
        return None
    block = Image.Exif()
    try:
        for tag in (*described, *(tag for tag in _RESOLUTION if tag in own)):
            nested = tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
            block[tag] = dict(_plain(own.get_ifd(tag))) if nested else own[tag]
        return block.tobytes()[len(_APP1_EXIF) :]
    except Exception as error:
        # Pillow raises whatever the damage brings about.
        raise DamagedError(f"cannot be copied: {error}") from None


def _plain(directory: dict[int, object]) -> Iterator[tuple[int, object]]:
    """Entries of a nested directory, without pointers to further ones, which would point nowhere."""
    for tag, value in directory.items():
        if tag != ExifTags.IFD.Interop:
            yield tag, value
