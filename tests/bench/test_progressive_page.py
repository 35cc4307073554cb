"""`benchmarks.progressive`: its table with and without JPEG XL, whose tools may be missing."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.jxl_passes import JxlTools, find_jxl_tools
from benchmarks.progressive import ladder_table
from benchmarks.timing import photograph


@pytest.mark.parametrize("figures", [6, 9])
def test_the_table_has_columns_for_what_was_measured(figures: int) -> None:
    ladders = [np.full((2, figures), value, float) for value in (0, 1)]
    columns, rows = ladder_table(ladders)
    assert {len(row) for row in rows} == {len(columns)} == {1 + figures}
    assert ("JPEG XL shown" in columns) == (figures == 9)
    if figures == 9:
        # Of two pictures one.
        assert rows[0][columns.index("JPEG XL shown")] == "1"


@pytest.fixture
def tools() -> JxlTools:
    found = find_jxl_tools()
    if found is None:
        pytest.skip("cjxl and djxl are not installed")
    return found


def test_a_jpeg_xl_file_keeps_to_a_size_and_shows_what_there_is(tools: JxlTools) -> None:
    pixels = photograph().pixels
    data = tools.encode_within(pixels, 40000)
    assert 39000 < len(data) <= 40000
    whole, start = tools.decode_start(data), tools.decode_start(data[:30000])
    assert whole is not None
    assert start is not None
    assert whole.shape == start.shape == pixels.shape
    before, after = (np.abs(pixels.astype(int) - p).mean() for p in (start, whole))
    assert after < before
    assert tools.decode_start(data[:20]) is None
