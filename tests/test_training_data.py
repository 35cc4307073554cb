"""Pictures to train on: found in folders, loaded, and cropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import close_folder
from tests.extent import examples
from tests.recipes import pictures, save_pictures
from vrcodec.errors import InputError
from vrcodec.picture.folders import find_pictures
from vrcodec.picture.graphics import find_graphics
from vrcodec.training.data import CropSampler, draw_factor, load_pictures
from vrcodec.training.graphics import draw_graphics, draw_patches


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("data"))


def test_crops_come_from_the_pictures(data: Path) -> None:
    sampler = CropSampler(pictures(data), 64, "cpu")
    levels = np.linspace(0, 1, 8).tolist()
    batch = sampler.batch(levels, np.random.default_rng(0))
    assert batch.shape == (8, 3, 64, 64)
    assert 0 <= float(batch.min()) <= float(batch.max()) <= 1
    again = sampler.batch(levels, np.random.default_rng(0))
    assert torch.equal(batch, again)
    assert np.unique(batch.flatten(1).sum(1).numpy()).size == 8
    with pytest.raises(InputError):
        CropSampler(pictures(data), 500, "cpu")


def test_a_share_of_the_crops_is_graphics(data: Path) -> None:
    random = np.random.default_rng(0)
    sampler = CropSampler(pictures(data), 64, "cpu", graphics=0.25)
    crops = (sampler.batch([0.5] * 200, random) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    drawn = sum(find_graphics(np.ascontiguousarray(crop)) is not None for crop in crops)
    assert 25 < drawn < 75
    everything = CropSampler(pictures(data), 64, "cpu", graphics=1).batch([0.5] * 40, random)
    assert torch.equal(everything * 255, (everything * 255).round())


def test_patches_come_with_graphics(data: Path) -> None:
    assert CropSampler(pictures(data), 64, "cpu").patches(8, np.random.default_rng(0)) is None
    sampler = CropSampler(pictures(data), 64, "cpu", graphics=0.1)
    first, again = (sampler.patches(8, np.random.default_rng(0)) for _ in range(2))
    assert first is not None
    assert again is not None
    assert first.shape == (8, 3, 64, 64)
    assert torch.equal(first, again)


@examples(40)
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_patches_are_flats_and_writing_on_white(seed: int, count: int) -> None:
    patches = draw_patches(count, 64, np.random.default_rng(seed))
    assert patches.shape == (count, 64, 64, 3)
    flats, writing = patches[::2], patches[1::2]
    assert (flats == flats[:, :1, :1]).all()
    assert all((patch == 255).all(axis=2).any() for patch in writing)


def test_colours_of_patches_are_mostly_pure() -> None:
    """All pure colours occur, and others."""
    colours = draw_patches(400, 16, np.random.default_rng(0))[::2, 0, 0]
    pure = ((colours == 0) | (colours == 255)).all(axis=1)
    assert 0.4 < pure.mean() < 0.9
    assert len(np.unique(colours[pure], axis=0)) == 8


@examples(40)
@given(st.integers(0, 10_000), st.sampled_from([16, 64, 100, 256]))
def test_graphics_of_any_kind_are_drawn(seed: int, side: int) -> None:
    photograph = np.ascontiguousarray(skimage.data.astronaut()[:side, :side])
    first, again = (draw_graphics(side, np.random.default_rng(seed), photograph) for _ in range(2))
    assert first.shape == (side, side, 3)
    assert first.dtype == np.uint8
    assert (first == again).all()


def test_crops_of_high_levels_are_shrunk() -> None:
    """What another codec has left in a photograph would else be learnt where nothing else is left to learn."""
    random = np.random.default_rng(0)

    def factors(level: float) -> list[float]:
        return [draw_factor(level, random) for _ in range(400)]

    low, middle, high = factors(0.2), factors(0.65), factors(0.9)
    assert 0.4 < low.count(1.0) / 400 < 0.6
    assert 0.15 < middle.count(1.0) / 400 < 0.35
    assert max(high) < 0.71
    assert max(f for f in low if f < 1) > 0.85
    assert min(min(low), min(high)) > 0.49


def test_crops_are_turned_in_all_eight_ways() -> None:
    picture = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2)
    sampler, random = CropSampler([picture], 2, "cpu"), np.random.default_rng(0)
    batch = (sampler.batch([0.0] * 200, random) * 255).round().byte()
    whole = {bytes(crop.contiguous().numpy().tobytes()) for crop in batch}
    turned = [torch.rot90(p, k, (1, 2)) for p in (picture, picture.flip(-1)) for k in range(4)]
    assert {crop.contiguous().numpy().tobytes() for crop in turned} == whole


def test_pictures_that_cannot_be_read_are_named_and_left_out(tmp_path: Path) -> None:
    Image.fromarray(skimage.data.astronaut()[:20, :30]).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    Image.new("I;16", (9, 9)).save(tmp_path / "deep.png")
    named: list[str] = []
    loaded = load_pictures(find_pictures([tmp_path]), lambda error: named.append(str(error)))
    assert [tuple(p.shape) for p in loaded] == [(3, 20, 30)]
    assert len(named) == 2


def test_folders_that_cannot_be_listed_are_named_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As lost+found is, at the top of a disk."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.png").touch()
    close_folder(tmp_path / "closed", monkeypatch)
    named: list[str] = []
    found = find_pictures([tmp_path], lambda error: named.append(str(error)))
    assert found == [tmp_path / "a.png"]
    assert named == [f"{tmp_path / 'closed'}: cannot be listed: Permission denied"]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        find_pictures([tmp_path])
