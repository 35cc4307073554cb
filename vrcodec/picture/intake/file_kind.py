"""What a file is, told by its first bytes, whatever its name.

Formats that packages outside Pillow read, and signatures of what is taken for a readable picture and is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from vrcodec import extras
from vrcodec.errors import InputError

_START_BYTES = 4096
_CONVERT = "convert it to PNG first"
_UNPACK = "unpack it first"
_FRAME = "save the frame that you want as PNG first"
_DEVELOP = "develop it to PNG or TIFF first"

JXL_CODESTREAM = b"\xff\x0a"
JXL_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"

# Brands of the ftyp box (ISO/IEC 23008-12). Pillow reads what has one of AVIF.
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_CANON_RAW_BRAND = b"crx "


@dataclass(frozen=True)
class ExtraFormat:
    """A format that ``module`` reads, which ``extra`` of this package installs. ``what``: its name."""

    what: str
    module: str
    extra: str
    suffixes: frozenset[str]


HEIF = ExtraFormat("HEIC", "pillow_heif", "heif", frozenset({".heic", ".heif", ".hif"}))
JXL = ExtraFormat("JPEG XL", "pillow_jxl", "jxl", frozenset({".jxl"}))
EXTRA_FORMATS = (HEIF, JXL)


@dataclass(frozen=True)
class _Unreadable:
    """``what`` has ``magic`` at ``offset``; ``advice``: what to do with such a file."""

    magic: bytes
    what: str
    advice: str = _CONVERT
    offset: int = 0


_UNREADABLE = (
    _Unreadable(b"\x8dVRC\r\n", "is a .vrc file already", "decode it first"),
    _Unreadable(b"\0\0\0\x0cjP  \r\n\x87\n", "is a JPEG 2000 picture"),
    _Unreadable(b"\xff\x4f\xff\x51", "is a JPEG 2000 codestream"),
    _Unreadable(b"II\xbc\x01", "is a JPEG XR picture"),
    _Unreadable(b"\x76\x2f\x31\x01", "is an OpenEXR picture"),
    _Unreadable(b"#?RADIANCE", "is a Radiance HDR picture"),
    _Unreadable(b"#?RGBE", "is a Radiance HDR picture"),
    _Unreadable(b"8BPS", "is a Photoshop document"),
    _Unreadable(b"gimp xcf", "is a GIMP document"),
    _Unreadable(b"DDS ", "is a DirectDraw surface"),
    _Unreadable(b"qoif", "is a QOI picture"),
    _Unreadable(b"BPG\xfb", "is a BPG picture"),
    _Unreadable(b"FLIF", "is a FLIF picture"),
    _Unreadable(b"P7\n", "is a PAM picture"),
    _Unreadable(b"SIMPLE  =", "is a FITS picture"),
    _Unreadable(b"DICM", "is a DICOM file", offset=128),
    _Unreadable(b"AT&TFORM", "is a DjVu document"),
    _Unreadable(b"\0\0\1\0", "is a Windows icon"),
    _Unreadable(b"icns", "is an icon of macOS"),
    _Unreadable(b"%PDF", "is a PDF document", "convert its pages to PNG first"),
    _Unreadable(b"%!PS", "is a PostScript document"),
    # Pillow takes it for a TIFF, and reads a preview.
    _Unreadable(b"II*\0\x10\0\0\0CR", "is a camera raw picture (CR2)", _DEVELOP),
    _Unreadable(b"FUJIFILMCCD-RAW", "is a camera raw picture (RAF)", _DEVELOP),
    _Unreadable(b"IIRO", "is a camera raw picture (ORF)", _DEVELOP),
    _Unreadable(b"IIRS", "is a camera raw picture (ORF)", _DEVELOP),
    _Unreadable(b"IIU\0", "is a camera raw picture (RW2)", _DEVELOP),
    _Unreadable(b"FOVb", "is a camera raw picture (X3F)", _DEVELOP),
    _Unreadable(b"\x1a\x45\xdf\xa3", "is a video", _FRAME),
    _Unreadable(b"AVI ", "is a video", _FRAME, offset=8),
    _Unreadable(b"\x1f\x8b", "is gzip-compressed", _UNPACK),
    _Unreadable(b"BZh", "is bzip2-compressed", _UNPACK),
    _Unreadable(b"\xfd7zXZ\0", "is xz-compressed", _UNPACK),
    _Unreadable(b"\x28\xb5\x2f\xfd", "is Zstandard-compressed", _UNPACK),
    _Unreadable(b"PK\3\4", "is a ZIP archive", _UNPACK),
    _Unreadable(b"7z\xbc\xaf\x27\x1c", "is a 7z archive", _UNPACK),
    _Unreadable(b"Rar!", "is a RAR archive", _UNPACK),
    _Unreadable(b"ustar", "is a tar archive", _UNPACK, offset=257),
    _Unreadable(b"\x93NUMPY", "is a NumPy array", "encode it from Python, or convert it to PNG"),
    _Unreadable(b"\0\5\x16\7", "is an AppleDouble file", "name the picture beside it"),
    _Unreadable(
        b"version https://git-lfs", "is a Git LFS pointer", "fetch the file with git lfs pull"
    ),
)


def find_extra_format(source: BinaryIO, name: str) -> ExtraFormat | None:
    """Which of `EXTRA_FORMATS` a file has, whose package is there; None for what Pillow may read.

    The position is left as it was. Raises InputError for a format whose package is missing, and for what is
    known and cannot be read.
    """
    position = source.tell()
    source.seek(0)
    start = source.read(_START_BYTES)
    source.seek(position)
    if not start:
        raise InputError(f"{name}: is empty")
    found = _extra_format(start)
    if found is None:
        _refuse_unreadable(start, name)
    elif not extras.is_installed(found.module):
        needs = extras.missing(found.module, found.extra, f"is a {found.what} picture, which")
        raise InputError(f"{name}: {needs}, or convert it to PNG first")
    return found


def _extra_format(start: bytes) -> ExtraFormat | None:
    if start.startswith((JXL_CODESTREAM, JXL_CONTAINER)):
        return JXL
    brands = _brands(start)
    return HEIF if brands & _HEIF_BRANDS and not brands & _AVIF_BRANDS else None


def _brands(start: bytes) -> frozenset[bytes]:
    """The brands of a file with an ftyp box, the main one and those that it is compatible with."""
    if start[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(start[:4], "big"), len(start))
    return frozenset({start[8:12], *(start[at : at + 4] for at in range(16, end, 4))})


def _refuse_unreadable(start: bytes, name: str) -> None:
    """Raise InputError for what is known, and cannot be read."""
    for kind in _UNREADABLE:
        if start.startswith(kind.magic, kind.offset):
            raise InputError(f"{name}: {kind.what}; {kind.advice}")
    brands = _brands(start)
    if _CANON_RAW_BRAND in brands:
        raise InputError(f"{name}: is a camera raw picture (CR3); {_DEVELOP}")
    if brands and not brands & _AVIF_BRANDS:
        raise InputError(f"{name}: is a video; {_FRAME}")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        raise InputError(f"{name}: is a web page, no picture; look at it, if it was downloaded")
    if text.startswith(b"<") and b"<svg" in text:
        raise InputError(f"{name}: is an SVG drawing; {_CONVERT}")
