"""What stands beside the picture: metadata, and the checksum over all chunks."""

from __future__ import annotations

import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import GOLDEN, Pixels, with_chunks
from tests.golden.make_sides import METADATA
from vrcodec.bitstream import schema
from vrcodec.bitstream.auxiliary import metadata_chunks, parse_metadata
from vrcodec.bitstream.container import (
    Chunk,
    Container,
    Header,
    build_bound_container,
    build_container,
    parse_container,
)
from vrcodec.bitstream.inspection import check_structure, inspect
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import CorruptError, LimitError, VrcError
from vrcodec.limits import Limits
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.picture import Picture

SIDES = GOLDEN / "sides"
NAMES = sorted(path.stem for path in SIDES.glob("*.vrc"))
HEADER = Header(1, b"weights!", 64, 64, schema.MODE_RGB, 0)
KINDS = [schema.CHUNK_ICC, schema.CHUNK_EXIF, schema.CHUNK_XMP]

contents = st.none() | st.binary(min_size=1, max_size=400)


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"\1" + packer.compress(content) + packer.flush()


def test_the_golden_files_are_there() -> None:
    assert len(NAMES) == 10


@pytest.mark.parametrize("name", NAMES)
def test_golden_files_decode_as_they_did(decoder: Decoder, name: str) -> None:
    data = (SIDES / f"{name}.vrc").read_bytes()
    decoded = decoder.decode(data)
    with Image.open(SIDES / f"{name}.png") as image:
        image.load()
    expected = Picture.from_array(np.asarray(image))
    assert decoded.to_image().mode == image.mode
    apart = np.abs(decoded.to_rgb().astype(int) - expected.to_rgb())
    assert apart.max() <= (0 if name.startswith(("lossless", "bilevel")) else 1)
    assert (decoded.alpha is None) == (expected.alpha is None)
    if decoded.alpha is not None:
        assert (decoded.alpha == expected.alpha).all()
    assert decoded.metadata == (METADATA if image.info.get("exif") else Metadata())
    assert build_container(parse_container(data)) == data
    assert check_structure(data) == inspect(data)


@pytest.mark.parametrize("name", NAMES)
def test_every_truncation_and_every_bit_is_noticed(name: str) -> None:
    data = bytearray((SIDES / f"{name}.vrc").read_bytes())
    whole = len(parse_container(bytes(data)).latent_chunks())
    for length in range(len(data)):
        try:
            found = len(parse_container(bytes(data[:length])).latent_chunks())
        except VrcError:
            continue
        # Between two chunks a file without a binding chunk is well formed, and short of the picture.
        assert found < whole
    for position in range(0, len(data), 3):
        data[position] ^= 1 << position % 8
        with pytest.raises(VrcError):
            parse_container(bytes(data))
        data[position] ^= 1 << position % 8


@given(contents, contents, contents)
def test_metadata_comes_back(icc: bytes | None, exif: bytes | None, xmp: bytes | None) -> None:
    metadata = Metadata(icc, exif, xmp)
    assert parse_metadata(Container(HEADER, metadata_chunks(metadata))) == metadata


def test_metadata_is_deflated_where_that_helps() -> None:
    noise = np.random.default_rng(0).bytes(1000)
    packed = {
        chunk.type: chunk.payload for chunk in metadata_chunks(Metadata(noise, None, b" " * 9999))
    }
    assert packed[schema.CHUNK_ICC] == b"\0" + noise
    assert len(packed[schema.CHUNK_XMP]) < 100


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "payload",
    [b"", b"\2abc", b"\1\xff\xff", deflated(b"abc")[:-1], deflated(b"abc") + b"?", b"\1"],
    ids=["empty", "unknown", "garbage", "cut", "more", "nothing"],
)
def test_damaged_metadata_is_refused(kind: int, payload: bytes) -> None:
    with pytest.raises(CorruptError):
        parse_metadata(Container(HEADER, [Chunk(kind, payload)]))


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_of_one_kind_twice_is_refused(kind: int) -> None:
    with pytest.raises(CorruptError, match="more than one"):
        parse_metadata(Container(HEADER, [Chunk(kind, b"\0a")] * 2))


