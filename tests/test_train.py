"""The trainer: learns, stops, resumes, and keeps several processes in step."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch import nn

from tests.conftest import GOLDEN, ROOT, Pixels
from vrcodec.bitstream.information_content import total_bits
from vrcodec.bitstream.rans import CodingTables
from vrcodec.bitstream.tables import TOTAL, gaussian_pmf, gaussian_tables, table_scale
from vrcodec.catalog import find_by_family, weights_id
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import CorruptError, InputError, OutputError, UsageError, WeightsError
from vrcodec.models import FAMILIES
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.weights import load_state
from vrcodec.picture.folders import find_pictures
from vrcodec.picture.picture import Picture
from vrcodec.training.calibration import fit_tables
from vrcodec.training.complexity import count_kmac
from vrcodec.training.data import CropSampler, load_pictures
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.loop import Budget, Log, Trainer
from vrcodec.training.optim import GradientGuard, learning_rate_factor
from vrcodec.training.recipes import load_recipe
from vrcodec.training.recipes.recipe import Recipe
from vrcodec.training.session import Session, train

TINY = Recipe(
    family="gained",
    size=BackboneSize(channels=8, latent=12, hyper=4, blocks=1, prior=8),
    crop=64,
    batch=2,
    warmup_steps=3,
    optimizer="muon",
)
TINY_SLIM = replace(
    TINY,
    family="slim",
    size=BackboneSize(
        channels=12,
        latent=12,
        hyper=0,
        blocks=1,
        prior=0,
        widths=(4, 6, 8, 10, 12),
        reach=(1.0,) * 5,
    ),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of training pictures, in the format of the real ones."""
    folder = tmp_path_factory.mktemp("data")
    Image.fromarray(skimage.data.astronaut()[:200, :200]).save(folder / "a.avif", quality=90)
    Image.fromarray(skimage.data.chelsea()[:150, :300]).save(folder / "b.png")
    Image.fromarray(skimage.data.chelsea()[:30, :30]).save(folder / "small.png")
    return folder


def pictures(data: Path) -> list[torch.Tensor]:
    return load_pictures(find_pictures([data]), print)


def trainer_in(folder: Path, recipe: Recipe = TINY) -> Trainer:
    folder.mkdir(exist_ok=True)
    return Trainer(recipe, folder, "cpu", ProcessGroup(), seed=0)


