"""Sessions of training, from Python and from the command line: what they leave, and what they refuse."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import skimage.data
from PIL import Image

from tests.conftest import GOLDEN, Pixels
from tests.recipes import TINY, TINY_SLIM, rows, save_pictures
from vrcodec.catalog import encoder_path, find_by_family, weights_id
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import OutputError, UsageError
from vrcodec.models.learning.trainable import load_state
from vrcodec.models.weights import load_frozen_state, load_size
from vrcodec.picture.picture import Picture
from vrcodec.training.log import Log
from vrcodec.training.recipes import Part
from vrcodec.training.schedule import Schedule
from vrcodec.training.session import Session, train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("data"))


def test_a_session_leaves_usable_weights(
    data: Path, tmp_path: Path, photograph: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(TINY, learning_rate=5e-3, batch=4)
    session = Session(
        recipe,
        (data,),
        tmp_path / "run",
        Schedule(steps=101),
        eval_folder=data,
        device="cpu",
    )
    train(session)
    log = rows(tmp_path / "run" / "log.csv")
    assert [int(row["step"]) for row in log] == [50, 100]
    evaluated = rows(tmp_path / "run" / "eval.csv")
    assert [float(row["rate"]) for row in evaluated] == [0, 0.25, 0.5, 0.75, 1]
    with Image.open(tmp_path / "run" / "log.png") as plot:
        assert min(plot.size) > 100
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(tmp_path / "run"))
    entry = find_by_family("gained")
    assert entry.path.parent == tmp_path / "run"
    assert entry.card["training"][0]["samples"] == 404
    decoded = Decoder().decode(Encoder("gained").encode(Picture.from_array(photograph), 30_000))
    assert decoded.pixels.shape == photograph.shape


def test_the_command_trains_and_resumes(data: Path, tmp_path: Path) -> None:
    from vrcodec.cli.main import run

    large = tmp_path / "large"
    large.mkdir()
    Image.fromarray(skimage.data.astronaut()).save(large / "a.png")
    out = tmp_path / "run"
    small = ["train", "gained", "--small", "--batch", "1", "--warmup", "1"]
    common = [*small, "--data", str(large), "-o", str(out), "--device", "cpu", "-q"]
    assert run([*common, "--resume", "--steps", "1"]) == 2
    assert run([*common, "--steps", "2", "--pause", "0.0001"]) == 0
    assert run([*common, "--steps", "2"]) == 9
    assert run([*common, "--steps", "2", "--resume"]) == 0
    card = json.loads((out / "gained.json").read_text())
    assert card["training"][0]["steps"] == 2
    assert card["training"][0]["batch"] == 1
    assert card["id"] == weights_id((out / "gained.safetensors").read_bytes()).hex()


def test_weights_that_are_there_are_not_replaced(data: Path, tmp_path: Path) -> None:
    for suffix in (".safetensors", ".json"):
        shutil.copy(GOLDEN / f"gained{suffix}", tmp_path)
    start = tmp_path / "gained.safetensors"
    before = start.read_bytes()
    session = Session(TINY, (data,), tmp_path, Schedule(steps=1), init=start, device="cpu")
    with pytest.raises(OutputError, match=r"gained\.safetensors: exists already"):
        train(session)
    assert start.read_bytes() == before


def test_a_plot_that_cannot_be_drawn_costs_a_message(data: Path, tmp_path: Path) -> None:
    (tmp_path / "log.png").mkdir()
    (tmp_path / "log.csv").write_text(",".join(Log.COLUMNS) + "\n0" + ",1" * (len(Log.COLUMNS) - 1))
    said: list[str] = []
    train(Session(TINY, (data,), tmp_path, Schedule(steps=1), device="cpu", say=said.append))
    assert any("log.png: was not drawn" in line for line in said)
    assert (tmp_path / "gained.safetensors").exists()


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        *(
            (2, ["gained", "--steps", "1", option, value])
            for option, value in (
                ("--learning-rate", "nan"),
                ("--learning-rate", "inf"),
                ("--graphics", "nan"),
                ("--seed", str(2**63)),
            )
        ),
        (2, ["gained", "--minutes", "nan"]),
        (3, ["gained", "--steps", "1"]),  # no picture is large enough for the real recipe
        (2, ["nonsense", "--steps", "1"]),
        (2, ["gained"]),
        (2, ["gained", "--minutes", "1", "--steps", "1"]),
    ],
)
def test_what_cannot_be_trained(
    data: Path, tmp_path: Path, code: int, arguments: list[str]
) -> None:
    from vrcodec.cli.main import run

    assert run(["train", *arguments, "--data", str(data), "-o", str(tmp_path), "-q"]) == code


@pytest.mark.parametrize(("part", "same"), [("synthesis", "encoder"), ("encoder", "decoder")])
def test_what_stands_still_keeps_its_file(
    part: Part, same: str, data: Path, tmp_path: Path
) -> None:
    """The other part's file is the same to the byte, and so has its id; tables are those of before."""
    start = GOLDEN / "qarv.safetensors"
    recipe = replace(TINY, family="qarv", size=load_size(start), learns=part)
    session = Session(
        recipe, (data,), tmp_path / "run", Schedule(steps=3), init=start, device="cpu"
    )
    train(session)
    files = {"decoder": start, "encoder": encoder_path(start)}
    unchanged = {
        kind: file.read_bytes() == (tmp_path / "run" / file.name).read_bytes()
        for kind, file in files.items()
    }
    assert unchanged == {kind: kind == same for kind in files}
    before, after = (load_frozen_state(p) for p in (start, tmp_path / "run" / start.name))
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)
    card = json.loads((tmp_path / "run" / "qarv.json").read_text())
    assert card["training"][-1]["learns"] == part
    resumed = replace(session, resume=True, schedule=Schedule(steps=4), overrides={"learns": "all"})
    with pytest.raises(UsageError, match="leave out --only"):
        train(resumed)
    train(replace(resumed, overrides={}))
    assert json.loads((tmp_path / "run" / "qarv.json").read_text())["training"][-1]["steps"] == 4


