"""Keeping XMP true: promises of layers that a picture cannot have, and words on samples that have changed.

A packet in which nothing is untrue is kept byte for byte; in others, only the properties in question are cut
out or written anew, by the places at which expat finds them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from vrcodec.picture.intake.pixel_change import PixelChange

# Namespaces, and the prefixes by which their specifications name them.
_PREFIXES = {
    "http://ns.adobe.com/hdr-gain-map/1.0/": "hdrgm",
    "http://ns.apple.com/HDRGainMap/1.0/": "HDRGainMap",
    "http://ns.google.com/photos/1.0/container/": "Container",
    "http://ns.google.com/photos/1.0/container/item/": "Item",
    "http://ns.google.com/photos/1.0/camera/": "GCamera",
    "http://ns.oplus.com/photos/1.0/camera/": "OpCamera",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://www.metadataworkinggroup.com/schemas/regions/": "mwg-rs",
    "http://ns.microsoft.com/photo/1.2/": "MP",
}
# What is cut out, by the start of a name: gain maps, the video of a motion photo, and the list of such parts.
_PROMISES = (
    *("hdrgm:", "HDRGainMap:", "Container:", "Item:"),
    *("GCamera:MotionPhoto", "GCamera:MicroVideo", "OpCamera:MotionPhoto", "OpCamera:VideoLength"),
)
_THUMBNAILS = ("xmp:Thumbnails",)
_PLACES = ("mwg-rs:Regions", "MP:RegionInfo", "exif:SubjectArea", "exif:SubjectLocation")
_COLOURS = (
    *("tiff:TransferFunction", "tiff:WhitePoint", "tiff:PrimaryChromaticities", "exifEX:Gamma"),
)

_START_TAG = re.compile(rb"""<[^\s/>]+(?:\s+[^\s=>]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*/?>""")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=>]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_END_TAG = re.compile(rb"</[^>]*>")
_DECLARATION = "xmlns:"
# How much white space in front of an element goes with it.
_INDENT_BYTES = 64


def update_xmp(xmp: bytes, change: PixelChange) -> tuple[bytes | None, list[str]]:
    """The packet without what is untrue after ``change``, and what was done to it, in words.

    None where it says such things in a way that cannot be edited.
    """
    unwanted: tuple[str, ...] = _PROMISES
    replaced: dict[str, object] = {}
    if change.looks_other:
        unwanted += _THUMBNAILS
    if change.moved:
        unwanted += _PLACES
        replaced |= dict.fromkeys(("tiff:ImageWidth", "exif:PixelXDimension"), change.width)
        replaced |= dict.fromkeys(("tiff:ImageLength", "exif:PixelYDimension"), change.height)
    if change.to_srgb:
        unwanted += _COLOURS
        replaced |= {"exif:ColorSpace": 1, "photoshop:ICCProfile": "sRGB IEC61966-2.1"}
    texts = {name: str(value).encode() for name, value in replaced.items()}
    try:
        edited, done = _edit(xmp, unwanted, texts)
        # Once more, as a check.
        if not done or not _edit(edited, unwanted, texts)[1]:
            return edited, done
    except (expat.ExpatError, _UneditableError, UnicodeError):
        if not _mentions(xmp, (*unwanted, *texts)):
            return xmp, []
    return None, []


class _UneditableError(Exception):
    """The packet has declarations or an encoding by which places in it mean something else."""


def _mentions(xmp: bytes, names: tuple[str, ...]) -> bool:
    """Whether a packet that cannot be read has any of these names, under whatever prefix, in any encoding."""
    plain = xmp.replace(b"\0", b"")
    return any((name.partition(":")[2] or name).encode() in plain for name in names)


def _edit(
    xmp: bytes, unwanted: tuple[str, ...], texts: Mapping[str, bytes]
) -> tuple[bytes, list[str]]:
    """Raises ExpatError or _UneditableError."""
    finder = _Finder(xmp, unwanted, texts)
    finder.run()
    pieces, position = [], 0
    for start, end, text in sorted(finder.edits):
        pieces += [xmp[position:start], text]
        position = end
    return b"".join((*pieces, xmp[position:])), list(dict.fromkeys(finder.done))


@dataclass
class _Element:
    """An element that is open. ``start`` and ``tag_end``: of its start tag."""

    name: str
    start: int
    tag_end: int
    prefixes: Mapping[str, str]
    empty: bool


@dataclass
class _Finder:
    """Finds what is to be changed. ``edits``: start, end and new text; they do not overlap."""

    xmp: bytes
    unwanted: tuple[str, ...]
    texts: Mapping[str, bytes]
    edits: list[tuple[int, int, bytes]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    open_elements: list[_Element] = field(default_factory=list)
    # The outermost element that is being cut out.
    cut: _Element | None = None
    parser: expat.XMLParserType = field(default_factory=expat.ParserCreate)

    def run(self) -> None:
        """Fill ``edits`` and ``done``."""
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.Parse(self.xmp.rstrip(b"\0"), True)

    def _refuse(self, *_: object) -> None:
        raise _UneditableError

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        tag = _START_TAG.match(self.xmp, self.parser.CurrentByteIndex)
        if tag is None:
            # Not in UTF-8.
            raise _UneditableError
        outer = self.open_elements[-1].prefixes if self.open_elements else {}
        declared = {
            key.removeprefix(_DECLARATION): value
            for key, value in attributes.items()
            if key.startswith(_DECLARATION)
        }
        prefixes = {**outer, **declared}
        full_name = _full_name(name, prefixes)
        element = _Element(full_name, tag.start(), tag.end(), prefixes, tag[0].endswith(b"/>"))
        self.open_elements.append(element)
        if self.cut:
            return
        if full_name.startswith(self.unwanted):
            self.cut = element
            return
        for attribute in _ATTRIBUTE.finditer(self.xmp, tag.start(), tag.end()):
            self._change_attribute(attribute, prefixes)

    def _change_attribute(self, attribute: re.Match[bytes], prefixes: Mapping[str, str]) -> None:
        raw_name = attribute[1].decode()
        name, value_group = _full_name(raw_name, prefixes), 2 if attribute[2] is not None else 3
        namespace = prefixes.get(raw_name.removeprefix(_DECLARATION), "")
        if raw_name.startswith(_DECLARATION):
            # Of a namespace that goes as a whole, the declaration goes, too.
            if f"{_PREFIXES.get(namespace)}:" in self.unwanted:
                self.edits.append((*attribute.span(), b""))
        elif name.startswith(self.unwanted):
            self._note(f"{name} removed", attribute.span(), b"")
        elif self.texts.get(name, attribute[value_group]) != attribute[value_group]:
            self._note(f"{name} set", attribute.span(value_group), self.texts[name])

    def _end(self, _: str) -> None:
        element, end = self.open_elements.pop(), self.parser.CurrentByteIndex
        if element is self.cut:
            self.cut = None
            closing = None if element.empty else _END_TAG.match(self.xmp, end)
            before = self.xmp[max(0, element.start - _INDENT_BYTES) : element.start]
            start = element.start - len(before) + len(before.rstrip())
            span = (start, closing.end() if closing else element.tag_end)
            self._note(f"{element.name} removed", span, b"")
        elif self.cut is None and element.name in self.texts and not element.empty:
            text, span = self.texts[element.name], (element.tag_end, end)
            if b"<" in self.xmp[slice(*span)]:
                raise _UneditableError
            if self.xmp[slice(*span)] != text:
                self._note(f"{element.name} set", span, text)

    def _note(self, what: str, span: tuple[int, int], text: bytes) -> None:
        self.edits.append((*span, text))
        self.done.append(what)


def _full_name(name: str, prefixes: Mapping[str, str]) -> str:
    """A name with the prefix that its namespace usually has; as it is where its own is declared nowhere."""
    prefix, colon, local = name.partition(":")
    known = _PREFIXES.get(prefixes[prefix], "?") if prefix in prefixes else prefix
    return f"{known}{colon}{local}"
