"""Pictures to train on: found in folders, loaded, and cropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from tests.recipes import pictures, save_pictures
from vrcodec.errors import InputError
from vrcodec.picture.folders import find_pictures
from vrcodec.training.data import CropSampler, load_pictures


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("data"))


def test_crops_come_from_the_pictures(data: Path) -> None:
    sampler = CropSampler(pictures(data), 64, 0, "cpu")
    batch = sampler.batch(8)
    assert batch.shape == (8, 3, 64, 64)
    assert 0 <= float(batch.min()) <= float(batch.max()) <= 1
    again = CropSampler(pictures(data), 64, 0, "cpu").batch(8)
    assert torch.equal(batch, again)
    assert np.unique(batch.flatten(1).sum(1).numpy()).size == 8
    with pytest.raises(InputError):
        CropSampler(pictures(data), 500, 0, "cpu")


def test_pictures_that_cannot_be_read_are_named_and_left_out(tmp_path: Path) -> None:
    Image.fromarray(skimage.data.astronaut()[:20, :30]).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    Image.new("I;16", (9, 9)).save(tmp_path / "deep.png")
    named: list[str] = []
    loaded = load_pictures(find_pictures([tmp_path]), lambda error: named.append(str(error)))
    assert [tuple(p.shape) for p in loaded] == [(3, 20, 30)]
    assert len(named) == 2


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        find_pictures([tmp_path])
