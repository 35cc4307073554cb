"""ICC profiles, EXIF and XMP, wherever formats and tools have put them."""

from __future__ import annotations

import re

from PIL import ExifTags, Image

from vrcodec.errors import InputError, LimitError
from vrcodec.picture.intake.containers.tiff_exif import DESCRIPTIVE_TAGS, RESOLUTION_TAGS
from vrcodec.picture.intake.exif_block import TIFF_MAGICS
from vrcodec.picture.metadata import EXIF_PREFIX

MAX_METADATA_BYTES = 1 << 24

_LABELS = {"icc": "ICC profile", "exif": "EXIF data", "xmp": "XMP data"}
_APP1_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/"
_TIFF_ICC = 34675


class DamagedError(Exception):
    """There is metadata, and it cannot be read."""


def read_metadata(
    image: Image.Image, kind: str, wanted: bool, name: str, found: bytes | None = None
) -> bytes | None:
    """The bytes of metadata of ``kind`` (icc, exif, xmp) in a loaded image, None where there are none.

    ``found``: those that Pillow does not report. EXIF is without the prefix of JPEG. Raises InputError where
    they are damaged and ``wanted``, LimitError where they are too large.
    """
    read = {"icc": _read_icc, "exif": _read_exif, "xmp": _read_xmp}[kind]
    hint = f"leave it out with --strip {kind}"
    try:
        content = found or read(image)
    except DamagedError as error:
        if wanted:
            raise InputError(f"{name}: the {_LABELS[kind]} {error}; {hint}") from None
        return None
    if wanted and content and len(content) > MAX_METADATA_BYTES:
        raise LimitError(
            f"{name}: the {_LABELS[kind]} is {len(content)} bytes, over {MAX_METADATA_BYTES}; {hint}"
        )
    return content or None


def _read_icc(image: Image.Image) -> bytes | None:
    content = image.info.get("icc_profile")
    if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
        # Pillow goes on to tell the profile of a page that it has shown before.
        content = getattr(image, "tag_v2", {}).get(_TIFF_ICC)
        return content if isinstance(content, bytes) else None
    if content is None and "icc_profile" in image.info:
        raise DamagedError("is damaged")
    return content or _read_raw_profile(image, "icc", "icm")


def _read_exif(image: Image.Image) -> bytes | None:
    if image.format == "TIFF":
        return _build_tiff_exif(image)
    content = _first_exif(image) or _read_raw_profile(image, "exif")
    content = content or _read_raw_app1(image, EXIF_PREFIX)
    content = re.sub(b"^(Exif\0\0){1,2}", b"", content or b"")
    if content and content[:4] not in TIFF_MAGICS:
        raise DamagedError("is damaged")
    return content


def _first_exif(image: Image.Image) -> bytes | None:
    """EXIF as Pillow reports it; of several blocks in a JPEG, which it joins, the first."""
    blocks = [block for _, block in getattr(image, "applist", []) if block.startswith(EXIF_PREFIX)]
    if any(block[len(EXIF_PREFIX) :].startswith(tuple(TIFF_MAGICS)) for block in blocks[1:]):
        return bytes(blocks[0])
    return image.info.get("exif")


def _read_xmp(image: Image.Image) -> bytes | None:
    segments = getattr(image, "applist", [])
    if any(content.startswith(_EXTENDED_XMP) for _, content in segments):
        raise DamagedError("is spread over several segments, which this version cannot keep")
    content = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(content, str):
        content = content.encode()
    return content or _read_raw_profile(image, "xmp") or _read_raw_app1(image, _APP1_XMP)


def _read_raw_app1(image: Image.Image, prefix: bytes) -> bytes | None:
    """An APP1 segment of JPEG that ImageMagick has kept in a text chunk of PNG."""
    content = _read_raw_profile(image, "APP1")
    return content[len(prefix) :] if content and content.startswith(prefix) else None


def _read_raw_profile(image: Image.Image, *names: str) -> bytes | None:
    """Metadata that ImageMagick wrote to a text chunk of PNG: a name, a length, hexadecimal digits."""
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


def _build_tiff_exif(image: Image.Image) -> bytes | None:
    """An EXIF block of those tags of a TIFF file that describe the picture; None where it has none.

    As Pillow knows them: of an image of the caller's, or a file that is damaged. `tiff_exif` copies the bytes.
    """
    tags = image.getexif()
    descriptive = [tag for tag in DESCRIPTIVE_TAGS if tag in tags]
    if not descriptive:
        return None
    block = Image.Exif()
    block.endian = tags.endian
    try:
        for tag in (*descriptive, *(tag for tag in RESOLUTION_TAGS if tag in tags)):
            nested = tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
            block[tag] = _copy_directory(tags, tag) if nested else _as_bytes(tags[tag])
        return block.tobytes()[len(EXIF_PREFIX) :]
    except Exception as error:
        # Pillow raises exceptions of any type on damaged tags.
        raise DamagedError(f"cannot be copied: {error}") from None


def _as_bytes(value: object) -> object:
    """A text in the bytes that it had: Pillow reads Latin-1, and would write ASCII."""
    return value.encode("latin-1", "replace") if isinstance(value, str) else value


def _copy_directory(tags: Image.Exif, tag: int) -> dict[int, object]:
    """A nested directory, and within it the one on interoperability in place of a pointer to it."""
    directory: dict[int, object] = dict(tags.get_ifd(tag))
    if ExifTags.IFD.Interop in directory:
        directory[ExifTags.IFD.Interop] = dict(tags.get_ifd(ExifTags.IFD.Interop))
    return directory
