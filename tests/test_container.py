"""The container: an exact round trip, and no damage that goes unnoticed."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import GOLDEN, GOLDEN_NAMES
from tests.extent import examples, extent
from vrcodec.bitstream import schema
from vrcodec.bitstream.container import Chunk, Container, Header, build_container, parse_container
from vrcodec.errors import CorruptError, FormatError, LimitError, VrcError
from vrcodec.limits import Limits

headers = st.builds(
    Header,
    method=st.integers(0, 255),
    weights_id=st.binary(min_size=8, max_size=8),
    width=st.integers(1, 2**14),
    height=st.integers(1, 2**14),
    mode=st.integers(0, 255),
    rate_code=st.integers(0, 65535),
)
# One of them is a checksum over the others.
ancillary = st.integers(schema.FIRST_ANCILLARY, 255).filter(lambda t: t != schema.CHUNK_BINDING)
types = st.one_of(st.just(schema.CHUNK_STREAM), ancillary)
# Ancillary chunks come first.
chunk_lists = st.lists(st.tuples(types, st.binary(max_size=300)), max_size=4).map(
    lambda chunks: sorted(chunks, key=lambda chunk: chunk[0] == schema.CHUNK_STREAM)
)

HEADER = Header(1, b"weights!", 640, 480, schema.MODE_RGB, 1234)


def file_with(*chunks: Chunk, header: Header = HEADER) -> bytes:
    return build_container(Container(header, chunks))


def resealed(data: bytes, position: int, value: int) -> bytes:
    """Change one byte of a file's header, and give the header a checksum that fits."""
    length = 9 + data[8]
    changed = data[:position] + bytes([value]) + data[position + 1 :]
    return (
        changed[:length]
        + zlib.crc32(changed[:length]).to_bytes(4, "little")
        + changed[length + 4 :]
    )


@given(headers, chunk_lists)
def test_round_trip(header: Header, contents: list[tuple[int, bytes]]) -> None:
    data = file_with(*(Chunk(*content) for content in contents), header=header)
    parsed = parse_container(data)
    assert parsed.header == header
    assert [(c.type, c.payload) for c in parsed.chunks] == contents
    assert all(data[c.offset :].startswith(c.payload) for c in parsed.chunks)


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_truncation_anywhere_is_noticed(name: str) -> None:
    data = (GOLDEN / f"{name}.vrc").read_bytes()
    whole = len(parse_container(data).latent_chunks())
    for length in range(len(data)):
        try:
            streams = len(parse_container(data[:length]).latent_chunks())
        except (CorruptError, FormatError):
            continue
        # Between two chunks a file is well formed, and short of streams.
        assert streams < whole


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_every_single_bit_matters(name: str) -> None:
    data = bytearray((GOLDEN / f"{name}.vrc").read_bytes())
    for position in range(len(data)):
        for bit in extent([position % 8], range(8)):
            data[position] ^= 1 << bit
            with pytest.raises(VrcError):
                parse_container(bytes(data))
            data[position] ^= 1 << bit


@examples(300)
@given(st.binary(max_size=100), st.booleans())
def test_any_bytes_parse_or_are_refused(data: bytes, with_magic: bool) -> None:
    with pytest.raises(VrcError):
        parse_container(schema.MAGIC + data if with_magic else data)


def test_text_mode_transfers_are_noticed() -> None:
    data = file_with()
    assert schema.MAGIC == b"\x8dVRC\r\n"
    for damaged in (
        data.replace(b"\r\n", b"\n"),
        data.replace(b"\n", b"\r\n"),
        bytes(b & 0x7F for b in data),
    ):
        with pytest.raises(FormatError):
            parse_container(damaged)


def test_another_major_version_is_refused_and_a_minor_one_is_read() -> None:
    data = file_with()
    with pytest.raises(FormatError, match="version 2"):
        parse_container(resealed(data, 6, 2))
    assert parse_container(resealed(data, 7, 9)).header.version == (1, 9)


def test_fields_that_a_later_minor_version_adds_are_skipped() -> None:
    data = file_with()
    end = 9 + data[8]
    longer = data[:8] + bytes([data[8] + 3]) + data[9:end] + b"new"
    longer += zlib.crc32(longer).to_bytes(4, "little")
    assert parse_container(longer).header == HEADER


def test_unknown_chunks() -> None:
    with pytest.raises(FormatError, match="chunk type 66"):
        parse_container(file_with(Chunk(0x42, b"?")))
    assert parse_container(file_with(Chunk(0xC2, b"?"))).chunks[0].ancillary


def test_chunks_behind_the_streams_are_refused() -> None:
    """A file cut there would look whole."""
    with pytest.raises(CorruptError, match="behind"):
        parse_container(file_with(Chunk(schema.CHUNK_STREAM, b""), Chunk(0xC2, b"?")))


def test_limits_hold() -> None:
    with pytest.raises(LimitError):
        parse_container(file_with(), Limits(max_pixels=640 * 480 - 1))
    with pytest.raises(LimitError):
        parse_container(file_with(*[Chunk(200, b"")] * 3), Limits(max_chunks=2))
    with pytest.raises(LimitError):
        parse_container(file_with(Chunk(200, b"12345")), Limits(max_chunk_bytes=4))


def test_a_file_of_more_chunks_than_its_picture_can_have_is_refused_early() -> None:
    many = [Chunk(200, b"")] * 100_000
    with pytest.raises(LimitError, match="chunks"):
        parse_container(file_with(*many))
    most = Header(1, b"weights!", 1 << 20, 1 << 8, schema.MODE_RGB, 0)
    streams = [Chunk(schema.CHUNK_STREAM, b"")] * 1024
    assert len(parse_container(file_with(*streams, header=most)).chunks) == 1024


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(CorruptError):
        parse_container(file_with(header=Header(1, b"weights!", 0, 480, 1, 0)))
