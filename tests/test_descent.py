"""Descent in blocks and strips, within a budget of steps or of time."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from tests.conftest import Pixels
from tests.surrogates import CODE, CPU, FAMILIES, cost, surrogate
from tests.test_codec import gradient
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder
from vrcodec.picture.picture import Picture
from vrcodec.refinement import descent, rounding
from vrcodec.refinement.descent import LatentOptimiser, StepBudget
from vrcodec.refinement.distortion import Original, SquaredError
from vrcodec.refinement.effort import STEPS, Effort, SearchMonitor
from vrcodec.refinement.surrogate import Surrogate


def distortion_gradient(pixels: Pixels, own: Surrogate) -> torch.Tensor:
    """The gradient of the distortion towards what the synthesis gets of the first block."""
    distortion = SquaredError(Original(pixels, CPU), own.levels)
    optimiser = LatentOptimiser(own, distortion, halo=4)
    block = own.blocks[0]
    optimiser.run(StepBudget(steps=0), lambda share: None)
    y_hat, _ = own.decode(block, own.variables(block), rounding.round_residual)
    return optimiser._distortion_gradient(block, y_hat.detach())


@pytest.mark.parametrize("size", [(190, 300), (1200, 90)])
def test_strips_do_not_change_gradients(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    pixels = gradient(*size)
    _, _, own = surrogate("qvrf", pixels)
    whole = distortion_gradient(pixels, own)
    monkeypatch.setattr(descent, "_STRIP_PIXELS", 16 * size[0] * 2)
    assert torch.allclose(
        distortion_gradient(pixels, own), whole, rtol=1e-3, atol=1e-3 * float(whole.abs().max())
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_are_refined_each_beside_the_others(family: str) -> None:
    pixels = gradient(1060, 40)
    encoder, picture = Encoder(family), Picture.from_array(pixels)
    shares: list[float] = []
    data = encoder.encode(picture, CODE, effort=Effort(4), monitor=SearchMonitor(shares.append))
    assert shares == sorted(shares)
    assert 0.0 <= shares[0] < 0.5 < shares[-1] <= 1.0
    setting = RateSetting(CODE)
    plain = encoder.encode(picture, CODE)
    assert cost(encoder, picture, setting, data) < cost(encoder, picture, setting, plain)


def test_steps_double() -> None:
    assert STEPS[0] == 0
    assert all(1.5 <= b / a <= 2 for a, b in pairwise(STEPS[1:]))


def test_a_budget_of_time_is_shared_by_blocks_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(descent.time, "monotonic", lambda: clock[0])
    budget = StepBudget.until(110.0, coding_seconds=0.25)
    assert 16 <= budget.steps <= 64
    for block in range(4):
        began = clock[0]
        for share in budget.progress(block, 4):
            assert 0 <= share < 1
            clock[0] += 0.3
        assert 2.1 <= clock[0] - began <= 2.8
    assert clock[0] <= 110.3
    assert list(budget.progress(3, 4)) == []


def test_a_short_budget_is_searched_as_a_search_of_few_steps() -> None:
    now = descent.time.monotonic()
    assert StepBudget.until(now + 1, coding_seconds=0.5).steps <= 4
    assert StepBudget.until(now - 1, coding_seconds=0.5).steps == 1
    assert StepBudget.until(now + 1e300, coding_seconds=0.0).steps == STEPS[-1]


def test_a_budget_that_is_spent_before_it_begins_gives_the_plain_file(photograph: Pixels) -> None:
    encoder, picture = Encoder("qvrf"), Picture.from_array(photograph)
    found = encoder.encode(picture, CODE, effort=Effort(seconds=1e-6))
    assert Decoder().decode(found).pixels.shape == photograph.shape
