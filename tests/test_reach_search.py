"""Lambda scheduling: what the search finds, what a change of reach leaves as it was, resuming."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from tests.conftest import Pixels
from tests.extent import examples
from tests.recipes import TINY, rows, save_pictures, tensors, trainer_in
from tests.slimmable import SIZE
from vrcodec.cli.main import run as run_command
from vrcodec.errors import UsageError
from vrcodec.models import Slim
from vrcodec.models.learning.passes import run
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.training import reach_search
from vrcodec.training.evaluation import Point
from vrcodec.training.initialisation import initialise
from vrcodec.training.loop import Trainer
from vrcodec.training.reach_search import (
    REACH_STEP,
    ReachSearch,
    begin_search,
    has_turned,
    move_reach,
    slope_between,
    stretch_knots,
)
from vrcodec.training.schedule import Schedule
from vrcodec.training.session import Session, train

RECIPE = replace(TINY, family="slim", size=SIZE, calibration_crops=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("data"))


def slim(trainer: Trainer) -> Slim:
    assert isinstance(trainer.model, Slim)
    return trainer.model


# --- a change of reach ---


@examples(20)
@given(factor=st.floats(0.05, 3), slope=st.floats(-2, 2))
def test_gains_that_grow_evenly_are_stretched_exactly(factor: float, slope: float) -> None:
    knots = slope * torch.arange(8.0)[:, None] + torch.tensor([[0.0, 1.0, -3.0]])
    expected = slope * factor * torch.arange(8.0)[:, None] + knots[0]
    assert torch.allclose(stretch_knots(knots, factor), expected, atol=1e-5)


def test_a_width_does_the_same_at_the_same_rate(photograph: Pixels, tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path, RECIPE)
    model = slim(trainer).eval()
    for width in model.all_widths().values():
        torch.nn.init.normal_(width.log_gain, std=0.5)
    trainer.restart_average()
    model.schedule[1] = torch.tensor([111, RATE_CODE_MAX // 4, RATE_CODE_MAX * 3 // 4])
    x = torch.from_numpy(photograph[:64, :64].copy()).permute(2, 0, 1)[None].float() / 255

    def reconstruct(reach: float, rate: float) -> Tensor:
        with torch.no_grad():
            return run(model, x, torch.tensor([rate / reach]), 16).x_hat

    # At what was a knot, and is one again.
    before = reconstruct(SIZE.reach[1], SIZE.reach[1] * 3 / 7)
    other_width = model.all_widths()[8].log_gain.detach().clone()
    reach = (SIZE.reach[0], SIZE.reach[1] * 3 / 7, 1.0)
    move_reach(trainer, reach)
    assert torch.allclose(reconstruct(reach[1], reach[1]), before, atol=1e-5)
    assert torch.allclose(model.all_widths()[8].log_gain, other_width)
    # The average, the recipe, and the rates that the schedule has for a width, as far as it still reaches.
    name = "widths.16.log_gain"
    assert torch.equal(trainer.average.weights[name], model.get_parameter(name))
    assert trainer.recipe.size.reach == model.size.reach == reach
    assert trainer.averaged_model().size.reach == reach
    first, low, high = model.schedule[1].tolist()
    assert first == 111
    assert low == pytest.approx(RATE_CODE_MAX / 4 * 7 / 3, abs=2)
    assert high == RATE_CODE_MAX


# --- the search ---


def bits(reach: float) -> float:
    return 0.05 * math.exp(3.7 * reach)


def quality(width: int, reach: float) -> float:
    """Of curves that level off, the earlier the narrower the network is."""
    ideal, ceiling = 26 + 4.2 * math.log(bits(reach) / 0.05), {8: 31.0, 16: 36.0, 24: 70.0}[width]
    return ideal - math.log1p(math.exp(ideal - ceiling))


def points(reach: tuple[float, ...]) -> list[Point]:
    return [
        Point(r, 0.0, bits(r), quality(w, r), w) for w, r in zip(SIZE.widths, reach, strict=True)
    ]


def steepness(reach: tuple[float, ...], index: int) -> float:
    return slope_between(*points(reach)[index : index + 2])


def test_each_width_ends_where_the_slope_to_the_next_one_is_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_in(tmp_path, RECIPE)
    measured = []

    def evaluate(model: Slim, *_: object, levels: tuple[float, ...]) -> list[Point]:
        assert levels == (1.0,)
        measured.append(trainer.position.step)
        return points(model.size.reach)

    monkeypatch.setattr(reach_search, "evaluate", evaluate)
    begin_search(trainer)
    assert trainer.recipe.size.reach == (1.0, 1.0, 1.0)
    search = ReachSearch([], None, lambda _: None)
    for step in range(40 * reach_search.ROUND_STEPS):
        trainer.position = replace(trainer.position, step=step)
        search(trainer)
    grid = [round(1 - k * REACH_STEP, 4) for k in range(12)]
    middle = min(grid, key=lambda r: steepness((r, r, 1.0), 1))
    narrow = min((r for r in grid if r < middle), key=lambda r: steepness((r, middle, 1.0), 0))
    assert 0.1 < narrow < middle < 0.9
    assert trainer.recipe.size.reach == (narrow, middle, 1.0)
    # Behind a round of training each, but where a width was just put back.
    assert {b - a for a, b in pairwise(measured)} == {0, reach_search.ROUND_STEPS}
    assert len(measured) < 20


def test_a_search_ends_where_no_rate_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with networks that have learnt nothing: each step down is an improvement."""
    trainer, slopes = trainer_in(tmp_path, RECIPE), iter(range(1000, 0, -1))

    def evaluate(model: Slim, *_: object, **__: object) -> list[Point]:
        slope = next(slopes)
        return [Point(1, 0, k, k * slope, w) for k, w in enumerate(model.size.widths)]

    monkeypatch.setattr(reach_search, "evaluate", evaluate)
    begin_search(trainer)
    search, said = ReachSearch([], None, lambda line: said.append(line)), list[str]()
    for step in range(20 * reach_search.ROUND_STEPS):
        trainer.position = replace(trainer.position, step=step)
        search(trainer)
    assert 0 < min(trainer.recipe.size.reach) <= REACH_STEP
    assert [line for line in said if "is over" in line] == said[-1:]


