"""The rate setting of a file: its rate code, and the bin size, quality map or width that may go with it."""

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
class RateSetting:
    """How a picture is coded. ``rate_code``: 16-bit code of the rate r.

    ``bin_code``: code of a quantisation step in place of the rate's own. ``qmap``: a quality map, moved so
    that its mean is the rate. ``width``: channels of the networks in place of the rate's own. ``max_width``: so
    many at most; in no file, as the encoder makes a width of it where the rate's own is wider.
    """

    rate_code: int
    bin_code: int | None = None
    qmap: QualityMap | None = None
    width: int | None = None
    max_width: int | None = None

    @staticmethod
    def from_rate(
        rate: float | None,
        qmap: QualityMap | None = None,
        width: int | None = None,
        max_width: int | None = None,
    ) -> RateSetting:
        """At ``rate``; by default the map's mean level, or without a map 1/2. Raises UsageError."""
        default = DEFAULT_RATE if qmap is None else qmap.mean_level
        code = code_from_rate(default if rate is None else rate)
        return RateSetting(code, qmap=qmap, width=width, max_width=max_width)

    @property
    def has_varying_map(self) -> bool:
        """Whether there is a map whose levels differ; at rates 0 and 1 all are clipped to the same."""
        has_levels = 0 < self.rate_code < RATE_CODE_MAX
        return has_levels and self.qmap is not None and not self.qmap.uniform

    def chunks(self) -> list[Chunk]:
        """The chunks that store it, beside the rate code in the header."""
        chunks = []
        if self.bin_code is not None:
            chunks.append(Chunk(schema.CHUNK_BIN_SIZE, schema.BinSize.build(self.bin_code)))
        if self.width is not None:
            chunks.append(Chunk(schema.CHUNK_WIDTH, schema.Width.build(self.width)))
        if self.qmap is not None and self.has_varying_map:
            from vrcodec.bitstream.quality_map import COARSE_STRIDE, build_map

            coarse = self.qmap.stride == COARSE_STRIDE
            chunk_type = schema.CHUNK_QMAP if coarse else schema.CHUNK_FINE_QMAP
            chunks.append(Chunk(chunk_type, build_map(self.qmap)))
        return chunks


def parse_rate_setting(container: Container) -> RateSetting:
    """Inverse of `RateSetting.chunks`. Raises CorruptError for what is damaged or not for this method."""
    for chunk in container.chunks:
        method = container.header.method
        if method not in schema.CHUNK_METHODS.get(chunk.type, (method,)):
            raise CorruptError(f"damaged: its model has no use for a chunk of type {chunk.type}")
    width = _parse_number(container, schema.CHUNK_WIDTH, schema.Width, "width")
    return RateSetting(
        container.header.rate_code, _parse_bin_code(container), _parse_qmap(container), width
    )


def _parse_bin_code(container: Container) -> int | None:
    code = _parse_number(container, schema.CHUNK_BIN_SIZE, schema.BinSize, "bin size")
    if code is not None and abs(code) > BIN_CODE_MAX:
        raise CorruptError("damaged: the bin size is outside its range")
    return code


def _parse_number(
    container: Container, chunk_type: int, layout: FormatField, what: str
) -> int | None:
    """The number that the chunk of a type consists of, or None without such a chunk."""
    payload = container.single_payload(chunk_type, what)
    if payload is None:
        return None
    if len(payload) != layout.sizeof():
        raise CorruptError(f"damaged: the {what} is not one number")
    number: int = layout.parse(payload)
    return number


def _parse_qmap(container: Container) -> QualityMap | None:
    payload, coarse = find_qmap(container)
    if payload is None:
        return None
    # numpy takes longer to load than all the rest.
    from vrcodec.bitstream.quality_map import COARSE_STRIDE, MAP_STRIDE, parse_map

    stride = COARSE_STRIDE if coarse else MAP_STRIDE
    return parse_map(payload, container.header.width, container.header.height, stride)


def find_qmap(container: Container) -> tuple[bytes | None, bool]:
    """The payload of the quality map, or None, and whether its cells are coarse. Raises CorruptError."""
    coarse = container.single_payload(schema.CHUNK_QMAP, "quality map")
    fine = container.single_payload(schema.CHUNK_FINE_QMAP, "quality map")
    if coarse is not None and fine is not None:
        raise CorruptError("damaged: it has two quality maps")
    return (fine, False) if coarse is None else (coarse, True)
