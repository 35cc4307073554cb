"""An rANS coder in plain Python, which reads and writes the same bits as that of `constriction`.

For systems that have no wheel of that package. docs/FORMAT.md, section 7, has the arithmetic: a 64-bit state,
32-bit words, probabilities of 24 bits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from vrcodec.bitstream.tables import PRECISION_BITS

_WORD_BITS = 32
_WORD_MASK = (1 << _WORD_BITS) - 1
_QUANTILE_MASK = (1 << PRECISION_BITS) - 1
# Below this a state has room for one more word.
_LOWEST_STATE = 1 << _WORD_BITS
_SHIFT = 64 - PRECISION_BITS

Values = npt.NDArray[np.int32]


class Table:
    """A table of integer frequencies: the symbol k has ``frequencies[k]`` of 2^24."""

    def __init__(self, frequencies: npt.NDArray[np.int64]) -> None:
        self.frequencies: list[int] = frequencies.tolist()
        self.starts: list[int] = (np.cumsum(frequencies) - frequencies).tolist()


class PlainAnsCoder:
    """A stack of symbols: what was encoded last is decoded first. ``words``: those of `get_compressed`."""

    def __init__(self, words: npt.NDArray[np.uint32] | None = None) -> None:
        self._words: list[int] = [] if words is None else words.tolist()
        self._state = 0
        while self._words and self._state < _LOWEST_STATE:
            self._state = self._state << _WORD_BITS | self._words.pop()

    def encode_table(self, values: Values, table: Table) -> None:
        """Encode symbols (n,) of one table, the last one first."""
        starts, frequencies = table.starts, table.frequencies
        entries = reversed(values.tolist())
        self._encode((starts[entry], frequencies[entry]) for entry in entries)

    def encode_bits(self, values: Values, lengths: Values) -> None:
        """Encode numbers (n,) below 2^``lengths`` (n,), all equally probable, the last one first."""
        widths = (1 << PRECISION_BITS) >> lengths.astype(np.int64)
        pairs = zip((values * widths).tolist()[::-1], widths.tolist()[::-1], strict=True)
        self._encode(pairs)

    def _encode(self, intervals: Iterable[tuple[int, int]]) -> None:
        """Encode intervals of quantiles: where each starts, and how long it is."""
        state, words = self._state, self._words
        for start, frequency in intervals:
            if state >> _SHIFT >= frequency:
                words.append(state & _WORD_MASK)
                state >>= _WORD_BITS
            quotient, remainder = divmod(state, frequency)
            state = (quotient << PRECISION_BITS) + start + remainder
        self._state = state

    def decode_table(self, table: Table, count: int) -> Values:
        """Decode ``count`` symbols of one table."""
        state, words = self._state, self._words
        starts, frequencies = table.starts, table.frequencies
        entries = []
        for _ in range(count):
            quantile = state & _QUANTILE_MASK
            entry = bisect_right(starts, quantile) - 1
            state = frequencies[entry] * (state >> PRECISION_BITS) + quantile - starts[entry]
            if state < _LOWEST_STATE and words:
                state = state << _WORD_BITS | words.pop()
            entries.append(entry)
        self._state = state
        return np.array(entries, np.int32)

    def decode_bits(self, lengths: Values) -> Values:
        """Decode numbers below 2^``lengths`` (n,)."""
        state, words = self._state, self._words
        values = []
        for length in lengths.tolist():
            bits = PRECISION_BITS - length
            quantile = state & _QUANTILE_MASK
            values.append(quantile >> bits)
            state = (state >> PRECISION_BITS << bits) + (quantile & ((1 << bits) - 1))
            if state < _LOWEST_STATE and words:
                state = state << _WORD_BITS | words.pop()
        self._state = state
        return np.array(values, np.int32)

    def word_count(self) -> int:
        """How many words there are beside those of the state."""
        return len(self._words)

    def words(self) -> npt.NDArray[np.uint32]:
        """All words: those of the state last, its highest at the end."""
        words, state = list(self._words), self._state
        while state:
            words.append(state & _WORD_MASK)
            state >>= _WORD_BITS
        return np.array(words, np.uint32)

    def is_empty(self) -> bool:
        """Whether everything was decoded."""
        return not self._words and not self._state
