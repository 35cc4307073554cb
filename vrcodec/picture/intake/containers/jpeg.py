"""JPEG: further pictures, gain maps, videos and signatures in or behind it."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image

from vrcodec.picture.intake.containers.contents import (
    C2PA,
    FileContents,
    Part,
    describe_rest,
    read_at,
    skip_padding,
)
from vrcodec.picture.intake.exif_block import TIFF_MAGICS, ExifBlock
from vrcodec.picture.metadata import EXIF_PREFIX

_START = b"\xff\xd8\xff"
# Among entropy-coded samples, neither a stuffed zero nor a restart is one.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_END_OF_IMAGE = 0xD9
# Markers without a length.
_BARE = (0x01, 0xD8)
_APP1, _APP2, _APP11 = 0xE1, 0xE2, 0xEB

_MULTI_PICTURE, _C2PA_LABEL = b"MPF\0", b"c2pa"
_MP_ENTRIES = 0xB002
_MP_ENTRY = "III4x"
# Kinds of pictures in a multi-picture index (CIPA DC-007), the lower 24 bits of their attributes.
_PREVIEW, _GAIN_MAP, _LAYER = "preview", "gain map", "depth map or another layer"
_MP_KINDS = {0x010001: _PREVIEW, 0x010002: _PREVIEW, 0x050000: _GAIN_MAP}
# What makes a picture a gain map (Adobe, ISO 21496-1, Apple), or another layer of Apple's.
_GAIN_MAP_SIGNS = (b"hdrgm:", b"urn:iso:std:iso:ts:21496:-1", b"hdrgainmap", b"HDRGainMap")
_LAYER_SIGN = b"urn:com:apple:photo:"
# What Google's directory in the first picture calls those behind it.
_DIRECTORY = b"Container:Directory"
_SEMANTIC = re.compile(rb"""Item:Semantic\s*=\s*["'](\w+)""")
_SEMANTIC_KINDS = {b"GainMap": _GAIN_MAP, b"Primary": None}


@dataclass(frozen=True)
class _Segment:
    """``position``: of the content in the file."""

    marker: int
    position: int
    content: bytes


@dataclass(frozen=True)
class _Coded:
    """A coded picture in the file: its segments and its end."""

    segments: tuple[_Segment, ...]
    end: int

    @property
    def words(self) -> bytes:
        """The contents of the segments of applications."""
        return b"".join(s.content for s in self.segments if 0xE0 <= s.marker <= 0xEF)

    def index(self) -> dict[int, int]:
        """Position in the file -> kind, of those behind it that a multi-picture index names."""
        for segment in self.segments:
            if segment.marker == _APP2 and segment.content.startswith(_MULTI_PICTURE):
                block = ExifBlock(segment.content[len(_MULTI_PICTURE) :])
                entry = block.find(block.main, _MP_ENTRIES)
                base = segment.position + len(_MULTI_PICTURE)
                content = block.values(entry) if entry else b""
                entries = struct.iter_unpack(block.order + _MP_ENTRY, content[: len(content) & ~15])
                return {base + offset: kind & 0xFFFFFF for kind, _, offset in entries if offset}
        return {}


def read_jpeg(image: Image.Image, source: BinaryIO) -> FileContents:
    """What a JPEG file, or one of several (MPO), holds beside the samples of its first picture."""
    data = read_at(source, 0)
    owner = _walk(data, 0)
    parts: list[Part] = [(0, owner.end)]
    left_out = _left_out_segments(owner)
    index, number, end, copies = owner.index(), 0, owner.end, []
    while (start := _next_picture(source, data, end, index)) is not None:
        left_out += describe_rest(source, end, start)
        further, number = _walk(data, start), number + 1
        kind = _layer_kind(owner, further, index.get(start), number)
        if kind is None:
            owner, index, number = further, further.index() or index, 0
            parts.append((start, further.end))
        elif kind == _PREVIEW:
            copies.append("a preview")
        else:
            left_out.append(f"the {kind}")
        end = further.end
    left_out += describe_rest(source, end)
    return FileContents(tuple(parts), left_out=tuple(left_out), copies=tuple(copies), page=0)


def _walk(data: bytes, start: int) -> _Coded:
    """The picture that begins at ``start``."""
    segments: list[_Segment] = []
    position = start + 2
    while (match := _MARKER.search(data, position)) is not None:
        marker, position = match[1][0], match.end()
        if marker == _END_OF_IMAGE:
            return _Coded(tuple(segments), position)
        if marker not in _BARE:
            length = int.from_bytes(data[position : position + 2], "big")
            content = data[position + 2 : position + length]
            segments.append(_Segment(marker, position + 2, content))
            position += length
    return _Coded(tuple(segments), len(data))


def _next_picture(source: BinaryIO, data: bytes, end: int, index: dict[int, int]) -> int | None:
    """Where the next picture begins: at ``end``, or further on where the index names it."""
    positions = [skip_padding(source, end), *sorted(index)]
    return next((p for p in positions if p >= end and data.startswith(_START, p)), None)


def _layer_kind(owner: _Coded, further: _Coded, mp_kind: int | None, number: int) -> str | None:
    """What kind of layer a picture is of the one before; None where it is a picture by itself.

    ``mp_kind``: in the index. ``number``: from 1, of those behind ``owner``.
    """
    if further.index() or _DIRECTORY in further.words:
        return None
    if mp_kind in _MP_KINDS:
        return _MP_KINDS[mp_kind]
    if any(sign in further.words for sign in _GAIN_MAP_SIGNS):
        return _GAIN_MAP
    if _LAYER_SIGN in further.words:
        return _LAYER
    semantics = _SEMANTIC.findall(owner.words)
    if number < len(semantics):
        return _SEMANTIC_KINDS.get(semantics[number], _LAYER)
    return _GAIN_MAP if b"hdrgm:" in owner.words else None


def _left_out_segments(picture: _Coded) -> list[str]:
    left_out = []
    extensions = [s.content for s in picture.segments if s.marker == _APP11]
    if any(_C2PA_LABEL in content for content in extensions):
        left_out.append(C2PA)
    elif extensions:
        left_out.append("the APP11 segments (JUMBF, or a layer of high dynamic range)")
    # Later segments may also go on where the first ends.
    starts = tuple(EXIF_PREFIX + magic for magic in TIFF_MAGICS)
    if sum(s.marker == _APP1 and s.content.startswith(starts) for s in picture.segments) > 1:
        left_out.append("a second block of EXIF")
    return left_out