def test_the_prior_alone_leaves_pictures_as_they_are(data: Path, tmp_path: Path) -> None:
    """Transforms and gains are the same to the byte; tables are fitted anew."""
    start = GOLDEN / "gained.safetensors"
    recipe = replace(TINY, size=load_size(start), learns="prior")
    train(Session(recipe, (data,), tmp_path, Schedule(steps=3), init=start, device="cpu"))
    before, after = (safetensors.numpy.load_file(p) for p in (start, tmp_path / start.name))
    same = {name for name, value in before.items() if np.array_equal(value, after[name])}
    transforms = ("analysis_net", "synthesis_net", "log_gain", "log_inverse_gain")
    assert {name for name in before if name.startswith(transforms)} <= same
    assert {"gaussian.frequencies", "prior.frequencies"}.isdisjoint(same)
    assert not any(name.startswith("hyper_") and name.endswith(".weight") for name in same)


@pytest.mark.parametrize("family", ["gained", "qmap", "qvrf"])
def test_coarse_means_at_the_start_are_on_the_card(family: str, data: Path, tmp_path: Path) -> None:
    context = {"groups": (4, 8), "context": 8} if family == "qvrf" else {}
    size = replace(TINY.size, **context)
    recipe = replace(TINY, family=family, size=size, coarse_means=True)
    session = Session(recipe, (data,), tmp_path, Schedule(steps=1), device="cpu")
    train(session)
    card = json.loads((tmp_path / f"{family}.json").read_text())
    assert card["training"][-1]["coarse_means"] is True
    assert load_state(tmp_path / f"{family}.safetensors")["log_hyper_gain"].abs().max() > 0.1
    train(replace(session, recipe=replace(recipe, coarse_means=False), resume=True))
    assert json.loads((tmp_path / f"{family}.json").read_text())["training"] == card["training"]


def test_coarse_means_come_before_the_first_step(data: Path, tmp_path: Path) -> None:
    session = Session(TINY, (data,), tmp_path, Schedule(steps=1), device="cpu")
    train(session)
    with pytest.raises(UsageError, match="leave out --coarse-means"):
        train(replace(session, resume=True, overrides={"coarse_means": True}))


def test_coarse_means_are_for_a_hyperprior_alone(data: Path, tmp_path: Path) -> None:
    session = Session(
        replace(TINY_SLIM, coarse_means=True), (data,), tmp_path, Schedule(steps=1), device="cpu"
    )
    with pytest.raises(UsageError, match="slim has none"):
        train(session)


def test_a_part_alone_needs_the_others(data: Path, tmp_path: Path) -> None:
    session = Session(
        replace(TINY, learns="synthesis"),
        (data,),
        tmp_path / "run",
        Schedule(steps=1),
        device="cpu",
    )
    with pytest.raises(UsageError, match="--init"):
        train(session)
    with pytest.raises(UsageError, match="of that family"):
        train(replace(session, init=GOLDEN / "qarv.safetensors", folder=tmp_path / "other"))
    with pytest.raises(UsageError, match="another size"):
        train(replace(session, init=GOLDEN / "gained.safetensors", folder=tmp_path / "other"))
