"""How the files of this folder came to be. Running it again makes others, which is not wanted.

    python -m conformance.make_files FOLDER

writes `files/` and `refused/` into the folder. It needs the tiny weights under tests/golden, which are frozen
as the files are, too.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import skimage.data

from tests.golden.make_sides import METADATA
from vrcodec.bitstream import schema, symbol_coding
from vrcodec.bitstream.assembly import encode_lossless
from vrcodec.bitstream.container import (
    Chunk,
    Container,
    Header,
    build_container,
    parse_container,
)
from vrcodec.bitstream.guard_band import round_to_table
from vrcodec.bitstream.latent_stream import Tie, build_stream, parse_stream
from vrcodec.bitstream.quality_map import COARSE_STRIDE, MAP_STRIDE, QualityMap, build_map
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.picture.graphics import CELL
from vrcodec.picture.picture import Picture
from vrcodec.picture.writing import serialise_picture

Pixels = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
ENGINE = Engine("cpu", library="numpy")
# Those of the files to refuse that a reader decodes which is told to take files that end early.
PARTIAL = ("cut_in_levels", "cut_in_levels_of_two_blocks")
# As wide a guard gives ties in any picture; a tenth of the symbols have one.
_WIDE_GUARD = 0.05


def main() -> None:
    folder = Path(sys.argv[1])
    os.environ["VRCODEC_WEIGHTS"] = str(GOLDEN)
    accepted = decoded_files()
    for kind, files in (("files", accepted), ("refused", refused_files(accepted))):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / kind / f"{name}.vrc").write_bytes(data)
    for name, data in accepted.items():
        picture = serialise_picture(Decoder(ENGINE).decode(data))
        (folder / "files" / f"{name}.png").write_bytes(picture)
    for name in PARTIAL:
        data = (folder / "refused" / f"{name}.vrc").read_bytes()
        picture = serialise_picture(Decoder(ENGINE).decode(data, partial=True))
        (folder / "refused" / f"{name}.png").write_bytes(picture)


def encode(
    family: str, picture: Picture, code: int, qmap: QualityMap | None = None, **extras: int
) -> bytes:
    """A file of a family at a rate code. ``extras``: bin_code or width."""
    return Encoder(family, ENGINE).encode(picture, RateSetting(code, qmap=qmap, **extras))


def photograph(top: int, left: int, height: int, width: int) -> Picture:
    """A part of a photograph."""
    return Picture.from_array(skimage.data.astronaut()[top : top + height, left : left + width])


def decoded_files() -> dict[str, bytes]:
    """Name -> file; what the golden files of the tests do not show."""
    small = photograph(60, 190, 33, 45)
    metadata = replace(small, metadata=METADATA)
    dot = Picture.from_array(np.array([[[200, 30, 90]]], np.uint8))
    files = {
        "gained_row": encode("gained", photograph(100, 100, 1, 300), 20000),
        "gained_rate_0": encode("gained", photograph(60, 160, 70, 64), 0),
        "gained_unknown_chunks": with_unknown_chunks(encode("gained", metadata, 30000)),
        "gained_later_minor": with_later_minor(encode("gained", small, 30000)),
        "qvrf_bin_size": encode("qvrf", small, 30000, bin_code=-1500),
        "qvrf_rate_0": encode("qvrf", photograph(60, 160, 70, 64), 0),
        "qvrf_four_blocks": encode("qvrf", four_blocks(), 0, bin_code=8192),
        "qvrf_everything": qvrf_everything(),
        "qmap_rate": encode("qmap", photograph(60, 160, 49, 33), 30000),
        "qmap_tall": encode("qmap", tall(), 30000, random_map(tall(), COARSE_STRIDE)),
        "qmap_fine": encode("qmap", tall(), 30000, random_map(tall(), MAP_STRIDE, divisor=5)),
        "qmap_flat_map": with_flat_map(encode("qmap", small, 30000)),
        "slim_narrow": encode("slim", photograph(60, 160, 64, 47), 9000),
        "slim_middle": encode("slim", photograph(60, 160, 64, 47), 21000),
        "slim_tall": encode("slim", tall(), 40000),
        "slim_width": encode("slim", photograph(60, 160, 64, 47), 5000, width=24),
        "qarv_column": encode("qarv", photograph(100, 200, 129, 1), 40000),
        "qarv_rate_0": encode("qarv", photograph(60, 160, 70, 64), 0),
        "qarv_tall": encode("qarv", tall(), 20000),
        "qarv_alpha": encode("qarv", with_alpha(photograph(60, 160, 40, 60)), 30000),
        "hyperprior_bin_size": encode("hyperprior", small, 30000, bin_code=-1500),
        "hyperprior_rate_0": encode("hyperprior", photograph(60, 160, 70, 64), 0),
        "hyperprior_four_blocks": encode("hyperprior", four_blocks(), 20000),
        "scale_hyperprior_bin_size": encode("scale_hyperprior", small, 30000, bin_code=3000),
        "lossless_dot": encode_lossless(dot),
        "bilevel_dot": encode_lossless(Picture.from_array(np.array([[True]]))),
        "bilevel_alpha": encode_lossless(bilevel_with_alpha()),
        "lossless_four_blocks": encode_lossless(four_blocks()),
    }
    with wide_guard():
        for family in ("gained", "qvrf", "qmap", "qarv", "hyperprior", "scale_hyperprior"):
            files[f"{family}_ties"] = encode(family, photograph(60, 160, 77, 61), 30000)
    return files


def four_blocks() -> Picture:
    """Black, but for a part of a photograph where the four blocks meet."""
    pixels = np.zeros((1040, 1072, 3), np.uint8)
    pixels[1008:, 1000:1064] = skimage.data.astronaut()[60:92, 180:244]
    return Picture.from_array(pixels)


def tall() -> Picture:
    """Two blocks, one below the other."""
    return Picture.from_array(np.tile(skimage.data.astronaut()[:, 200:217], (3, 1, 1))[:1100])


def random_map(picture: Picture, stride: int, divisor: int = 1) -> QualityMap:
    """Levels that differ from cell to cell, multiples of ``divisor``."""
    shape = QualityMap.grid_shape(picture.width, picture.height, stride)
    cells = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    return QualityMap(cells - cells % np.uint8(divisor), stride)


def with_alpha(picture: Picture) -> Picture:
    """Opaque on the left, then fading out."""
    fade = np.clip(400 - 8 * np.arange(picture.width), 0, 255).astype(np.uint8)
    return replace(picture, alpha=np.tile(fade, (picture.height, 1)))


def bilevel_with_alpha() -> Picture:
    """Bars, half of which can be seen."""
    y, x = np.mgrid[0:19, 0:37]
    picture = Picture.from_array((y + x // 3) % 5 < 2)
    return replace(picture, alpha=np.full((19, 37), 128, np.uint8))


def qvrf_everything() -> bytes:
    """All that may stand beside a picture, in one file."""
    picture = photograph(60, 160, 50, 70)
    pixels = picture.pixels.copy()
    pixels[:20, :40] = np.where(np.arange(40) % 4 < 2, 0, 255)[None, :, None]
    cells = np.zeros((-(-50 // CELL), -(-70 // CELL)), np.bool_)
    cells[:1, :2] = True
    picture = replace(with_alpha(Picture(pixels)), metadata=METADATA, lossless_cells=cells)
    return with_unknown_chunks(encode("qvrf", picture, 30000, bin_code=700))


def with_unknown_chunks(data: bytes) -> bytes:
    """Ancillary chunks that nobody knows, one of them empty, around those in front of the picture."""
    container = parse_container(data)
    split = len(container.chunks) - len(container.latent_chunks())
    front, picture = container.chunks[:split], container.chunks[split:]
    chunks = [Chunk(0x90, b"unknown to all"), *front, Chunk(0xFF, b""), *picture]
    return build_container(replace(container, chunks=chunks))


def with_later_minor(data: bytes) -> bytes:
    """A later minor version, with a field more at the end of the header's body."""
    end = 9 + data[8]
    header = data[:7] + bytes([3, data[8] + 5]) + data[9:end] + b"later"
    return sealed(header) + data[end + 4 :]


