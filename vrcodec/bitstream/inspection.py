"""What a file says about itself, and whether it is whole: without torch, and without decoding."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from vrcodec.bitstream import schema
from vrcodec.bitstream.auxiliary import alpha_blocks, metadata_of, metadata_sizes
from vrcodec.bitstream.container import Container, Header, parse_container
from vrcodec.bitstream.payload import parse_streams
from vrcodec.bitstream.progressive import Ladder, parse_ladder
from vrcodec.bitstream.rate_setting import Setting, setting_of
from vrcodec.errors import CorruptError, FormatError
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.rate import bin_size_from_code, rate_from_code
from vrcodec.regions.grid import LatentGrid

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
    without alpha. ``metadata_bytes``: in the file, of those of icc, exif and xmp that there are.

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
    return _describe(parse_container(data, limits), len(data))


def _describe(container: Container, size: int) -> Info:
    header, setting = container.header, supported_setting(container)
    ladder = ladder_of(container)
    bins, qmap = setting.bin_code, container.only(schema.CHUNK_QMAP, "quality map")
    alpha = alpha_blocks(container, blocks_of(header))
    return Info(
        version=".".join(map(str, header.version)),
        model=schema.METHODS.get(header.method, schema.LOSSLESS),
        lossless=header.method == schema.METHOD_LOSSLESS,
        weights_id=header.weights_id.hex(),
        width=header.width,
        height=header.height,
        mode=MODES[header.mode],
        rate=rate_from_code(header.rate_code) if header.method in schema.METHODS else None,
        bin_size=None if bins is None else bin_size_from_code(bins),
        network_width=setting.width,
        qmap_bytes=None if qmap is None else len(qmap),
        bytes=size,
        bpp=8 * size / (header.width * header.height),
        streams=[len(chunk.payload) for chunk in container.latents()],
        levels=ladder.sizes if ladder else [],
        alpha_bytes=sum(map(len, alpha)) if alpha else None,
        metadata_bytes=metadata_sizes(container),
        other_chunks=[
            (chunk.type, len(chunk.payload))
            for chunk in container.chunks
            if chunk.ancillary and chunk.type not in schema.KNOWN_ANCILLARY
        ],
    )


def check_structure(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Info:
    """Everything that can be checked without decoding: `inspect`, the framing of the streams, and metadata.

    Raises FormatError, CorruptError or LimitError.
    """
    # numpy takes longer to load than all the rest.
    from vrcodec.lossless.blocks import check_blocks

    container = parse_container(data, limits)
    info = _describe(container, len(data))
    metadata_of(container, limits)
    size = info.width, info.height
    if info.alpha_bytes is not None:
        check_blocks(alpha_blocks(container, blocks_of(container.header)), *size, channels=1)
    payloads = [chunk.payload for chunk in container.latents()]
    if container.header.method == schema.METHOD_LOSSLESS:
        check_blocks(payloads, *size, channels=channels_of(container.header.mode))
    elif not info.levels:
        for _ in parse_streams(payloads):
            pass
    return info


def channels_of(mode: int) -> int:
    """How many channels the blocks of a colour mode have, where they are stored without a model."""
    return 3 if mode == schema.MODE_RGB else 1


def supported_setting(container: Container) -> Setting:
    """The setting of a file that this version can decode. Raises FormatError or CorruptError for others."""
    header = container.header
    if header.method not in (*schema.METHODS, schema.METHOD_LOSSLESS):
        raise FormatError(
            f"coded with method {header.method}, which this version does not know; update vrcodec"
        )
    if header.mode not in MODES:
        raise FormatError(f"has colour mode {header.mode}, which this version does not know")
    if header.mode == schema.MODE_BILEVEL and header.method != schema.METHOD_LOSSLESS:
        raise CorruptError("damaged: a model that codes a bilevel picture")
    setting = setting_of(container)
    own = schema.LATENTS_OF.get(header.method, schema.CHUNK_STREAM)
    latents = container.latents()
    expected = 1 if own == schema.CHUNK_LADDER else blocks_of(header)
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
    return parse_ladder(latents.payload, blocks_of(container.header), partial=not latents.complete)


def blocks_of(header: Header) -> int:
    """How many blocks the latent grid of a picture has."""
    return LatentGrid.of_picture(header.width, header.height).block_count