def test_a_narrow_network_that_takes_as_many_bits_goes_on_down() -> None:
    narrow, wide = Point(1, 0, 0.5, 30, 8), Point(1, 0, 0.5, 31, 16)
    assert slope_between(narrow, wide) == math.inf
    assert not has_turned(math.inf, math.inf)
    assert not has_turned(None, 5.0)
    assert not has_turned(5.0, 4.9)
    assert has_turned(5.0, 5.0)


# --- runs ---


@pytest.fixture
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach_search, "ROUND_STEPS", 2)


def after(steps: int) -> Callable[[], bool]:
    """Asks for an end behind so many steps."""
    calls = count()
    return lambda: next(calls) >= steps


def session(data: Path, folder: Path, stop: Callable[[], bool] = lambda: False) -> Session:
    return Session(
        RECIPE,
        (data,),
        folder,
        Schedule(steps=7),
        eval_folder=data,
        device="cpu",
        lambda_scheduling=True,
        stop=stop,
    )


@pytest.mark.usefixtures("short_rounds")
def test_a_search_that_is_interrupted_finds_the_same(data: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(session(data, whole))
    train(session(data, parts, stop=after(3)))
    # It goes on with the search whether that is asked for again or not.
    train(replace(session(data, parts, after(4)), resume=True, lambda_scheduling=False))
    pairs = zip(tensors(whole), tensors(parts), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert (whole / "schedule.csv").read_bytes() == (parts / "schedule.csv").read_bytes()
    log = rows(whole / "schedule.csv")
    assert {row["step"] for row in log} == {"2", "4", "6"}
    assert {row["width"] for row in log} == {"8", "16", "24"}
    with Image.open(whole / "schedule.png") as plot:
        assert min(plot.size) > 100
    card = json.loads((whole / "slim.json").read_text())
    reach = tuple(card["architecture"]["reach"])
    assert reach[-1] == 1
    assert min(reach) < 1
    assert card["training"][-1]["lambda_scheduling"]
    # A further stage begins with what this one has found.
    trainer = trainer_in(tmp_path / "further", RECIPE)
    initialise(trainer, whole / "slim.safetensors", [], seed=0)
    assert trainer.recipe.size.reach == trainer.model.size.reach == reach


def test_a_run_without_a_search_gets_none_later(data: Path, tmp_path: Path) -> None:
    """And one that has begun with it needs pictures to go on."""
    plain, searching = tmp_path / "plain", tmp_path / "searching"
    train(replace(session(data, plain, after(0)), lambda_scheduling=False))
    with pytest.raises(UsageError, match="began without --schedule"):
        train(replace(session(data, plain), resume=True))
    train(session(data, searching, after(0)))
    with pytest.raises(UsageError, match="--eval"):
        train(replace(session(data, searching), resume=True, eval_folder=None))


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("gained", ["--eval", "."]),
        ("slim", []),
        ("slim", ["--eval", ".", "--trunk", "trunk"]),
        ("slim", ["--eval", ".", "--branch", "."]),
    ],
)
def test_what_cannot_be_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["--data", ".", "--steps", "1", "--schedule", "-q"]
    assert run_command(["train", family, *common, *options]) == 2
    assert not list(tmp_path.iterdir())
