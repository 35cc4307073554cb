"""The header of a JPEG XL file (ISO/IEC 18181-1 and -2): size, depth, channels, colours.

The package that decodes tells none of this before it has decoded, and some of it not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from vrcodec.picture.intake.boxes import read_boxes
from vrcodec.picture.intake.file_kind import JXL_CODESTREAM

# The header stands at the start of the codestream.
_HEADER_BYTES = 1 << 16

# Numbers are coded in one of four ways: an offset, and bits to add to it.
_Choices = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]
_SIDE: _Choices = ((1, 9), (1, 13), (1, 18), (1, 30))
_PREVIEW_SIDE: _Choices = ((1, 6), (65, 8), (321, 10), (1345, 12))
_PREVIEW_EIGHTHS: _Choices = ((16, 0), (32, 0), (1, 5), (33, 9))
_INTEGER_BITS: _Choices = ((8, 0), (10, 0), (12, 0), (1, 6))
_FLOAT_BITS: _Choices = ((32, 0), (16, 0), (24, 0), (1, 6))
_CHANNELS: _Choices = ((0, 0), (1, 0), (2, 4), (1, 12))
_ENUM: _Choices = ((0, 0), (1, 0), (2, 4), (18, 6))
_SHIFT: _Choices = ((0, 0), (3, 0), (4, 0), (1, 3))
_NAME_LENGTH: _Choices = ((0, 0), (0, 4), (16, 5), (48, 10))
_FILTER_COLOUR: _Choices = ((1, 0), (0, 2), (3, 4), (19, 8))
_CHROMATICITY: _Choices = ((0, 19), (1 << 19, 19), (1 << 20, 20), (1 << 21, 21))
# Width by height of the ratios 1 .. 7.
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))

_ALPHA, _SPOT_COLOUR, _FILTER_ARRAY = 0, 2, 5
_GREY, _XYB = 1, 2
_CUSTOM = 2
_D65, _SRGB_PRIMARIES, _SRGB_TRANSFER = 1, 1, 13


@dataclass(frozen=True)
class JxlHeader:
    """``width``, ``height``: as they are stored, before the picture is turned.

    ``depth``: bits a sample. ``channels``: the types of those beside the colours. ``cicp``: primaries and
    transfer of ITU-T H.273, None where the file has an ICC profile, or a curve and primaries of its own.
    """

    width: int
    height: int
    depth: int = 8
    floating: bool = False
    animated: bool = False
    channels: tuple[int, ...] = ()
    premultiplied: bool = False
    grey: bool = False
    cicp: tuple[int, int] | None = None

    @property
    def is_srgb(self) -> bool:
        """Whether the colours are said to be those of sRGB."""
        return self.cicp == (_SRGB_PRIMARIES, _SRGB_TRANSFER)


def read_jxl_header(data: bytes) -> JxlHeader:
    """The header of a file, of which ``data`` are the first bytes. Raises ValueError where it is damaged."""
    bits = _BitReader(_codestream_start(data))
    if bits.read(16) != int.from_bytes(JXL_CODESTREAM, "little"):
        raise ValueError("no codestream")
    width, height = _read_size(bits)
    if bits.flag():
        # All as by default.
        return JxlHeader(width, height, cicp=(_SRGB_PRIMARIES, _SRGB_TRANSFER))
    if bits.flag() and _read_extra_fields(bits):
        return JxlHeader(width, height, animated=True)
    floating, depth = _read_depth(bits)
    # Whether buffers of 16 bits suffice.
    bits.flag()
    channels = [_read_channel(bits) for _ in range(bits.number(_CHANNELS))]
    # Whether colours are coded as XYB.
    bits.flag()
    grey, cicp = _read_colours(bits)
    return JxlHeader(
        width,
        height,
        depth,
        floating,
        channels=tuple(kind for kind, _ in channels),
        premultiplied=any(premultiplied for _, premultiplied in channels),
        grey=grey,
        cicp=cicp,
    )


def _codestream_start(data: bytes) -> bytes:
    """The first bytes of the codestream, which a container may have cut in parts."""
    if data.startswith(JXL_CODESTREAM):
        return data[:_HEADER_BYTES]
    start = b""
    for box_type, content in read_boxes(data):
        if box_type == b"jxlc":
            return content[:_HEADER_BYTES]
        if box_type == b"jxlp":
            # Behind the number of the part.
            start += content[4:_HEADER_BYTES]
    return start[:_HEADER_BYTES]


class _BitReader:
    """Bits of ``data``, the lowest of each byte first. Raises ValueError behind the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def read(self, count: int) -> int:
        """The number in the next ``count`` bits."""
        start, end = self._position, self._position + count
        if end > 8 * len(self._data):
            raise ValueError("the header ends early")
        self._position = end
        covering = int.from_bytes(self._data[start // 8 : (end + 7) // 8], "little")
        return (covering >> start % 8) & ((1 << count) - 1)

    def flag(self) -> bool:
        return bool(self.read(1))

    def number(self, choices: _Choices) -> int:
        offset, count = choices[self.read(2)]
        return offset + self.read(count)


def _read_size(bits: _BitReader) -> tuple[int, int]:
    """Width and height."""
    in_eighths = bits.flag()

    def side() -> int:
        return 8 * (1 + bits.read(5)) if in_eighths else bits.number(_SIDE)

    height = side()
    return _read_width(bits, height) or side(), height


def _read_width(bits: _BitReader, height: int) -> int:
    """The width where it is told by its ratio to the height, else 0."""
    ratio = bits.read(3)
    if not ratio:
        return 0
    across, down = _RATIOS[ratio - 1]
    return height * across // down


def _read_extra_fields(bits: _BitReader) -> bool:
    """Skip orientation, size on display and the size of a preview; whether there is an animation."""
    bits.read(3)
    if bits.flag():
        _read_size(bits)
    if bits.flag():
        choices = _PREVIEW_EIGHTHS if bits.flag() else _PREVIEW_SIDE
        height = bits.number(choices)
        if not _read_width(bits, height):
            bits.number(choices)
    return bits.flag()


def _read_depth(bits: _BitReader) -> tuple[bool, int]:
    """Whether samples are floating-point numbers, and their bits."""
    floating = bits.flag()
    depth = bits.number(_FLOAT_BITS if floating else _INTEGER_BITS)
    if floating:
        # Bits of the exponent.
        bits.read(4)
    return floating, depth


def _read_channel(bits: _BitReader) -> tuple[int, bool]:
    """The type of a channel beside the colours, and whether colours are multiplied by it."""
    if bits.flag():
        return _ALPHA, False
    kind = bits.number(_ENUM)
    _read_depth(bits)
    bits.number(_SHIFT)
    for _ in range(bits.number(_NAME_LENGTH)):
        bits.read(8)
    if kind == _SPOT_COLOUR:
        bits.read(64)
    if kind == _FILTER_ARRAY:
        bits.number(_FILTER_COLOUR)
    return kind, kind == _ALPHA and bits.flag()


def _read_colours(bits: _BitReader) -> tuple[bool, tuple[int, int] | None]:
    """Whether the picture is grey, and the code points of its colours."""
    if bits.flag():
        return False, (_SRGB_PRIMARIES, _SRGB_TRANSFER)
    has_icc = bits.flag()
    space = bits.number(_ENUM)
    grey = space == _GREY
    if has_icc or space == _XYB:
        return grey, None
    white = bits.number(_ENUM)
    if white == _CUSTOM:
        _skip_chromaticities(bits, 1)
    # Grey has a white, and no other primaries.
    primaries = _SRGB_PRIMARIES if grey else bits.number(_ENUM)
    if primaries == _CUSTOM and not grey:
        _skip_chromaticities(bits, 3)
    if bits.flag():
        # A gamma.
        return grey, None
    transfer = bits.number(_ENUM)
    if white != _D65 and transfer == _SRGB_TRANSFER:
        return grey, None
    return grey, (primaries, transfer)


def _skip_chromaticities(bits: _BitReader, count: int) -> None:
    for _ in range(2 * count):
        bits.number(_CHROMATICITY)
