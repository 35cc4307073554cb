"""What levels, and maps of them, a training step sees."""

from __future__ import annotations

import pytest
import torch

from vrcodec.catalog import find_by_family
from vrcodec.models import Slim
from vrcodec.models.weights import load_trainable
from vrcodec.training.objectives import choose_objective, stratified_levels
from vrcodec.training.random_maps import draw_maps


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_batch_spans_all_rates(count: int) -> None:
    torch.manual_seed(0)
    draws = torch.stack([stratified_levels(count) for _ in range(400)])
    parts = (draws * count).floor().sort(dim=1).values
    assert torch.equal(parts, torch.arange(count).float().expand_as(parts))
    # No place in the batch is bound to a part, and within a part all levels are as likely.
    assert torch.allclose(draws.mean(0), torch.full((count,), 0.5), atol=0.08)
    assert torch.allclose((draws * count).frac().mean(), torch.tensor(0.5), atol=0.05)


def test_widths_see_all_of_their_levels() -> None:
    """Levels of a width are within its range, of which 1 is the end."""
    torch.manual_seed(0)
    model = load_trainable(find_by_family("slim"))
    assert isinstance(model, Slim)
    objective = choose_objective(model)
    drawn = torch.cat([objective.draw_levels(8) for _ in range(100)])
    assert drawn.shape == (800, len(model.size.widths))
    for levels in drawn.unbind(1):
        assert float(levels.min()) >= 0
        assert float(levels.max()) <= 1
        assert float(levels.max()) > 0.9
        assert float(levels.min()) < 0.1


def test_random_maps_are_what_files_can_hold() -> None:
    torch.manual_seed(0)
    x = torch.rand(200, 3, 64, 96)
    bounds = torch.rand(200, 2)
    maps = draw_maps(x, bounds)
    assert maps.shape == (200, 1, 2, 3)
    steps = maps * 255
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    low, high = bounds.amin(1), bounds.amax(1)
    assert (maps.amin((1, 2, 3)) >= low - 1 / 255).all()
    assert (maps.amax((1, 2, 3)) <= high + 1 / 255).all()
    uniform = float((maps.amax((1, 2, 3)) == maps.amin((1, 2, 3))).float().mean())
    assert 0.3 < uniform < 0.6
    # Uniform ones are the rates themselves: all of them.
    levels = maps[maps.amax((1, 2, 3)) == maps.amin((1, 2, 3))][:, 0, 0, 0]
    assert float(levels.min()) < 0.1
    assert float(levels.max()) > 0.9
