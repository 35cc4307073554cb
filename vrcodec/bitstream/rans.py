"""rANS coding of integer symbols with integer tables.

The coder is that of the package `constriction` where there is one, else `vrcodec.bitstream.plain_ans`: the same
bits. Symbols that share a table are coded in one call, so the cost is that of the compiled coder. What lies
outside a table is an escape followed by an Exp-Golomb code, in the same stream. docs/FORMAT.md has the
arithmetic; a test holds it against a plain Python coder.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from vrcodec.bitstream.ans import AnsCoder, Table
from vrcodec.bitstream.tables import TableSet
from vrcodec.errors import CorruptError

# Escaped magnitudes have at most this many bits: far more than any trained latent needs, and few
# enough for every value to stay inside int32.
MAX_ESCAPE_BITS = 20
SYMBOL_LIMIT = (1 << MAX_ESCAPE_BITS) - 1

# Bits of the length of an escaped magnitude, and of its sign.
_LENGTH_BITS, _SIGN_BITS = 5, 1

Symbols = npt.NDArray[np.int32]
Indices = npt.NDArray[np.integer[Any]]


class CodingTables:
    """A `TableSet` converted for the coder. ``halves``: m of each table."""

    def __init__(self, tables: TableSet) -> None:
        tables.check()
        self.source = tables
        self.halves: Symbols = (tables.sizes // 2 - 1).astype(np.int32)
        self.tables = [Table(tables.table(k)) for k in range(len(tables))]

    def __len__(self) -> int:
        return len(self.tables)


class RansEncoder:
    """Collects symbols in decoding order; `finish` codes them, last first, as rANS must."""

    def __init__(self) -> None:
        # Symbols with their table, or numbers with the bits that each takes.
        self._steps: list[tuple[Symbols, Table | Symbols]] = []
        self._marks: list[int] = []

    def put(self, symbols: Symbols, indices: Indices, tables: CodingTables) -> None:
        """Add ``symbols`` (n,), each with the table that ``indices`` (n,) names.

        Values must lie within +-`SYMBOL_LIMIT`.
        """
        groups = _SymbolsByTable(indices, len(tables))
        half = groups.per_symbol(tables.halves)
        entries = symbols[groups.order] + half
        escaped = np.flatnonzero((entries < 0) | (entries > 2 * half))
        entries[escaped] = 2 * half[escaped] + 1
        for table, members in groups:
            self._steps.append((entries[members], tables.tables[table]))
        if len(escaped):
            positions = np.sort(groups.order[escaped])
            self._put_escapes(symbols[positions], tables.halves[indices[positions]])

    def _put_escapes(self, symbols: Symbols, half: Symbols) -> None:
        rest = np.abs(symbols) - half
        # The bit length of rest >= 1; frexp is exact for integers of this size.
        length = np.frexp(rest.astype(np.float64))[1].astype(np.int32)
        self._steps.append((length, np.full_like(length, _LENGTH_BITS)))
        self._steps.append(((symbols < 0).astype(np.int32), np.full_like(length, _SIGN_BITS)))
        long = length > 1
        if long.any():
            bits = length[long] - 1
            self._steps.append((rest[long] - np.left_shift(1, bits).astype(np.int32), bits))

    def mark(self) -> None:
        """Remember this place, for which `finish_marked` returns how many bytes lead to it."""
        self._marks.append(len(self._steps))

    def finish(self) -> bytes:
        """Code everything that was put. Little-endian 32-bit words, zero bytes at the end dropped."""
        return self.finish_marked()[0][::-1]

    def finish_marked(self) -> tuple[bytes, list[int]]:
        """The bytes of `finish`, last one first: the order in which they are read.

        Also returns, for every mark, how many of the bytes suffice to decode what was put before it.
        """
        coder = AnsCoder()
        ends = [*self._marks, len(self._steps)]
        sizes_after = []
        for start, end in reversed(list(pairwise(ends))):
            self._code(coder, start, end)
            # The coder's own state still changes; words that have left it do not.
            sizes_after.append(4 * coder.word_count())
        self._code(coder, 0, ends[0])
        data = coder.words().astype("<u4").tobytes()[::-1].lstrip(b"\0")
        return data, [len(data) - size for size in reversed(sizes_after)]

    def _code(self, coder: AnsCoder, start: int, end: int) -> None:
        for values, table in reversed(self._steps[start:end]):
            if isinstance(table, Table):
                coder.encode_table(values, table)
            else:
                coder.encode_bits(values, table)


class RansDecoder:
    """Reads back what `RansEncoder` wrote, in the same order of calls.

    Any bytes decode to something: only a checksum of the caller tells whether they are right.
    """

    def __init__(self, data: bytes, *, marked: bool = False) -> None:
        """``marked``: ``data`` comes from `RansEncoder.finish_marked`, or is its beginning up to a mark."""
        if marked:
            data = data[::-1]
        padded = data.rstrip(b"\0")
        padded += b"\0" * (-len(padded) % 4)
        self._coder = AnsCoder(np.frombuffer(padded, "<u4").astype(np.uint32))

    def words_left(self) -> int:
        """How many 32-bit words have not been read."""
        return self._coder.word_count()

    def get(self, indices: Indices, tables: CodingTables) -> Symbols:
        """Decode one symbol for each entry of ``indices`` (n,)."""
        groups = _SymbolsByTable(indices, len(tables))
        values = np.empty(len(indices), np.int32)
        for table, members in groups:
            count = members.stop - members.start
            values[members] = self._coder.decode_table(tables.tables[table], count)
        half = groups.per_symbol(tables.halves)
        values -= half
        escaped = np.flatnonzero(values > half)
        symbols = np.empty_like(values)
        symbols[groups.order] = values
        if len(escaped):
            positions = np.sort(groups.order[escaped])
            symbols[positions] = self._get_escapes(tables.halves[indices[positions]])
        return symbols

    def _get_escapes(self, half: Symbols) -> Symbols:
        count = len(half)
        length = self._coder.decode_bits(np.full(count, _LENGTH_BITS, np.int32))
        if (length < 1).any() or (length > MAX_ESCAPE_BITS).any():
            raise CorruptError("a symbol outside the permitted range")
        negative = self._coder.decode_bits(np.full(count, _SIGN_BITS, np.int32)).astype(bool)
        rest = np.ones(count, np.int32)
        long = length > 1
        if long.any():
            bits = length[long] - 1
            rest[long] = self._coder.decode_bits(bits) + np.left_shift(1, bits).astype(np.int32)
        magnitude = rest + half
        return np.where(negative, -magnitude, magnitude).astype(np.int32)

    def finished(self) -> bool:
        """Whether the stream ends here, as it must after its last symbol."""
        return self._coder.is_empty()


class _SymbolsByTable:
    """Symbols sorted by table, those of one table in their order.

    ``order`` (n,): their positions. Iterating yields (table, slice of the sorted symbols) for every table
    in use, ascending. Raises CorruptError when an index names no table.
    """

    def __init__(self, indices: Indices, table_count: int) -> None:
        if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= table_count):
            raise CorruptError("a table index outside the table set")
        self.order = np.argsort(indices, kind="stable")
        self._ends = np.searchsorted(indices[self.order], np.arange(table_count), side="right")
        self._counts = np.diff(self._ends, prepend=0)

    def per_symbol(self, table_values: Symbols) -> Symbols:
        """(n,) for each sorted symbol, that of ``table_values`` which belongs to its table."""
        return np.repeat(table_values, self._counts)

    def __iter__(self) -> Iterator[tuple[int, slice]]:
        for table in np.flatnonzero(self._counts).tolist():
            end = int(self._ends[table])
            yield table, slice(end - int(self._counts[table]), end)