def state(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trainer.model.state_dict().items()}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_session_leaves_usable_weights(
    data: Path, tmp_path: Path, photograph: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(TINY, learning_rate=5e-3, batch=4)
    session = Session(recipe, (data,), tmp_path / "run", steps=101, eval_folder=data, device="cpu")
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


def test_tables_are_fitted_to_what_residuals_are_like() -> None:
    """Symbols whose scale is not what the prior said cost less with fitted tables than with Gaussians."""
    random = np.random.default_rng(0)
    counts = np.zeros((64, 2 * 4096 + 1))
    scales = table_scale(20) * 2.0 ** random.normal(0, 0.7, 200_000)
    symbols = np.rint(random.normal(0, scales)).astype(int)
    np.add.at(counts, (20, symbols + 4096), 1)
    fitted = fit_tables(counts)
    fitted.check()
    indices = np.full(len(symbols), 20)
    costs = [
        total_bits(symbols.astype(np.int32), indices, CodingTables(tables))
        for tables in (gaussian_tables(), fitted)
    ]
    assert costs[1] < 0.97 * costs[0]
    # Tables that met nothing stay Gaussian.
    untouched = fitted.table(40)[len(fitted.table(40)) // 2 - 1] / TOTAL
    assert untouched == pytest.approx(gaussian_pmf(table_scale(40), 10)[10], rel=0.03)


def test_training_lowers_the_loss(data: Path, tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path, replace(TINY, learning_rate=5e-3, batch=4))
    crops = CropSampler(pictures(data), 64, 1, "cpu").batch(8)

    def loss() -> float:
        torch.manual_seed(0)
        with torch.no_grad():
            return float(trainer.objective(trainer.model, crops).total)

    before = loss()
    log = Log(tmp_path / "log.csv", lambda line: None)
    trainer.run(CropSampler(pictures(data), 64, 0, "cpu"), Budget(steps=301), log)
    assert loss() < 0.7 * before
    assert len(rows(tmp_path / "log.csv")) == 6


def test_weights_start_a_new_run(data: Path, tmp_path: Path) -> None:
    size = BackboneSize(channels=24, latent=32, hyper=8, blocks=1, prior=16)
    trainer = trainer_in(tmp_path, replace(TINY, size=size, frozen_steps=2))
    before = trainer.model.log_gain.clone()
    trainer.load_matching(load_state(GOLDEN / "gained.safetensors"))
    assert not torch.equal(trainer.model.log_gain, before)
    assert not trainer.inherited
    partial = {
        k: v for k, v in load_state(GOLDEN / "gained.safetensors").items() if "hyper" not in k
    }
    trainer.load_matching(partial)
    held = trainer.model.get_parameter("analysis_net.1.weight").clone()
    new = trainer.model.get_parameter("hyper_synthesis_net.0.weight").clone()
    sampler = CropSampler(pictures(data), 64, 0, "cpu")
    trainer.run(sampler, Budget(steps=2), Log(None, print))
    assert torch.equal(trainer.model.get_parameter("analysis_net.1.weight"), held)
    assert not torch.equal(trainer.model.get_parameter("hyper_synthesis_net.0.weight"), new)
    trainer.run(sampler, Budget(steps=4), Log(None, print))
    assert not torch.equal(trainer.model.get_parameter("analysis_net.1.weight"), held)


def test_a_resumed_run_is_where_it_was(data: Path, tmp_path: Path) -> None:
    first = trainer_in(tmp_path / "run")
    first.run(CropSampler(pictures(data), 64, 0, "cpu"), Budget(steps=4), Log(None, print))
    first.save()
    second = trainer_in(tmp_path / "run")
    second.resume()
    assert (second.step, second.seconds) == (first.step, first.seconds)
    for trainer in (first, second):
        torch.manual_seed(5)
        trainer.run(CropSampler(pictures(data), 64, 9, "cpu"), Budget(steps=7), Log(None, print))
    expected = state(first)
    assert all(torch.equal(v, expected[k]) for k, v in state(second).items())
    averages = second.average.state
    assert all(torch.equal(v, averages[k]) for k, v in first.average.state.items())


def test_the_schedule_does_not_know_of_interruptions(data: Path, tmp_path: Path) -> None:
    rates = []
    trainer = trainer_in(tmp_path)
    sampler = CropSampler(pictures(data), 64, 0, "cpu")
    for stop in (3, 8):
        budget = Budget(steps=8)
        while trainer.step < stop:
            trainer._train_step(sampler, budget.progress(0, trainer.step))
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        trainer.save()
        trainer = trainer_in(tmp_path)
        trainer.resume()
    expected = [1e-3 * learning_rate_factor(step, step / 8, 3, 0.01) for step in range(8)]
    assert rates == pytest.approx(expected)
    assert expected[2] > expected[3] > expected[7] > 1e-5


def test_pause_ends_a_process_early(data: Path, tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path)
    sampler = CropSampler(pictures(data), 64, 0, "cpu")
    trainer.run(sampler, Budget(minutes=60, pause_minutes=0.001), Log(None, print))
    assert 1 <= trainer.step < 1000


def test_budget_is_one_of_two() -> None:
    for minutes, steps in ((None, None), (1.0, 5)):
        with pytest.raises(UsageError):
            Budget(minutes, steps)
    assert Budget(minutes=2).progress(60, 0) == pytest.approx(0.5)


def test_outlying_gradients_are_left_out() -> None:
    weight = nn.Parameter(torch.zeros(3))
    guard = GradientGuard(clip_norm=1.0)
    for _ in range(30):
        weight.grad = torch.full((3,), 0.1)
        assert guard.clip([weight])[0]
    weight.grad = torch.full((3,), 100.0)
    assert not guard.clip([weight])[0]
    weight.grad = torch.full((3,), float("nan"))
    assert not guard.clip([weight])[0]
    weight.grad = torch.full((3,), 0.1)
    assert guard.clip([weight])[0]


@pytest.mark.parametrize("recipe", ["TINY", "TINY_SLIM"])
def test_two_processes_learn_the_same(data: Path, tmp_path: Path, recipe: str) -> None:
    """torchrun with gloo: each rank sees other crops, and both hold the same weights after them.

    The ranks of `slim` draw other widths, too.
    """
    script = tmp_path / "rank.py"
    script.write_text(
        f"""
import os, torch
from pathlib import Path
from tests.test_train import TINY, TINY_SLIM, pictures, state
from vrcodec.training.calibration import fit_tables
from vrcodec.training.complexity import count_kmac
from vrcodec.training.data import CropSampler
from vrcodec.training.loop import Budget, Log, Trainer
from vrcodec.training.distributed import ProcessGroup

torch.set_num_threads(1)
with ProcessGroup.join("cpu") as group:
    assert group.world_size == 2
    folder = Path({str(tmp_path)!r})
    trainer = Trainer({recipe}, folder, "cpu", group, seed=0)
    torch.manual_seed(group.rank)
    sampler = CropSampler(pictures(Path({str(data)!r})), 64, group.rank, "cpu")
    crops = sampler.batch(1).sum()
    trainer.run(sampler, Budget(steps=3), Log(None, print))
    layer = torch.nn.Linear(2, 1)
    layer.weight.grad = torch.full((1, 2), 1.0 + group.rank)
    layer.bias.grad = torch.ones(1) if group.rank else None
    group.average_gradients(layer)
    assert torch.equal(layer.weight.grad, torch.full((1, 2), 1.5))
    assert torch.equal(layer.bias.grad, torch.full((1,), 0.5))
    torch.save({{"state": state(trainer), "crops": crops}}, folder / f"rank{{group.rank}}.pt")
"""
    )
    subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node=2",
            script,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
        capture_output=True,
    )
    saved = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert not torch.equal(saved[0]["crops"], saved[1]["crops"])
    start = state(trainer_in(tmp_path, {"TINY": TINY, "TINY_SLIM": TINY_SLIM}[recipe]))
    for key, value in saved[0]["state"].items():
        assert torch.equal(value, saved[1]["state"][key]), key
    assert any(not torch.equal(v, start[k]) for k, v in saved[0]["state"].items())


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


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
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


@pytest.mark.parametrize("family", sorted(p.stem for p in (ROOT / "weights").glob("*.json")))
def test_recipes_match_the_shipped_weights(family: str) -> None:
    card = json.loads((ROOT / "weights" / f"{family}.json").read_text())
    size = load_recipe(family).size
    assert BackboneSize(**card["architecture"]) == size


def test_a_run_that_torchrun_starts_anew_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command again, after a process has died: neither refused nor begun anew."""
    session = Session(TINY, (data,), tmp_path / "run", steps=6, device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(Budget, "progress", lambda *_: 0.0)
        patch.setattr(Trainer, "_train_step", dying_after(3))
        with pytest.raises(RuntimeError, match="killed"):
            train(session)
    with pytest.raises(OutputError):
        train(session)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    train(session)
    card = json.loads((tmp_path / "run" / "gained.json").read_text())
    assert card["training"][-1]["samples"] == 6 * TINY.batch
    # Of a run that has no checkpoint yet there is nothing to go on with.
    train(replace(session, folder=tmp_path / "other"))


def dying_after(steps: int) -> object:
    """A step of training that fails behind the first so many."""
    take_step = Trainer._train_step

    def take_or_die(trainer: Trainer, *arguments: object) -> object:
        if trainer.step == steps:
            raise RuntimeError("killed")
        return take_step(trainer, *arguments)

    return take_or_die


@pytest.mark.parametrize("family", ["gained", "qvrf", "qmap", "qarv"])
def test_the_work_in_the_cards_is_that_of_the_models(family: str) -> None:
    card = json.loads((ROOT / "weights" / f"{family}.json").read_text())
    model = FAMILIES[family](load_recipe(family).size)
    model.attach_training()
    assert count_kmac(model) == card["kmac_per_pixel"]


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


def test_foreign_weights_are_no_start(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        trainer_in(tmp_path).load_matching({"unknown": torch.zeros(3)})


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path)
    for content in (b"", b"nonsense"):
        (tmp_path / "checkpoint.pt").write_bytes(content)
        with pytest.raises(CorruptError, match="checkpoint"):
            trainer.resume()


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        find_pictures([tmp_path])