def test_a_bomb_in_metadata_is_not_unpacked() -> None:
    bomb = deflated(bytes(1 << 26))
    assert len(bomb) < 1 << 17
    limits = Limits(max_metadata_bytes=1 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(LimitError, match="ICC"):
            parse_metadata(Container(HEADER, [Chunk(schema.CHUNK_ICC, bomb)]), limits)
        assert tracemalloc.get_traced_memory()[1] < 1 << 23
    finally:
        tracemalloc.stop()
    # What is exactly at the limit is read; a byte more, plain, is not.
    at_limit = Container(HEADER, [Chunk(schema.CHUNK_ICC, deflated(bytes(1 << 20)))])
    assert parse_metadata(at_limit, limits).icc == bytes(1 << 20)
    plain = Container(HEADER, [Chunk(schema.CHUNK_ICC, b"\0" + bytes((1 << 20) + 1))])
    with pytest.raises(LimitError):
        parse_metadata(plain, limits)


def test_what_a_reader_would_refuse_is_not_written() -> None:
    with pytest.raises(LimitError, match="strip"):
        metadata_chunks(Metadata(xmp=bytes(100)), Limits(max_metadata_bytes=99))


def test_metadata_goes_through_the_whole_codec(
    encoder: Encoder, decoder: Decoder, photograph: Pixels
) -> None:
    picture = Picture(photograph, metadata=METADATA)
    data = encoder.encode(picture, 20_000)
    assert decoder.decode(data).metadata == METADATA
    info = inspect(data)
    assert set(info.metadata_bytes) == {"icc", "exif", "xmp"}
    assert info.other_chunks == []
    # It costs what it says, and nothing of the picture.
    plain = encoder.encode(Picture(photograph), 20_000)
    assert 0 <= len(data) - len(plain) - sum(info.metadata_bytes.values()) <= 3 * 8


def test_image_in_memory_carries_its_metadata(decoder: Decoder) -> None:
    image = decoder.decode((SIDES / "metadata.vrc").read_bytes()).to_image()
    assert METADATA.exif is not None
    assert image.info["icc_profile"] == METADATA.icc
    assert image.info["xmp"] == METADATA.xmp
    assert image.info["exif"] == b"Exif\0\0" + METADATA.exif


def chunks_of(name: str) -> Container:
    return parse_container((SIDES / f"{name}.vrc").read_bytes())


@pytest.mark.parametrize("name", ["two_blocks", "lossless_grey"])
def test_blocks_cannot_be_swapped_or_repeated(name: str) -> None:
    """Each chunk is whole; together they are not what was written."""
    container = chunks_of(name)
    *front, first, second = container.chunks
    assert {first.type, second.type} <= set(schema.LATENT_CHUNKS)
    for others in ([second, first], [first, first], [second, second]):
        with pytest.raises(CorruptError, match="together"):
            parse_container(build_container(replace(container, chunks=[*front, *others])))


def test_alpha_of_another_file_is_noticed() -> None:
    container = chunks_of("two_blocks")
    changed = [
        Chunk(chunk.type, b"\0\7") if chunk.type == schema.CHUNK_ALPHA else chunk
        for chunk in container.chunks
    ]
    with pytest.raises(CorruptError, match="together"):
        parse_container(build_container(replace(container, chunks=changed)))
    header = replace(container.header, rate_code=1)
    with pytest.raises(CorruptError, match="together"):
        parse_container(build_container(replace(container, header=header)))


def test_the_binding_chunk_counts_wherever_it_stands() -> None:
    chunks = [Chunk(schema.CHUNK_ICC, b"\0a"), Chunk(schema.CHUNK_STREAM, b"b")]
    data = build_bound_container(Container(HEADER, chunks))
    binding, icc, stream = parse_container(data).chunks
    moved = build_container(Container(HEADER, [icc, binding, stream]))
    assert [chunk.type for chunk in parse_container(moved).chunks] == [0x80, 0x83, 0x01]
    with pytest.raises(CorruptError, match="more than one"):
        parse_container(build_container(Container(HEADER, [binding, binding, icc, stream])))
    for wrong in (b"", binding.payload + b"\0"):
        with pytest.raises(CorruptError):
            parse_container(build_container(Container(HEADER, [Chunk(0x83, wrong), icc, stream])))


def test_files_of_one_block_go_without_it(encoder: Encoder, photograph: Pixels) -> None:
    found = parse_container(encoder.encode(Picture(photograph), 0)).chunks
    assert schema.CHUNK_BINDING not in [chunk.type for chunk in found]


def test_a_prefix_of_levels_keeps_alpha_and_metadata(photograph: Pixels) -> None:
    """They stand in front; and a file that ends early cannot be held to the checksum over all."""
    wide = np.ascontiguousarray(np.tile(photograph[:40], (1, 6, 1)))
    alpha = np.arange(40 * 1200).reshape(40, 1200).astype(np.uint8)
    picture = Picture(wide, "RGB", alpha, METADATA)
    data = Encoder("qarv").encode(picture, 60_000)
    assert schema.CHUNK_BINDING in [chunk.type for chunk in parse_container(data).chunks]
    decoder = Decoder()
    with pytest.raises(CorruptError, match="--partial"):
        decoder.decode(data[:-20])
    coded = decoder.read(data[:-20], partial=True)
    assert coded.available_levels < coded.level_count
    decoded = decoder.reconstruct(coded)
    assert (decoded.alpha == alpha).all()
    assert decoded.metadata == METADATA


def test_sides_of_a_file_can_be_replaced() -> None:
    """`with_chunks` of the tests makes files that are read, so what they say of refusals is true."""
    data = with_chunks(schema.CHUNK_XMP, (SIDES / "two_blocks.vrc").read_bytes(), b"\0new")
    assert Decoder().decode(data).metadata == Metadata(xmp=b"new")
