"""Quality maps that `qmap` makes of a picture: for what is seen first, for writing, for a task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Pixels
from vrcodec.errors import UsageError
from vrcodec.limits import DEFAULT_LIMITS
from vrcodec.maps.levels import read_levels
from vrcodec.picture.picture import Picture

Run = Callable[..., int]


@pytest.mark.parametrize("purpose", ["saliency", "text", "uniform", "gradient"])
@pytest.mark.parametrize("name", ["map.png", "map.npy"])
def test_maps_made_from_a_picture(
    run: Run, picture_file: Path, tmp_path: Path, purpose: str, name: str
) -> None:
    arguments = ["--for", purpose, "-o", name, "--low", "0.1", "--high", "0.7"]
    assert run("qmap", picture_file, *arguments) == 0
    levels = read_levels(tmp_path / name, DEFAULT_LIMITS)
    assert levels.shape == (150, 200)
    assert levels.min() >= 0.1 - 1 / 255
    assert levels.max() <= 0.7 + 1 / 255
    assert (levels.max() - levels.min() > 0.3) == (purpose != "uniform")
    assert run("encode", picture_file, "-o", "a.vrc", "--model", "qmap", "--qmap", name) == 0
    assert run("qmap", picture_file, *arguments) == 9
    assert run("qmap", picture_file, *arguments, "-f") == 0


def test_a_text_map_finds_writing(photograph: Pixels) -> None:
    """More of it than of anything else in the picture."""
    from PIL import ImageDraw

    from vrcodec.maps.generation import text_map

    image = Image.fromarray(photograph)
    ImageDraw.Draw(image).text((110, 100), "small writing\nin a corner", fill=(20, 20, 20))
    levels = text_map(np.asarray(image))
    assert levels[100:130, 110:180].mean() > 2 * levels.mean()


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, photograph: Pixels) -> None:
    from vrcodec.maps.generation import saliency_map

    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(UsageError, match=r"vrcodec\[maps\]"):
        saliency_map(photograph)


def test_a_map_for_a_task_needs_pytorch(
    monkeypatch: pytest.MonkeyPatch, photograph: Pixels
) -> None:
    from vrcodec.cli.qmap import _task_levels

    monkeypatch.setattr("vrcodec.extras.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs PyTorch: pip install 'vrcodec\[torch\]'"):
        _task_levels(Picture.from_array(photograph), "module:loss", 1, 1.0, "cpu")


TASKS = """
import torch

def left(decoded, original):
    assert decoded.shape == original.shape == (1, 3, 150, 200)
    return 3000 * (decoded - original)[..., :64].square().mean()

def broken(decoded, original):
    raise RuntimeError("no such luck")

def array(decoded, original):
    return decoded

def constant(decoded, original):
    return torch.zeros(())

number = 5
"""


def test_a_task_gets_bits_where_it_looks(
    run: Run, picture_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    arguments = ["--for", "task", "--task", "my_tasks:left", "--steps", "12", "-o", "map.npy"]
    assert run("qmap", picture_file, *arguments) == 0
    levels = np.load(tmp_path / "map.npy")
    assert levels.shape == (150, 200)
    assert levels[:, :64].mean() > levels[:, 96:].mean() + 0.1


@pytest.mark.parametrize(
    "task",
    [
        "my_tasks",
        "no_such:left",
        ":left",
        "my_tasks:none",
        "my_tasks:number",
        "my_tasks:broken",
        "my_tasks:array",
        "my_tasks:constant",
    ],
)
def test_tasks_that_are_none(
    run: Run, picture_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    (tmp_path / "my_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run("qmap", picture_file, "--for", "task", "--task", task, "-o", "map.npy") == 2
    assert not (tmp_path / "map.npy").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--for", "task"], ["--for", "text", "--task", "a:b"], ["--for", "text", "-o", "map.jpg"]],
)
def test_map_making_that_does_not_go_together(
    run: Run, picture_file: Path, arguments: list[str]
) -> None:
    assert run("qmap", picture_file, "-o", "map.npy", *arguments) == 2
