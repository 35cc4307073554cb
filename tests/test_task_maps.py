"""Quality maps by gradients for a task: tiles, devices, random numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import skimage.data

from tests.conftest import Pixels, needs_torch
from vrcodec.catalog import find_by_family
from vrcodec.errors import DeviceError, UsageError
from vrcodec.maps.levels import Levels
from vrcodec.regions.tiling import Tiling

pytestmark = needs_torch

Descend = Callable[..., Levels]


@pytest.fixture
def pixels() -> Pixels:
    """Five by seven cells, the last ones in part."""
    return np.ascontiguousarray(skimage.data.astronaut()[40:190, 100:310])


@pytest.fixture
def descend(pixels: Pixels) -> Descend:
    """The map that a task makes, which looks at the left."""

    def loss(decoded, original):  # type: ignore[no-untyped-def]
        assert decoded.shape == original.shape == (1, 3, 150, 210)
        return 20000 * (decoded - original)[..., :100].square().mean()

    def make(**given: object) -> Levels:
        from vrcodec.maps.tasks import task_map

        return task_map(find_by_family("qmap"), pixels, loss, **{"steps": 5, **given})

    return make


@pytest.mark.parametrize(("side", "largest"), [(2, 1e-3), (1, 0.15)])
def test_tiles_give_the_map_of_the_whole(
    descend: Descend, monkeypatch: pytest.MonkeyPatch, side: int, largest: float
) -> None:
    """But for what lies beyond the halo, which the larger ones include; without noise, which is random."""
    import torch

    monkeypatch.setattr(torch, "rand_like", lambda x: torch.full_like(x, 0.5))
    monkeypatch.setattr(
        torch.Tensor, "uniform_", lambda x, low, high, **_: x.fill_((low + high) / 2)
    )
    whole = descend(tiling=Tiling(side=99))
    tiles = descend(tiling=Tiling(side=side))
    assert whole.shape == tiles.shape == (5, 7)
    assert np.ptp(whole) > 0.4
    assert np.abs(tiles - whole).mean() < 0.03
    assert np.abs(tiles - whole).max() < largest


def test_steps_are_told(descend: Descend) -> None:
    """Of tiles, the bits are estimated."""
    told: dict[int, list[tuple[float, float]]] = {99: [], 1: []}
    for side, steps in told.items():
        descend(
            steps=2, tiling=Tiling(side=side), step_done=lambda *s, steps=steps: steps.append(s)
        )
    assert [len(steps) for steps in told.values()] == [2, 2]
    assert np.array(told[1]) == pytest.approx(np.array(told[99]), rel=0.1)


def test_a_map_is_the_same_each_time_and_leaves_random_numbers_alone(descend: Descend) -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = descend(steps=2)
    assert (torch.rand(3) == expected).all()
    assert (descend(steps=2) == first).all()


def test_the_device_is_what_was_asked_for(descend: Descend) -> None:
    assert (descend(steps=1, device="cpu") == descend(steps=1, device="cpu")).all()
    with pytest.raises(DeviceError, match="no device 'cuda:99'"):
        descend(device="cuda:99")
    with pytest.raises(UsageError, match="unknown device"):
        descend(device="abacus")


def test_a_gpu_without_enough_memory(pixels: Pixels) -> None:
    import torch

    from vrcodec.maps.tasks import task_map

    def loss(decoded: object, original: object) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DeviceError, match="out of memory on cpu; try --device cpu"):
        task_map(find_by_family("qmap"), pixels, loss, device="cpu")  # type: ignore[arg-type]
