"""BD-rates of curves whose answer is known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrcodec.bench.bdrate import bd_rate

BPP = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]
PSNR = [26.0, 28.5, 31.2, 34.1, 37.5, 41.0]


@given(st.floats(0.2, 5.0))
def test_a_curve_at_a_multiple_of_the_rate(factor: float) -> None:
    found = bd_rate(BPP, PSNR, [factor * b for b in BPP], PSNR)
    assert found is not None
    assert found.pchip == pytest.approx(100 * (factor - 1), abs=1e-6)
    assert found.akima == pytest.approx(100 * (factor - 1), abs=1e-6)
    assert (found.low, found.high) == (26.0, 41.0)


def test_only_the_common_range_counts() -> None:
    found = bd_rate(BPP, PSNR, BPP[2:], PSNR[2:])
    assert found is not None
    assert (found.low, found.high) == (31.2, 41.0)
    # Ends differ between a curve and its part: interpolation there sees other neighbours.
    assert found.pchip == pytest.approx(0, abs=1.0)
    assert found.akima is None, "Akima needs five points"


def test_curves_without_a_common_range_have_none() -> None:
    assert bd_rate(BPP, PSNR, BPP, [q + 20 for q in PSNR]) is None
    assert bd_rate(BPP, PSNR, [0.3], [30.0]) is None


def test_points_that_pay_more_for_less_are_passed_over() -> None:
    found = bd_rate(BPP, PSNR, [*BPP, 0.9, 5.0], [*PSNR, 30.0, math.inf])
    assert found is not None
    assert found.pchip == pytest.approx(0, abs=1e-9)


def test_order_of_points_does_not_matter() -> None:
    own = [0.9 * b for b in BPP]
    assert bd_rate(BPP, PSNR, own[::-1], PSNR[::-1]) == bd_rate(BPP, PSNR, own, PSNR)
