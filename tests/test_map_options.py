"""Quality maps on the command line of `encode` and `info`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command

Run = Callable[..., int]


def test_regions_and_back(run: Run, vrcodec: Command, picture_file: Path, tmp_path: Path) -> None:
    arguments = ["--model", "qmap", "--roi", "0,0,64,64:0.9", "--roi-background", "0.2"]
    assert run("encode", picture_file, "-o", "a.vrc", *arguments) == 0
    assert run("info", "a.vrc", "--qmap-out", "map.npy") == 0
    levels = np.load(tmp_path / "map.npy")
    assert levels[:64, :64] == pytest.approx(0.9, abs=1 / 255)
    assert levels[64:, 64:] == pytest.approx(0.2, abs=1 / 255)
    assert b"quality map of" in vrcodec("info", "a.vrc").stdout
    shown = json.loads(vrcodec("info", "--json", "a.vrc").stdout)[0]
    assert shown["qmap_bytes"] < 40
    assert levels.shape == (150, 200)
    # The map that a file shows encodes to the same file.
    assert run("encode", picture_file, "-o", "b.vrc", "--model", "qmap", "--qmap", "map.npy") == 0
    assert (tmp_path / "a.vrc").read_bytes() == (tmp_path / "b.vrc").read_bytes()
    assert run("decode", "a.vrc", "-o", "a.png") == 0


def test_a_map_meets_a_target(run: Run, picture_file: Path, tmp_path: Path) -> None:
    arguments = ["--model", "qmap", "--roi", "0,0,64,64", "--size", "2000"]
    assert run("encode", picture_file, "-o", "a.vrc", *arguments) == 0
    assert 1900 <= (tmp_path / "a.vrc").stat().st_size <= 2000


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model", "gained", "--roi", "0,0,9,9"],
        ["--model", "qmap", "--roi", "0,0,9,9", "--bin-size", "1"],
        ["--model", "qmap", "--roi", "0,0,9"],
        ["--model", "qmap", "--roi", "900,0,9,9"],
        ["--model", "qmap", "--roi", "0,0,9,9", "--qmap", "picture.png"],
        ["--model", "qmap", "--qmap", "none.png"],
        ["--model", "qmap", "--roi-background", "0.1"],
    ],
)
def test_what_does_not_go_together(
    run: Run, picture_file: Path, tmp_path: Path, arguments: list[str]
) -> None:
    assert run("encode", picture_file, "-o", "a.vrc", *arguments) == 2
    assert not (tmp_path / "a.vrc").exists()
