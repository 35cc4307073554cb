"""What a file says, beside its symbols, of how its latents were made: the rate, and what may go with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from construct import FormatField

from vrcodec.bitstream import schema
from vrcodec.bitstream.container import Chunk, Container
from vrcodec.errors import CorruptError
from vrcodec.rate import BIN_CODE_MAX, DEFAULT_RATE, RATE_CODE_MAX, code_from_rate

if TYPE_CHECKING:
    from vrcodec.bitstream.quality_map import QualityMap


@dataclass(frozen=True)
class Setting:
    """``rate_code``: of r. ``bin_code``: of a quantisation step in place of the rate's own.

    ``qmap``: the shape of a quality map, whose level is the rate. ``width``: channels of the networks in
    place of the rate's own.
    """

    rate_code: int
    bin_code: int | None = None
    qmap: QualityMap | None = None
    width: int | None = None

    @staticmethod
    def at(rate: float | None, qmap: QualityMap | None = None, width: int | None = None) -> Setting:
        """At ``rate``; by default the map's own level, or without a map 1/2. Raises UsageError."""
        usual = DEFAULT_RATE if qmap is None else qmap.level
        return Setting(code_from_rate(usual if rate is None else rate), qmap=qmap, width=width)

    @property
    def varies(self) -> bool:
        """Whether there is a map whose levels differ: at the ends of the rate all are cut off alike."""
        inside = 0 < self.rate_code < RATE_CODE_MAX
        return inside and self.qmap is not None and not self.qmap.uniform

    def chunks(self) -> list[Chunk]:
        """What stands in the file beside the header."""
        found = []
        if self.bin_code is not None:
            found.append(Chunk(schema.CHUNK_BIN_SIZE, schema.BinSize.build(self.bin_code)))
        if self.width is not None:
            found.append(Chunk(schema.CHUNK_WIDTH, schema.Width.build(self.width)))
        if self.qmap is not None and self.varies:
            from vrcodec.bitstream.quality_map import build_map

            found.append(Chunk(schema.CHUNK_QMAP, build_map(self.qmap)))
        return found


def setting_of(container: Container) -> Setting:
    """Inverse of `Setting.chunks`. Raises CorruptError for what is damaged or not for this method."""
    for chunk in container.chunks:
        method = schema.CHUNK_METHODS.get(chunk.type, container.header.method)
        if method != container.header.method:
            raise CorruptError(f"damaged: its model has no use for a chunk of type {chunk.type}")
    width = _number(container, schema.CHUNK_WIDTH, schema.Width, "width")
    return Setting(container.header.rate_code, _bin_code(container), _qmap(container), width)


def _bin_code(container: Container) -> int | None:
    code = _number(container, schema.CHUNK_BIN_SIZE, schema.BinSize, "bin size")
    if code is not None and abs(code) > BIN_CODE_MAX:
        raise CorruptError("damaged: the bin size is outside its range")
    return code


def _number(container: Container, chunk_type: int, layout: FormatField, what: str) -> int | None:
    """The number that a chunk of a type consists of, if there is such a chunk."""
    payload = container.only(chunk_type, what)
    if payload is None:
        return None
    if len(payload) != layout.sizeof():
        raise CorruptError(f"damaged: the {what} is not one number")
    number: int = layout.parse(payload)
    return number


def _qmap(container: Container) -> QualityMap | None:
    payload = container.only(schema.CHUNK_QMAP, "quality map")
    if payload is None:
        return None
    # numpy takes longer to load than all the rest.
    from vrcodec.bitstream.quality_map import parse_map

    return parse_map(payload, container.header.width, container.header.height)
