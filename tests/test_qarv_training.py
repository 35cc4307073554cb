"""Training of the hierarchical family: where it starts, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import GOLDEN, Pixels
from tests.levels import LEVELS
from vrcodec.catalog import find_by_family
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import WeightsError
from vrcodec.models import Qarv, Qvrf
from vrcodec.models.learning.passes import run
from vrcodec.models.learning.trainable import attach_training, load_trainable
from vrcodec.picture.picture import Picture
from vrcodec.training.recipes import Recipe
from vrcodec.training.schedule import Schedule
from vrcodec.training.session import Session, train
from vrcodec.training.transfer import initialise_qarv


def test_training_starts_with_the_transforms_of_qvrf() -> None:
    source = load_trainable(find_by_family("qvrf"))
    assert isinstance(source, Qvrf)
    model = Qarv(load_trainable(find_by_family("qarv")).size)
    attach_training(model)
    x = torch.rand(2, 3, 64, 96)
    named = initialise_qarv(model, source, x)
    assert {name.split(".")[0] for name in named} == {"encoder", "synthesis_net"}
    y = source.analysis_net(x - 0.5)
    assert model.encoder is not None
    assert torch.equal(model.encoder.analysis_net(x - 0.5), y)
    rate = torch.tensor([0.7, 0.7])
    # At the finest steps what is decoded is what the source would decode.
    with torch.no_grad():
        for level in model.descent.levels()[-1]:
            level.log2_gain += 8
        model.eval()
        found = run(model, x, rate).x_hat
        expected = source.synthesis_net(source.restore(y, source.gains(rate))) + 0.5
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("source", ["qvrf", "qarv", None])
def test_a_session_leaves_both_files(
    tmp_path: Path, photograph: Pixels, monkeypatch: pytest.MonkeyPatch, source: str | None
) -> None:
    folder, target = tmp_path / "data", tmp_path / "run"
    folder.mkdir()
    Image.fromarray(photograph).save(folder / "photograph.png")
    size = load_trainable(find_by_family("qarv")).size
    recipe = Recipe(family="qarv", size=size, crop=64, batch=2, optimizer="muon")
    init = GOLDEN / f"{source}.safetensors" if source else None
    train(Session(recipe, (folder,), target, Schedule(steps=2), init=init, device="cpu"))
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(target))
    entry = find_by_family("qarv")
    assert entry.path.parent == target
    assert entry.card["training"][-1]["samples"] == 4
    assert entry.encoder_id is not None
    data = Encoder("qarv").encode(Picture.from_array(photograph), 30_000)
    assert Decoder().decode(data).pixels.shape == photograph.shape


def test_other_families_are_no_start(tmp_path: Path, photograph: Pixels) -> None:
    Image.fromarray(photograph).save(tmp_path / "photograph.png")
    size = load_trainable(find_by_family("qarv")).size
    recipe = Recipe(family="qarv", size=size, crop=64, batch=2)
    init = GOLDEN / "gained.safetensors"
    with pytest.raises(WeightsError, match="starts from the weights of qvrf"):
        train(
            Session(
                recipe, (tmp_path,), tmp_path / "run", Schedule(steps=1), init=init, device="cpu"
            )
        )


def test_gradient_reaches_every_parameter(photograph: Pixels) -> None:
    model = load_trainable(find_by_family("qarv")).train()
    x = torch.from_numpy(photograph[:128, :128]).permute(2, 0, 1).unsqueeze(0) / 255
    out = run(model, x, torch.tensor([0.43]))
    assert len(out.likelihoods) == LEVELS
    bits = sum(-torch.log2(p).sum() for p in out.likelihoods.values())
    (bits + 1e4 * (out.x_hat - x).square().sum()).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # Knots that this rate is not between.
    assert not [n for n in without if "log" not in n]


def test_training_estimate_and_bytes_agree(photograph: Pixels) -> None:
    picture = photograph[:144, :192]
    model = load_trainable(find_by_family("qarv"))
    x = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).unsqueeze(0) / 255
    with torch.no_grad():
        likelihoods = run(model, x, torch.tensor([0.5])).likelihoods
    estimated = sum(float(-torch.log2(p).sum()) for p in likelihoods.values()) / 8
    data = Encoder("qarv").encode(Picture.from_array(np.ascontiguousarray(picture)), 32768)
    assert len(data) == pytest.approx(estimated, rel=0.05, abs=90)