def with_flat_map(data: bytes) -> bytes:
    """A quality map whose cells are all equal, which says nothing."""
    container = parse_container(data)
    shape = QualityMap.grid_shape(container.header.width, container.header.height, COARSE_STRIDE)
    flat = QualityMap(np.full(shape, 200, np.uint8), COARSE_STRIDE)
    chunk = Chunk(schema.CHUNK_QMAP, build_map(flat))
    return build_container(replace(container, chunks=[chunk, *container.chunks]))


@contextmanager
def wide_guard() -> Iterator[None]:
    """Encode with many ties, each of which names the table on the other side of the boundary."""

    def near(t: Reals, count: int) -> npt.NDArray[np.bool_]:
        inside = (t > 0) & (t < count - 1)
        return (np.abs(t - np.floor(t) - 0.5) <= _WIDE_GUARD) & inside

    def other_side(t: Reals, count: int) -> npt.NDArray[np.uint8]:
        indices = round_to_table(t, count)
        other = (np.floor(t) + np.ceil(t)).astype(np.int64) - indices
        return np.where(near(t, count), other, indices).astype(np.uint8)

    def ties(t: Reals, indices: npt.NDArray[np.uint8], count: int) -> list[Tie]:
        return [Tie(int(p), int(indices[p])) for p in np.flatnonzero(near(t, count))]

    with (
        patch.object(symbol_coding, "round_to_table", other_side),
        patch.object(symbol_coding, "find_ties", ties),
    ):
        yield


