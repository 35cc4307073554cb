"""Starting one family from the weights of another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.conftest import GOLDEN, Pixels
from vrcodec.catalog import find_by_family
from vrcodec.cli.main import run
from vrcodec.errors import WeightsError
from vrcodec.models import Gained, Qarv, Qmap, Qvrf
from vrcodec.models.learning.passes import run as run_model
from vrcodec.models.learning.trainable import attach_training, load_state, load_trainable
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.gains import interpolate_gains
from vrcodec.models.networks.module import initialised
from vrcodec.models.weights import load_size
from vrcodec.training.recipes import load_recipe
from vrcodec.training.schedule import Schedule
from vrcodec.training.session import Session, train
from vrcodec.training.transfer import Transforms, convert_gained, replace_transforms


@pytest.fixture
def data(tmp_path: Path, photograph: Pixels) -> Path:
    """A folder with a training picture."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(photograph[:100, :100]).save(folder / "a.png")
    return folder


@pytest.mark.parametrize(
    ("options", "steps"), [((), 300), (("--freeze", "0"), 0), (("--freeze", "7"), 7)]
)
def test_how_long_a_start_stands_still(
    options: tuple[str, ...],
    steps: int,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions: list[Session] = []
    monkeypatch.setattr("vrcodec.training.session.train", sessions.append)
    folders = ["--data", str(data), "-o", str(tmp_path / "run")]
    assert run(["train", "qarv", *folders, "--steps", "9", *options]) == 0
    recipes = [replace(session.recipe, **session.overrides) for session in sessions]
    assert [recipe.frozen_steps for recipe in recipes] == [steps]


@pytest.mark.parametrize("family", ["qvrf", "slim"])
def test_weights_of_another_size_are_no_start(family: str, data: Path, tmp_path: Path) -> None:
    recipe = replace(load_recipe(family), crop=64)
    init = GOLDEN / "gained.safetensors"
    with pytest.raises(WeightsError, match=r"channels = \d+, and this recipe has 256"):
        train(Session(recipe, (data,), tmp_path, Schedule(steps=1), init=init))


def test_a_regulated_model_starts_where_the_gained_one_is() -> None:
    """With gains that cancel, the transforms do the same, and the step is that of the gains."""
    size = BackboneSize()
    with initialised(0):
        gained, qvrf = Gained(size), Qvrf(load_recipe("qvrf").size)
    for model in (gained, qvrf):
        attach_training(model)
    with torch.no_grad():
        gained.log_gain += 0.3
        gained.log_inverse_gain -= 0.3
    inherited = convert_gained(gained.state_dict(), qvrf.size.groups)
    own = qvrf.state_dict()
    fits = {k: v for k, v in inherited.items() if k in own and own[k].shape == v.shape}
    qvrf.load_state_dict(fits, strict=False)
    x = torch.rand(1, 3, 32, 32) - 0.5
    rate = torch.tensor([0.2])
    with torch.no_grad():
        before, after = gained.gains(rate), qvrf.gains(rate)
        y = gained.analysis_net(x)
        scaled = qvrf.analysis_net(x) * after.gain
        torch.testing.assert_close(scaled, y * before.gain, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(
            qvrf.synthesis_net(scaled * after.inverse_gain),
            gained.synthesis_net(y),
            atol=1e-4,
            rtol=1e-3,
        )


@pytest.mark.parametrize("target", ["gained", "qvrf"])
@pytest.mark.parametrize("source", ["qvrf", "qarv"])
def test_transforms_of_another_family(source: str, target: str) -> None:
    """What is not rounded comes back as in the family that the transforms are of, at every rate."""
    theirs = load_trainable(find_by_family(source))
    model = load_trainable(find_by_family(target))
    names = replace_transforms(
        model, Transforms.from_state(load_state(GOLDEN / f"{source}.safetensors"))
    )
    assert names <= {name for name, _ in model.named_parameters()}
    x = torch.rand(1, 3, 64, 64) - 0.5
    encoder = theirs.encoder if source == "qarv" else theirs
    assert isinstance(model, Gained | Qvrf)
    for level in (0.0, 0.3, 1.0):
        rate = torch.tensor([level])
        with torch.no_grad():
            y = model.analysis_net(x)
            assert torch.equal(y, encoder.analysis_net(x))
            factors = model.gains(rate)
            y_hat = y * factors.gain * factors.inverse_gain
            if isinstance(model, Qvrf):
                y_hat = model.restore(y_hat, factors)
            expected = y * interpolate_gains(theirs.log_restoration, rate)
            torch.testing.assert_close(y_hat, expected, rtol=1e-4, atol=1e-5)
            assert torch.equal(model.synthesis_net(y), theirs.synthesis_net(y))


def test_a_mapped_model_takes_them_too() -> None:
    model = load_trainable(find_by_family("qmap"))
    transforms = Transforms.from_state(load_state(GOLDEN / "qvrf.safetensors"))
    names = replace_transforms(model, transforms)
    own = dict(model.named_parameters())
    assert all(torch.equal(own[name], value) for name, value in transforms.networks.items())
    assert names == {*transforms.networks, "log_gain", "log_inverse_gain"}


def test_a_hierarchy_takes_them_too() -> None:
    """Its analysis is the encoder's; y has the steps of the other family, and coarse latents keep theirs."""
    model = load_trainable(find_by_family("qarv"))
    theirs = load_trainable(find_by_family("qvrf"))
    assert isinstance(model, Qarv)
    assert model.encoder is not None
    coarse = [level.log2_gain.clone() for own in model.descent.levels()[:-1] for level in own]
    names = replace_transforms(
        model, Transforms.from_state(load_state(GOLDEN / "qvrf.safetensors"))
    )
    assert names <= {name for name, _ in model.named_parameters()}
    x, rate = torch.rand(1, 3, 64, 64) - 0.5, torch.tensor([0.3])
    with torch.no_grad():
        y = theirs.analysis_net(x)
        assert torch.equal(model.encoder.analysis_net(x), y)
        assert torch.equal(model.synthesis_net(y), theirs.synthesis_net(y))
    assert torch.equal(model.log_restoration, theirs.log_restoration)
    steps = theirs.regulator.log2_scale(rate).flatten()
    for level in model.descent.levels()[-1]:
        assert torch.allclose(level.log2_gains(rate), steps, atol=1e-5)
    kept = [level.log2_gain for own in model.descent.levels()[:-1] for level in own]
    assert all(torch.equal(was, now) for was, now in zip(coarse, kept, strict=True))


def test_transforms_that_do_not_fit(data: Path, tmp_path: Path) -> None:
    for family, source, words in (
        ("slim", "qvrf", "slim cannot take over"),
        ("gained", "gained", "qvrf or qarv only"),
    ):
        recipe = replace(load_recipe(family), crop=64, batch=1)
        recipe = replace(recipe, size=load_size(GOLDEN / f"{family}.safetensors"))
        init, transforms = (GOLDEN / f"{name}.safetensors" for name in (family, source))
        session = Session(
            recipe,
            (data,),
            tmp_path / family,
            Schedule(steps=1),
            init=init,
            transforms=transforms,
        )
        with pytest.raises(WeightsError, match=words):
            train(session)


def test_a_mapped_model_starts_where_the_gained_one_is() -> None:
    """Its transforms do not see the map yet: the same symbols."""
    state = load_state(GOLDEN / "gained.safetensors")
    model = Qmap(load_trainable(find_by_family("gained")).size)
    attach_training(model)
    assert state.keys() <= model.state_dict().keys()
    model.load_state_dict(state, strict=False)
    x, rate = torch.rand(1, 3, 64, 96), torch.tensor([0.4])
    with torch.no_grad():
        expected = run_model(load_trainable(find_by_family("gained")), x, rate).x_hat
        assert torch.allclose(run_model(model.eval(), x, rate).x_hat, expected, atol=1e-5)
