"""Inspecting a file without torch and without decoding: its header and sizes, and checks of its structure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from vrcodec.bitstream import schema
from vrcodec.bitstream.auxiliary import alpha_blocks, cell_blocks, metadata_sizes, parse_metadata
from vrcodec.bitstream.container import Container, parse_container
from vrcodec.bitstream.latent_stream import parse_streams
from vrcodec.bitstream.progressive import ProgressiveStreams, parse_progressive
from vrcodec.bitstream.rate_setting import RateSetting, find_qmap, parse_rate_setting
from vrcodec.errors import CorruptError, FormatError
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.rate import bin_size_from_code, rate_from_code

MODES: dict[int, Literal["1", "L", "RGB"]] = {
    schema.MODE_GREY: "L",
    schema.MODE_RGB: "RGB",
    schema.MODE_BILEVEL: "1",
}
MODE_NUMBERS = {mode: number for number, mode in MODES.items()}


@dataclass(frozen=True)
class Info:
    """Header and sizes of a .vrc file. ``bpp``: of the whole file. ``streams``: bytes of each.

    ``model`` is "lossless", and ``rate`` None, where the picture is stored without one. ``alpha_bytes``: None
    without alpha. ``cell_bytes``: of cells that are stored without loss beside what a model codes; None without
    any. ``metadata_bytes``: in the file, of those of icc, exif and xmp that there are.

    ``levels``: bytes of each, coarse to fine, where the picture comes in levels. ``bin_size``: the quantisation
    step, where it was chosen apart from the rate. ``network_width``: channels of the networks, likewise.
    ``qmap_bytes``: of a quality map that is not the same everywhere. ``other_chunks``: type and bytes of each
    that this version does not know.
    """

    version: str
    model: str
    lossless: bool
    weights_id: str
    width: int
    height: int
    mode: str
    rate: float | None
    bin_size: float | None
    network_width: int | None
    qmap_bytes: int | None
    bytes: int
    bpp: float
    streams: list[int]
    levels: list[int]
    alpha_bytes: int | None
    cell_bytes: int | None
    metadata_bytes: dict[str, int]
    other_chunks: list[tuple[int, int]]

    @property
    def image_mode(self) -> str:
        """The mode of the Pillow image that it decodes to: 1, L, LA, RGB or RGBA."""
        if self.alpha_bytes is None:
            return self.mode
        return "RGBA" if self.mode == "RGB" else "LA"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def inspect(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Info:
    """Parse ``data``, verifying every checksum of the container.

    Raises FormatError, CorruptError or LimitError.
    """
    return describe(parse_container(data, limits), len(data))


def describe(container: Container, size: int) -> Info:
    """Header and sizes of a parsed file of ``size`` bytes. Raises FormatError or CorruptError."""
    header, setting = container.header, parse_supported_setting(container)
    progressive = parse_progressive_chunk(container)
    bin_code, (qmap, _) = setting.bin_code, find_qmap(container)
    alpha, cells = alpha_blocks(container), cell_blocks(container)
    return Info(
        version=".".join(map(str, header.version)),
        model=schema.METHODS.get(header.method, schema.LOSSLESS),
        lossless=header.method == schema.METHOD_LOSSLESS,
        weights_id=header.weights_id.hex(),
        width=header.width,
        height=header.height,
        mode=MODES[header.mode],
        rate=rate_from_code(header.rate_code) if header.method in schema.METHODS else None,
        bin_size=None if bin_code is None else bin_size_from_code(bin_code),
        network_width=setting.width,
        qmap_bytes=None if qmap is None else len(qmap),
        bytes=size,
        bpp=8 * size / (header.width * header.height),
        streams=[len(chunk.payload) for chunk in container.latent_chunks()],
        levels=progressive.level_sizes if progressive else [],
        alpha_bytes=sum(map(len, alpha)) if alpha else None,
        cell_bytes=sum(map(len, cells)) if cells else None,
        metadata_bytes=metadata_sizes(container),
        other_chunks=[
            (chunk.type, len(chunk.payload))
            for chunk in container.chunks
            if chunk.ancillary and chunk.type not in schema.KNOWN_ANCILLARY
        ],
    )


def check_structure(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Info:
    """Check everything that needs no decoding: what `inspect` does, the framing of the streams, and metadata.

    Raises FormatError, CorruptError or LimitError.
    """
    # numpy takes longer to load than all the rest.
    from vrcodec.lossless.blocks import check_blocks
    from vrcodec.lossless.cells import check_cells

    container = parse_container(data, limits)
    info = describe(container, len(data))
    parse_metadata(container, limits)
    size = info.width, info.height
    channels = channel_count(container.header.mode)
    if info.alpha_bytes is not None:
        check_blocks(alpha_blocks(container), *size, channels=1)
    if info.cell_bytes is not None:
        check_cells(cell_blocks(container), *size, channels)
    payloads = [chunk.payload for chunk in container.latent_chunks()]
    if container.header.method == schema.METHOD_LOSSLESS:
        check_blocks(payloads, *size, channels)
    elif not info.levels:
        for _ in parse_streams(payloads):
            pass
    return info


def channel_count(mode: int) -> int:
    """Channels of the samples of a colour mode, where they are stored without a model."""
    return 3 if mode == schema.MODE_RGB else 1


def parse_supported_setting(container: Container) -> RateSetting:
    """The rate setting of a file, checked to be one that this version decodes.

    Raises FormatError for an unknown method or mode, CorruptError for contradictions.
    """
    header = container.header
    if header.method not in (*schema.METHODS, schema.METHOD_LOSSLESS):
        raise FormatError(
            f"coded with method {header.method}, which this version does not know; update vrcodec"
        )
    if header.mode not in MODES:
        raise FormatError(f"has colour mode {header.mode}, which this version does not know")
    if header.mode == schema.MODE_BILEVEL and header.method != schema.METHOD_LOSSLESS:
        raise CorruptError("damaged: a model that codes a bilevel picture")
    setting = parse_rate_setting(container)
    latent_type = schema.METHOD_LATENT_CHUNKS.get(header.method, schema.CHUNK_STREAM)
    latents = container.latent_chunks()
    expected = 1 if latent_type == schema.CHUNK_PROGRESSIVE else header.block_count
    if len(latents) != expected:
        raise CorruptError(
            f"truncated: {len(latents)} latent streams where a picture of "
            f"{header.width}x{header.height} has {expected}"
        )
    if any(chunk.type != latent_type for chunk in latents):
        raise CorruptError("damaged: its latents are not those of its model")
    return setting


def parse_progressive_chunk(container: Container) -> ProgressiveStreams | None:
    """The streams of a progressive picture with the complete levels, or None. Raises CorruptError."""
    latents = container.latent_chunks()[0]
    if latents.type != schema.CHUNK_PROGRESSIVE:
        return None
    return parse_progressive(
        latents.payload, container.header.block_count, partial=not latents.complete
    )