# --- files that must be refused ---


def sealed(data: bytes) -> bytes:
    """``data`` with its checksum."""
    return data + zlib.crc32(data).to_bytes(4, "little")


def with_header_byte(data: bytes, position: int, value: int) -> bytes:
    """Change a byte of the header, whose checksum then fits."""
    end = 9 + data[8]
    header = data[:position] + bytes([value]) + data[position + 1 : end]
    return sealed(header) + data[end + 4 :]


def with_long_width(data: bytes) -> bytes:
    """The same width, below 128, in six bytes in place of one."""
    end = 9 + data[8]
    width = bytes([data[18] | 0x80, 0x80, 0x80, 0x80, 0x80, 0])
    header = data[:8] + bytes([data[8] + len(width) - 1]) + data[9:18] + width + data[19:end]
    return sealed(header) + data[end + 4 :]


def with_byte(data: bytes, position: int) -> bytes:
    """Flip the bits of a byte; no checksum is mended."""
    position %= len(data)
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


def with_chunk(data: bytes, chunk_type: int, *payloads: bytes) -> bytes:
    """Put chunks in front, in place of those of their type."""
    container = parse_container(data)
    others = [chunk for chunk in container.chunks if chunk.type != chunk_type]
    chunks = [*(Chunk(chunk_type, payload) for payload in payloads), *others]
    return build_container(replace(container, chunks=chunks))


def with_stream(data: bytes, payload: bytes) -> bytes:
    """Another payload of the one latent stream."""
    container = parse_container(data)
    chunks = [c if c.type != 1 else Chunk(1, payload) for c in container.chunks]
    return build_container(replace(container, chunks=chunks))


def constant_picture(width: int, height: int, chunks: tuple[Chunk, ...] = ()) -> bytes:
    """A grey picture of one value in every block, of any size."""
    header = Header(schema.METHOD_LOSSLESS, bytes(8), width, height, schema.MODE_GREY, 0)
    blocks = [Chunk(schema.CHUNK_LOSSLESS, b"\0\x80")] * header.block_count
    return build_container(Container(header, [*chunks, *blocks]))


