"""Which width serves which rates: no picture steps back at a switch, and the work is bounded."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.extent import examples
from vrcodec.models.families.slim import even_schedule
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.training.width_schedule import LEVELS, Curve, find_schedule, mean_work


def curves(seed: int) -> dict[int, Curve]:
    """Narrow networks level off; pictures differ."""
    random = np.random.default_rng(seed)
    scatter = random.normal(0, 0.05, (5, 1))
    found = {}
    for width, ceiling, top in ((8, 31.0, 1.5), (16, 35.0, 2.4), (24, 60.0, 3.0)):
        log_bytes = 9 + top * LEVELS + scatter + random.normal(0, 0.02, (5, 1))
        ideal = 26 + 4.5 * (log_bytes - 9)
        psnr = ideal - np.logaddexp(0, ideal - ceiling) + random.normal(0, 0.05, (5, 1))
        found[width] = Curve(log_bytes, psnr)
    return found


WORK = {8: 1.0, 16: 4.0, 24: 9.0}


@examples(20)
@given(seed=st.integers(0, 1000))
def test_no_picture_steps_back_at_a_switch(seed: int) -> None:
    measured = curves(seed)
    rows = find_schedule(measured, WORK).tolist()
    assert rows[0][0] == 0
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    used = zip(measured.values(), rows, strict=True)
    for (narrow, before), (wide, after) in pairwise(used):
        for there, here in zip(
            narrow.interpolate(before[2] / 65535), wide.interpolate(after[1] / 65535), strict=True
        ):
            assert np.all(here >= there)
    assert all(0 <= low <= high <= RATE_CODE_MAX for _, low, high in rows)


@examples(20)
@given(seed=st.integers(0, 1000))
def test_a_schedule_does_half_of_the_widest_network_s_work(seed: int) -> None:
    """What there is left to do it is not given away; where narrow networks level off, they are left."""
    schedule = find_schedule(curves(seed), WORK)
    assert 0.4 * WORK[24] <= mean_work(schedule, WORK) <= 0.5 * WORK[24]
    narrow = curves(seed)[8]
    bits, quality = (
        float(v.mean()) for v in narrow.interpolate(int(schedule[0, 2]) / RATE_CODE_MAX)
    )
    widest = curves(seed)[24]
    needed = np.interp(quality, widest.psnr.mean(0), widest.log_bytes.mean(0))
    assert bits - needed < 0.25


def test_files_of_one_size_at_every_level_still_have_a_schedule() -> None:
    """As those of a model that has hardly been trained."""
    same = np.full((5, len(LEVELS)), 9.0)
    flat = {width: Curve(same, same + 20) for width in WORK}
    rows = find_schedule(flat, WORK).tolist()
    assert rows[0][0] == 0
    assert all(0 <= value <= RATE_CODE_MAX for row in rows for value in row)


def test_an_even_schedule_keeps_the_trade_off() -> None:
    rows = even_schedule((0.5, 0.8, 1.0)).tolist()
    assert [row[0] for row in rows] == [0, 21845, 43690]
    for (_, low, high), reach, first in zip(rows, (0.5, 0.8, 1.0), (0, 1 / 3, 2 / 3), strict=True):
        assert low * reach / RATE_CODE_MAX == pytest.approx(first, abs=1e-4)
        assert high * reach / RATE_CODE_MAX == pytest.approx(first + 1 / 3, abs=1e-4)
