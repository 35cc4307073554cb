"""The rANS coder of the package `constriction`, under the names of `vrcodec.bitstream.plain_ans`."""

from __future__ import annotations

import constriction
import numpy as np
import numpy.typing as npt

from vrcodec.bitstream.plain_ans import Values

_model = constriction.stream.model
_UNIFORM = _model.Uniform()


class Table:
    """A table of integer frequencies, converted in well under a millisecond."""

    def __init__(self, frequencies: npt.NDArray[np.int64]) -> None:
        # constriction gives every symbol one count and shares out the rest in proportion. Handing it
        # frequency - 1 therefore makes its table exactly ours (all sums are exact in float64).
        weights = (frequencies - 1).astype(np.float64)
        self.model = _model.Categorical(weights, perfect=False)


class CompiledAnsCoder:
    """As `vrcodec.bitstream.plain_ans.PlainAnsCoder`."""

    def __init__(self, words: npt.NDArray[np.uint32] | None = None) -> None:
        coder = constriction.stream.stack.AnsCoder
        self._coder = coder() if words is None else coder(words)

    def encode_table(self, values: Values, table: Table) -> None:
        """Encode symbols (n,) of one table, the last one first."""
        self._coder.encode_reverse(values, table.model)

    def encode_bits(self, values: Values, lengths: Values) -> None:
        """Encode numbers (n,) below 2^``lengths`` (n,), 1 at least, the last one first."""
        self._coder.encode_reverse(values, _UNIFORM, np.left_shift(1, lengths, dtype=np.int32))

    def decode_table(self, table: Table, count: int) -> Values:
        """Decode ``count`` symbols of one table."""
        values: Values = self._coder.decode(table.model, count)
        return values

    def decode_bits(self, lengths: Values) -> Values:
        """Decode numbers below 2^``lengths`` (n,)."""
        values: Values = self._coder.decode(_UNIFORM, np.left_shift(1, lengths, dtype=np.int32))
        return values

    def word_count(self) -> int:
        """How many words there are beside those of the state."""
        return int(self._coder.pos()[0])

    def words(self) -> npt.NDArray[np.uint32]:
        """All words."""
        words: npt.NDArray[np.uint32] = self._coder.get_compressed()
        return words

    def is_empty(self) -> bool:
        """Whether everything was decoded."""
        return bool(self._coder.is_empty())
