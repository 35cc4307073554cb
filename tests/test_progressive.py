"""Progressive streams: one stream through all levels, of which any prefix decodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.extent import examples
from vrcodec.bitstream.guard_band import Reals
from vrcodec.bitstream.latent_stream import LevelEnd, Stream, build_stream
from vrcodec.bitstream.progressive import MAX_LEVELS, build_progressive, parse_progressive
from vrcodec.bitstream.rans import CodingTables, Symbols
from vrcodec.bitstream.symbol_coding import StreamReader, StreamWriter
from vrcodec.bitstream.tables import gaussian_tables
from vrcodec.errors import CorruptError

TABLES = CodingTables(gaussian_tables())

# Symbols and table indices of a level.
Level = tuple[Symbols, Reals]


def random_level(random: np.random.Generator, count: int) -> Level:
    """Symbols that suit their tables, but for some that are outside of them."""
    t = random.uniform(-2, 66, count)
    scale = 2.0 ** (t * 3 / 16 - 3) * random.choice([1, 1, 50], count)
    symbols = random.normal(0, scale).round().clip(-1e5, 1e5)
    return symbols.astype(np.int32), t


def written(levels: list[Level]) -> Stream:
    writer = StreamWriter()
    for number, (symbols, t) in enumerate(levels):
        if number:
            writer.end_level()
        writer.put_guarded(symbols, t, TABLES)
    return writer.finish()


def read(stream: Stream, levels: list[Level]) -> list[Symbols]:
    """All that ``stream`` has."""
    reader, found = StreamReader(stream), []
    for _, t in levels[: stream.level_count]:
        found.append(reader.get_guarded(t, TABLES))
        reader.end_level()
    return found


LEVELS = st.tuples(
    st.integers(0, 2**32), st.integers(2, 5), st.integers(1, 3), st.sampled_from([2, 30])
)


def random_ladder(choice: tuple[int, int, int, int]) -> list[list[Level]]:
    seed, levels, blocks, most = choice
    random = np.random.default_rng(seed)
    return [
        [random_level(random, random.integers(0, most)) for _ in range(levels)]
        for _ in range(blocks)
    ]


@examples(60)
@given(LEVELS)
def test_every_prefix_is_worth_its_complete_levels(choice: tuple[int, int, int, int]) -> None:
    content = random_ladder(choice)
    streams = [written(levels) for levels in content]
    payload = build_progressive(streams)
    whole = parse_progressive(payload, len(streams))
    assert whole.streams == streams
    assert sum(whole.level_sizes) == len(payload)
    ends = np.cumsum(whole.level_sizes)
    for length in range(len(payload)):
        cut = payload[:length]
        with pytest.raises(CorruptError):
            parse_progressive(cut, len(streams))
        complete = int((ends <= length).sum())
        if not complete:
            with pytest.raises(CorruptError):
                parse_progressive(cut, len(streams), partial=True)
            continue
        progressive = parse_progressive(cut, len(streams), partial=True)
        assert progressive.streams == [stream.truncate(complete) for stream in streams]
        assert progressive.level_sizes == whole.level_sizes[:complete]
    for count in range(1, whole.level_count + 1):
        for stream, levels in zip(streams, content, strict=True):
            for symbols, (expected, _) in zip(
                read(stream.truncate(count), levels), levels, strict=False
            ):
                assert (symbols == expected).all()


def test_levels_share_one_stream() -> None:
    """Against streams of their own, each with its checksum and its unfinished words."""
    random = np.random.default_rng(0)
    levels = [random_level(random, 40) for _ in range(9)]
    together = len(build_progressive([written(levels)]))
    apart = sum(len(build_stream(written([level]))) for level in levels)
    assert together < apart


def test_a_level_is_checked_by_itself() -> None:
    levels = [random_level(np.random.default_rng(1), 30) for _ in range(3)]
    stream = written(levels)
    noticed = 0
    for place in range(stream.ends[0].size):
        data = bytearray(stream.data)
        data[place] ^= 0x10
        try:
            (symbols,) = read(replace(stream, data=bytes(data)).truncate(1), levels)
        except CorruptError:
            noticed += 1
        else:
            # The last of these bytes say something of the next level, too.
            assert (symbols == levels[0][0]).all()
    assert noticed > stream.ends[0].size / 2


@pytest.mark.parametrize("shift", [-4, 4])
def test_a_boundary_that_is_not_there_is_noticed(shift: int) -> None:
    """Else a file would decode whole, but not from its parts."""
    levels = [random_level(np.random.default_rng(2), 60) for _ in range(2)]
    stream = written(levels)
    end = stream.ends[0]
    moved = replace(stream, ends=[LevelEnd(end.size + shift, end.check)])
    with pytest.raises(CorruptError, match="checksum"):
        read(moved, levels)


def test_nonsense_is_refused() -> None:
    payload = build_progressive([written([random_level(np.random.default_rng(3), 9)] * 2)])
    with pytest.raises(CorruptError, match="behind the last level"):
        parse_progressive(payload + b"\0", 1)
    with pytest.raises(CorruptError, match="behind the last level"):
        parse_progressive(payload + b"\0", 1, partial=True)
    for levels in (0, 1, MAX_LEVELS + 1, 255):
        with pytest.raises(CorruptError, match=f"a picture of {levels} levels"):
            parse_progressive(bytes([levels]) + payload[1:], 1)
    with pytest.raises(CorruptError):
        parse_progressive(b"", 1)
    # As many blocks as a header may claim, and no bytes to show for them.
    with pytest.raises(CorruptError):
        parse_progressive(payload, 1 << 30, partial=True)