def refused_files(accepted: Mapping[str, bytes]) -> dict[str, bytes]:
    """Name -> file; `cases.json` says why each is refused."""
    gained, qvrf, qarv = (
        (GOLDEN / f"{name}.vrc").read_bytes() for name in ("dot", "qvrf_dot", "qarv_dot")
    )
    blocks = parse_container((GOLDEN / "two_blocks.vrc").read_bytes())
    bound = parse_container(accepted["lossless_four_blocks"])
    stream = parse_stream(parse_container(gained).latent_chunks()[0].payload)
    alpha = parse_container(accepted["qarv_alpha"])
    png = next(c.payload for c in alpha.chunks if c.type == schema.CHUNK_ALPHA)
    bilevel = accepted["bilevel_dot"]
    bin_size = schema.BinSize.build(100)
    return {
        "empty": b"",
        "magic": b"\x89" + gained[1:],
        "line_ends": gained.replace(b"\r\n", b"\n", 1),
        "major_2": with_header_byte(gained, 6, 2),
        "header_checksum": with_byte(gained, 18),
        "chunk_checksum": with_byte(gained, -20),
        "symbols_checksum": with_stream(
            gained, build_stream(replace(stream, symbols_crc=(stream.symbols_crc or 0) ^ 1))
        ),
        "symbols_left": with_stream(
            gained, build_stream(replace(stream, data=stream.data[:8] + stream.data))
        ),
        "no_width": with_header_byte(gained, 18, 0),
        "long_width": with_long_width(gained),
        "unknown_method": with_header_byte(gained, 9, 9),
        "unknown_mode": with_header_byte(gained, 20, 7),
        "bilevel_model": with_header_byte(gained, 20, 2),
        "unknown_weights": with_header_byte(gained, 10, 0),
        "weights_of_another_method": with_header_byte(gained, 9, 2),
        "critical_chunk": with_chunk(gained, 0x0A, b"new"),
        "cut_in_header": gained[:20],
        "cut_in_chunk": gained[:-9],
        "cut_between_chunks": build_container(replace(blocks, chunks=blocks.chunks[:-1])),
        "cut_in_levels": qarv[:-9],
        "cut_in_levels_of_two_blocks": (GOLDEN / "qarv_two_blocks.vrc").read_bytes()[:2000],
        "chunk_behind_picture": build_container(
            replace(
                parse_container(gained), chunks=[*parse_container(gained).chunks, Chunk(0x90, b"")]
            )
        ),
        "stream_too_many": build_container(
            replace(blocks, chunks=[*blocks.chunks, blocks.chunks[0]])
        ),
        "binding": swapped_binding(bound),
        "bin_size_twice": with_chunk(qvrf, 2, bin_size, bin_size),
        "bin_size_of_gained": with_chunk(gained, 2, bin_size),
        "bin_size_range": with_chunk(qvrf, 2, schema.BinSize.build(12289)),
        "map_of_hyperprior": with_chunk(
            accepted["hyperprior_rate_0"], 3, build_map(QualityMap(np.zeros((3, 2), np.uint8)))
        ),
        "map_size": with_chunk(
            accepted["qmap_rate"],
            3,
            build_map(QualityMap(np.zeros((1, 1), np.uint8), COARSE_STRIDE)),
        ),
        "map_level": with_chunk(accepted["qmap_rate"], 9, too_high_map(accepted["qmap_rate"])),
        "two_maps": with_chunk(
            accepted["qmap_flat_map"],
            9,
            build_map(random_map(photograph(60, 190, 33, 45), MAP_STRIDE)),
        ),
        "no_such_width": with_chunk(accepted["slim_width"], 4, schema.Width.build(20)),
        "tie_outside": with_stream(gained, build_stream(replace(stream, ties=[Tie(10**6, 3)]))),
        "tie_twice": with_stream(
            gained, build_stream(replace(stream, ties=[Tie(5, 3), Tie(5, 3)]))
        ),
        "alpha_of_another_size": with_chunk(encode("gained", photograph(0, 0, 20, 20), 0), 6, png),
        "alpha_coding": with_chunk(gained, 6, b"\x03\xff"),
        "cells_without_model": with_chunk(accepted["lossless_dot"], 8, b""),
        "bilevel_grey": build_container(
            replace(parse_container(bilevel), chunks=[Chunk(schema.CHUNK_LOSSLESS, b"\0\x80")])
        ),
        "metadata_packing": with_chunk(gained, 0x80, b"\x02profile"),
        "side_over_limit": constant_picture((1 << 20) + 1, 1),
        "pixels_over_limit": constant_picture(1 << 14, (1 << 14) + 1),
        "chunks_over_limit": constant_picture(1, 1, (Chunk(0x90, b""),) * 259),
        "metadata_over_limit": with_chunk(gained, 0x80, b"\x01" + deflated_zeros((1 << 24) + 1)),
        "chunk_over_limit": gained[:27] + b"\x90" + b"\xff\xff\xff\xff\x0f" + gained[27:],
    }


def too_high_map(data: bytes) -> bytes:
    """The payload of a map of small cells, some of whose values are 256."""
    header = parse_container(data).header
    shape = QualityMap.grid_shape(header.width, header.height)
    cells = np.random.default_rng(3).integers(0, 3, shape, dtype=np.uint8)
    return b"\x80" + build_map(QualityMap(cells))[1:]


def swapped_binding(bound: Container) -> bytes:
    """Two of four blocks change places, and the binding stays."""
    binding, *blocks = bound.chunks
    return build_container(replace(bound, chunks=[binding, blocks[1], blocks[0], *blocks[2:]]))


def deflated_zeros(count: int) -> bytes:
    """Raw deflate of so many zero bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(bytes(count)) + packer.flush()


if __name__ == "__main__":
    main()
