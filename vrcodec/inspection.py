"""What a file says about itself, and whether it is whole: without torch, and without decoding."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from vrcodec.bitstream import schema
from vrcodec.bitstream.container import Container, Header, parse_container
from vrcodec.bitstream.grid import LatentGrid
from vrcodec.bitstream.ladder import Ladder, parse_ladder
from vrcodec.bitstream.payload import parse_streams
from vrcodec.errors import CorruptError, FormatError
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.rate import bin_size_from_code, rate_from_code
from vrcodec.setting import Setting, setting_of

MODES: dict[int, Literal["1", "L", "RGB"]] = {
    schema.MODE_GREY: "L",
    schema.MODE_RGB: "RGB",
    schema.MODE_BILEVEL: "1",
}


@dataclass(frozen=True)
class Info:
    """Header and sizes of a .vrc file. ``bpp``: of the whole file. ``streams``: bytes of each.

    ``levels``: bytes of each, coarse to fine, where the picture comes in levels. ``bin_size``: the quantisation
    step, where it was chosen apart from the rate. ``network_width``: channels of the networks, likewise.
    ``qmap_bytes``: of a quality map that is not the same everywhere. ``other_chunks``: type and bytes of each.
    """

    version: str
    model: str
    weights_id: str
    width: int
    height: int
    mode: str
    rate: float
    bin_size: float | None
    network_width: int | None
    qmap_bytes: int | None
    bytes: int
    bpp: float
    streams: list[int]
    levels: list[int]
    other_chunks: list[tuple[int, int]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def inspect(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Info:
    """Parse ``data``, verifying every checksum of the container.

    Raises FormatError, CorruptError or LimitError.
    """
    return _describe(parse_container(data, limits), len(data))


def _describe(container: Container, size: int) -> Info:
    header, setting = container.header, supported_setting(container)
    ladder = ladder_of(container)
    bins, qmap = setting.bin_code, container.only(schema.CHUNK_QMAP, "quality map")
    return Info(
        version=".".join(map(str, header.version)),
        model=schema.METHODS[header.method],
        weights_id=header.weights_id.hex(),
        width=header.width,
        height=header.height,
        mode=MODES[header.mode],
        rate=rate_from_code(header.rate_code),
        bin_size=None if bins is None else bin_size_from_code(bins),
        network_width=setting.width,
        qmap_bytes=None if qmap is None else len(qmap),
        bytes=size,
        bpp=8 * size / (header.width * header.height),
        streams=[len(chunk.payload) for chunk in container.latents()],
        levels=ladder.sizes if ladder else [],
        other_chunks=[(c.type, len(c.payload)) for c in container.chunks if c.ancillary],
    )


def check_structure(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Info:
    """Everything that can be checked without decoding: `inspect`, and the latent streams' framing.

    Raises FormatError, CorruptError or LimitError.
    """
    container = parse_container(data, limits)
    info = _describe(container, len(data))
    if not info.levels:
        for _ in parse_streams(chunk.payload for chunk in container.latents()):
            pass
    return info


def supported_setting(container: Container) -> Setting:
    """The setting of a file that this version can decode. Raises FormatError or CorruptError for others."""
    header = container.header
    if header.method not in schema.METHODS:
        raise FormatError(
            f"coded with method {header.method}, which this version does not know; update vrcodec"
        )
    if header.mode not in MODES:
        raise FormatError(f"has colour mode {header.mode}, which this version does not know")
    setting = setting_of(container)
    own = schema.LATENTS_OF.get(header.method, schema.CHUNK_STREAM)
    latents = container.latents()
    expected = 1 if own == schema.CHUNK_LADDER else _blocks(header)
    if len(latents) != expected:
        raise CorruptError(
            f"truncated: {len(latents)} latent streams where a picture of "
            f"{header.width}x{header.height} has {expected}"
        )
    if any(chunk.type != own for chunk in latents):
        raise CorruptError("damaged: its latents are not those of its model")
    return setting


def ladder_of(container: Container) -> Ladder | None:
    """The levels of a picture that comes in levels, as many as are complete. Raises CorruptError."""
    latents = container.latents()[0]
    if latents.type != schema.CHUNK_LADDER:
        return None
    return parse_ladder(latents.payload, _blocks(container.header), partial=not latents.complete)


def _blocks(header: Header) -> int:
    return LatentGrid.of_picture(header.width, header.height).block_count
