"""The snippet share/file/magic/vrcodec, by which file(1) knows .vrc files: version, size, mode and model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from vrcodec.bitstream import schema
from vrcodec.pillow_plugin import EXTENSION, MIME_TYPE

# Offsets of the header (docs/FORMAT.md).
_MAJOR, _MINOR = len(schema.MAGIC), len(schema.MAGIC) + 1
_METHOD = _MINOR + 2
_WIDTH = _METHOD + 9
_MODES = {schema.MODE_GREY: "grey", schema.MODE_RGB: "RGB", schema.MODE_BILEVEL: "bilevel"}
_METHODS = {schema.METHOD_LOSSLESS: schema.LOSSLESS, **schema.METHODS}


def build_magic() -> str:
    """The whole snippet."""
    lines = [
        "# vrcodec: learned image compression. Widths and heights are shown up to 16383.",
        _line(0, 0, "string", _quote(schema.MAGIC), "vrcodec picture"),
        f"!:mime\t{MIME_TYPE}",
        f"!:ext\t{EXTENSION.removeprefix('.')}",
        _line(1, _MAJOR, "ubyte", "x", r"\b, version %u"),
        _line(1, _MINOR, "ubyte", "x", r"\b.%u"),
        *_size_lines(),
        *(_line(1, _METHOD, "ubyte", str(n), rf"\b, {name}") for n, name in _METHODS.items()),
        *_varint_lines(),
    ]
    return "\n".join(lines) + "\n"


def _line(level: int, offset: int, kind: str, test: str, text: str = "") -> str:
    return "\t".join([">" * level + str(offset), kind, test, text]).rstrip()


def _quote(data: bytes) -> str:
    return "".join(chr(byte) if 32 < byte < 127 else rf"\x{byte:02x}" for byte in data)


def _size_lines() -> Iterator[str]:
    """Width, height and mode: their offsets depend on the bytes that the varints before them take."""
    for width_bytes, height_bytes in product((1, 2), repeat=2):
        height = _WIDTH + width_bytes
        mode = height + height_bytes
        level = 1
        for offset, size in ((_WIDTH, width_bytes), (height, height_bytes)):
            # The top bit: more bytes follow.
            if size == 2:
                yield _line(level, offset, "ubyte", ">0x7f")
                level += 1
            yield _line(level, offset + size - 1, "ubyte", "<0x80")
            level += 1
        yield _line(level, _WIDTH, "ubyte", "x", r"\b,")
        yield _line(level, _WIDTH, "use", "vrc-number")
        yield _line(level, height, "ubyte", "x", "x")
        yield _line(level, height, "use", "vrc-number")
        yield from (
            _line(level, mode, "ubyte", str(n), rf"\b, {name}") for n, name in _MODES.items()
        )


def _varint_lines() -> Iterator[str]:
    """The named test of a varint of one byte or two: a line for each second byte, as file(1) can subtract
    only a constant from what it shows.
    """
    yield _line(0, 0, "name", "vrc-number")
    yield _line(1, 0, "ubyte", "<0x80", "%u")
    yield _line(1, 0, "ubyte", ">0x7f")
    for high in range(1, 128):
        yield _line(2, 1, "ubyte", str(high))
        # (low + 128) + 256 high, as 16 bits, is to become low + 128 high.
        yield _line(3, 0, f"uleshort-{128 + 128 * high}", "x", "%u")


if __name__ == "__main__":
    print(build_magic(), end="")
