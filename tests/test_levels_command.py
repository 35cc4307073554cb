"""Levels on the command line: `decode --progressive`, `--levels`, `--partial`, and `info`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import GOLDEN, Command
from tests.levels import LEVELS, level_ends
from vrcodec.codec import Decoder

Run = Callable[..., int]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "photograph.vrc"
    shutil.copy(GOLDEN / "qarv_photograph.vrc", path)
    return path


def first_level(data: bytes) -> int:
    decoder = Decoder()
    return decoder.first_visible_level(decoder.read(data))


def test_progressive_writes_the_ladder(
    run: Run, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("decode", file.name, "--progressive", "out-%02d.png", "--json") == 0
    results = json.loads(capsys.readouterr().out)
    first = first_level(file.read_bytes())
    assert 1 < first < LEVELS
    assert [r["levels"] for r in results] == list(range(first, LEVELS + 1))
    assert [r["output"] for r in results] == [f"out-{r['levels']:02d}.png" for r in results]
    assert not (tmp_path / "out-01.png").exists()
    assert run("decode", file.name, "--levels", 7, "-o", "seven.png") == 0
    assert (tmp_path / "seven.png").read_bytes() == (tmp_path / "out-07.png").read_bytes()
    assert run("decode", file.name, "-o", "whole.png") == 0
    assert (tmp_path / "whole.png").read_bytes() == (tmp_path / "out-09.png").read_bytes()


def test_progressive_overwrites_only_when_told(run: Run, file: Path, tmp_path: Path) -> None:
    (tmp_path / "7.ppm").touch()
    assert run("decode", file.name, "--progressive", "%d.ppm") == 9
    assert len(list(tmp_path.glob("?.ppm"))) == 1
    assert run("decode", file.name, "--progressive", "%d.ppm", "-f") == 0
    assert len(list(tmp_path.glob("?.ppm"))) == LEVELS + 1 - first_level(file.read_bytes())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--progressive", "out.png"),
        ("--progressive", "%d-%d.png"),
        ("--progressive", "%s.png"),
        ("--progressive", "%d%.png"),
        ("--progressive", "%d.png", "-o", "x.png"),
        ("--progressive", "%d.png", "--levels", "2"),
        ("--progressive", "%d.png", "other.vrc"),
        ("--levels", "0"),
        ("--levels", "10"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    run: Run, file: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert run("decode", file.name, *arguments) == 2
    assert list(tmp_path.iterdir()) == [file]


def test_a_percent_sign_can_be_in_a_name(run: Run, file: Path, tmp_path: Path) -> None:
    assert run("decode", file.name, "--progressive", "%d%%.png") == 0
    assert (tmp_path / "9%.png").exists()


def test_a_truncated_file_decodes_when_asked(
    run: Run, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: level_ends(data)[5] + 1])
    assert run("decode", file.name, "-o", "out.png") == 5
    assert run("info", file.name) == 5
    assert run("verify", file.name) == 5
    assert not (tmp_path / "out.png").exists()
    assert "--partial decodes the levels" in capsys.readouterr().err
    assert run("decode", file.name, "-o", "out.png", "--partial") == 0
    assert "6 of 9 levels are complete" in capsys.readouterr().err
    assert run("decode", file.name, "--progressive", "p%d.png", "--partial") == 0
    written = sorted(int(path.stem[1:]) for path in tmp_path.glob("p*.png"))
    assert written == list(range(written[0], 7))
    assert (tmp_path / "p6.png").read_bytes() == (tmp_path / "out.png").read_bytes()
    file.write_bytes(data[: level_ends(data)[0] - 1])
    assert run("decode", file.name, "-o", "none.png", "--partial") == 5
    assert not (tmp_path / "none.png").exists()


def test_a_pipe_that_ends_early(vrcodec: Command, file: Path) -> None:
    data = file.read_bytes()
    cut = data[: level_ends(data)[3]]
    assert vrcodec("decode", "-", "-o", "-", input=cut).returncode == 5
    done = vrcodec("decode", "-", "-o", "-", "--partial", input=cut)
    assert done.returncode == 0
    assert b"4 of 9 levels" in done.stderr
    assert done.stdout.startswith(b"\x89PNG")


def test_info_lists_the_levels(run: Run, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", file.name, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert len(found["levels"]) == LEVELS
    assert sum(found["levels"]) == sum(found["streams"])
    assert run("info", file.name) == 0
    assert f"9, {found['levels'][0]} + {found['levels'][1]} + " in capsys.readouterr().out
    assert run("info", str(GOLDEN / "dot.vrc")) == 0
    assert "levels" not in capsys.readouterr().out
