"""Integer tables: what the coder needs of them, and that they say what they should."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrcodec.bitstream.tables import TOTAL, TableSet, gaussian_tables, quantise_pmf, stack_tables


def test_gaussian_tables_match_the_distribution() -> None:
    tables = gaussian_tables()
    tables.check()
    for index in range(len(tables)):
        scale = 2.0 ** (-3 + index * 3 / 16)
        row = tables.table(index)
        half = len(row) // 2 - 1
        # What rounding leaves over goes to one symbol, so symmetry holds to that much.
        assert np.abs(row[:-1] - row[:-1][::-1]).max() <= len(row)
        exact = math.erf(0.5 / (scale * math.sqrt(2)))
        assert row[half] / TOTAL == pytest.approx(exact, rel=2e-3)
        values = np.arange(-half, half + 1)
        variance = float((row[:-1] / TOTAL * values**2).sum())
        if scale > 1:
            assert variance == pytest.approx(scale**2 + 1 / 12, rel=0.01)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(1e-9, 1))
def test_quantised_frequencies_are_positive_and_sum_up(pmf: list[float], escape: float) -> None:
    frequencies = quantise_pmf(np.array(pmf), escape)
    assert frequencies.min() >= 1
    assert frequencies.sum() == TOTAL


@pytest.mark.parametrize(
    ("frequencies", "sizes"),
    [
        ([TOTAL], [1]),
        ([TOTAL - 1, 1], [4]),
        ([TOTAL, 0], [2]),
        ([TOTAL, 1], [2]),
        ([], []),
    ],
)
def test_bad_tables_are_refused(frequencies: list[int], sizes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"table|frequenc"):
        TableSet(np.array(frequencies, np.int64), np.array(sizes, np.int64)).check()


def test_tables_keep_their_order() -> None:
    rows = [quantise_pmf(np.array([p]), 1 - p) for p in (0.25, 0.5)]
    tables = stack_tables(rows)
    assert [tables.table(k).tolist() for k in range(2)] == [row.tolist() for row in rows]
