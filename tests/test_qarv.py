"""The hierarchical family: blocks and phases, and a decoder that needs half of the weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import GOLDEN
from vrcodec.catalog import encoder_path
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import WeightsError
from vrcodec.models.networks.hierarchy import (
    ALL_PHASES,
    LatentSpec,
    gather_samples,
    scatter_samples,
)
from vrcodec.picture.picture import Picture


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "photograph.vrc"
    shutil.copy(GOLDEN / "qarv_photograph.vrc", path)
    return path


def test_blocks_do_not_know_of_each_other(qarv: Encoder) -> None:
    """So a block decodes alone, and the files of one are the streams of the other."""
    random = np.random.default_rng(5)
    left, right = random.integers(0, 256, (2, 48, 1024, 3), np.uint8)
    both = Picture.from_array(np.concatenate([left, right], axis=1))
    # The analysis sees across the border, so the latents are given.
    latents = qarv.analyse(both)
    streams = qarv.model.compress(latents, qarv.model.rate_parameters(20_000))
    half = replace(latents, y=latents.y[..., 64:])
    assert qarv.model.compress(half, qarv.model.rate_parameters(20_000)) == streams[1:]


@pytest.mark.parametrize("height", range(1, 6))
@pytest.mark.parametrize("width", range(1, 6))
def test_phases_are_all_samples_once(height: int, width: int) -> None:
    x = torch.rand(1, 2, height, width)
    sums = torch.zeros_like(x)
    for phase in ALL_PHASES:
        places = LatentSpec(2, (phase,)).positions(height, width)
        sums += scatter_samples(gather_samples(x, places), places, (height, width))
    assert (sums == x).all()
    assert len(LatentSpec(2, (0,)).positions(height, width)) == -(-height // 2) * -(-width // 2)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny weights, to be damaged."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for path in GOLDEN.glob("qarv*.*"):
        shutil.copy(path, folder)
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(folder))
    return folder


def test_a_decoder_does_not_need_the_encoders_weights(weights: Path, file: Path) -> None:
    apart = encoder_path(weights / "qarv.safetensors")
    apart.unlink()
    with Image.open(GOLDEN / "qarv_photograph.png") as image:
        expected = np.asarray(image).astype(int)
    pixels = Decoder().decode(file.read_bytes()).pixels
    assert np.abs(pixels - expected).max() <= 1
    with pytest.raises(WeightsError, match=apart.name):
        Encoder("qarv")


def test_damaged_weights_of_the_encoder_are_refused(weights: Path) -> None:
    apart = encoder_path(weights / "qarv.safetensors")
    data = bytearray(apart.read_bytes())
    data[-1] ^= 1
    apart.write_bytes(data)
    with pytest.raises(WeightsError, match="install them again"):
        Encoder("qarv")
