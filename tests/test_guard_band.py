"""The guard band: noise never changes a table that the decoder uses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrcodec.bitstream.guard_band import GUARD, apply_ties, find_ties, round_to_table
from vrcodec.bitstream.latent_stream import Tie
from vrcodec.errors import CorruptError

TABLES = 64
boundaries = st.integers(-3, 66).map(lambda k: k + 0.5)
near_boundary = st.tuples(boundaries, st.floats(-2 * GUARD, 2 * GUARD)).map(sum)
values = st.lists(st.one_of(near_boundary, st.floats(-10, 80)), min_size=1, max_size=20)


@given(values, st.integers(0, 2**32 - 1))
def test_noise_below_the_guard_changes_nothing(reals: list[float], seed: int) -> None:
    t = np.array(reals)
    indices = round_to_table(t, TABLES)
    ties = find_ties(t, indices, TABLES)
    noise = np.random.default_rng(seed).uniform(-0.9 * GUARD, 0.9 * GUARD, len(t))
    elsewhere = round_to_table(t + noise, TABLES)
    assert apply_ties(elsewhere, ties, TABLES).tolist() == indices.tolist()


def test_without_the_list_noise_does_flip_an_index() -> None:
    t = np.array([10.5 - 1e-15])
    assert round_to_table(t, TABLES) != round_to_table(t + 1e-14, TABLES)


def test_values_beyond_the_ends_are_no_ties() -> None:
    t = np.array([-0.5, 63.5, -7.5, 90.5, 0.5, 62.5])
    ties = find_ties(t, round_to_table(t, TABLES), TABLES)
    assert [tie.position for tie in ties] == [4, 5]


@pytest.mark.parametrize("tie", [Tie(3, 0), Tie(-1, 0), Tie(0, TABLES), Tie(0, -1)])
def test_ties_outside_the_stream_are_refused(tie: Tie) -> None:
    with pytest.raises(CorruptError):
        apply_ties(np.zeros(3, np.uint8), [tie], TABLES)
