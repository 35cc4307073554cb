"""`vrcodec bench`: pictures, packages, folders and options that are not as they should be."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.bench.reports import FEW, document
from tests.conftest import close_folder
from vrcodec.bench import results
from vrcodec.bench.curves import read_curves
from vrcodec.bench.results import as_csv
from vrcodec.catalog import DEFAULT_MODEL
from vrcodec.cli.shared import output
from vrcodec.cli.shared.paths import Destination
from vrcodec.errors import InputError, OutputError
from vrcodec.picture.folders import find_pictures

Run = Callable[..., int]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"results": {"bpp": [1], "psnr": [30, 31]}}',
        '{"results": {"bpp": [1], "psnr": [NaN]}}',
        '{"results": {"bpp": [Infinity], "psnr": [30]}}',
        '{"results": {"bpp": [1], "psnr": [1' + 400 * "0" + "]}}",
        '{"results": 3}',
    ],
)
def test_what_is_no_results_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"bad\.json"):
        read_curves(path)


def test_a_broken_picture_is_reported_and_left_out(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.png").write_bytes(b"no picture")
    assert run("bench", folder, *FEW, "--json", "out.json") == 1
    assert capsys.readouterr().err.count("broken.png") == 1
    found = document(tmp_path / "out.json")
    assert len(found["pictures"]) == 3
    assert "broken.png" in found["problems"][0]


def test_what_a_rival_cannot_code_is_reported(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """WebP ends at 16383 pixels a side."""
    Image.new("RGB", (16400, 2)).save(folder / "long.png")
    assert run("bench", folder, *FEW, "--json", "out.json") == 1
    assert "long.png: WebP fails" in capsys.readouterr().err
    assert len(document(tmp_path / "out.json")["pictures"]) == 3


def test_only_files_of_a_folder_are_pictures(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "picture.png").touch()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    assert find_pictures([tmp_path]) == [tmp_path / "picture.png"]


def test_folders_that_cannot_be_listed_are_named(
    run: Run,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Figures of the other pictures alone would be taken for those of all."""
    closed = folder / "closed"
    closed.mkdir()
    close_folder(closed, monkeypatch)
    assert run("bench", folder, *FEW) == 3
    assert f"{closed}: cannot be listed: Permission denied" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8")
def test_names_need_not_be_text(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (9, 9), (200, 10, 10)).save(os.fsencode(folder) + b"/\xff.png")
    outputs = ("--csv", "out.csv", "--report", "out.html")
    assert run("bench", folder, *FEW, *outputs) == 0
    assert "\\udcff.png" in (tmp_path / "out.csv").read_text()
    assert "\\udcff.png" in (tmp_path / "out.html").read_text()


def test_what_a_terminal_obeys_is_shown_instead(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = {"name": "\x1b[31mred", "results": {"bpp": [1.0], "psnr": [30.0]}}
    (tmp_path / "theirs.json").write_text(json.dumps(theirs))
    arguments = ("--rates", "0.5", "--rivals", "none", "--metrics", "psnr")
    assert run("bench", folder / "grey.png", *arguments, "--compare", "theirs.json") == 0
    shown = capsys.readouterr().out
    assert "\\x1b[31mred: from theirs.json" in shown
    assert "bits at equal quality against \\x1b[31mred" in shown


def test_files_are_written_though_nobody_reads(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*words: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(output, "echo", fail)
    outputs = ("--json", "-", "--csv", "out.csv", "--plot", "out.svg", "--report", "out.html")
    assert run("bench", folder / "grey.png", "--rates", "0.5", "--rivals", "webp", *outputs) != 0
    assert {"out.csv", "out.svg", "out.html"} <= {path.name for path in tmp_path.iterdir()}


def test_one_result_that_cannot_be_written_costs_no_other(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = Destination.write

    def write(self: Destination, data: bytes) -> None:
        if self.path == Path("out.json"):
            raise OutputError("out.json: cannot be written: No space left on device")
        original(self, data)

    monkeypatch.setattr(Destination, "write", write)
    outputs = ("--json", "out.json", "--csv", "out.csv", "--plot", "out.svg")
    assert run("bench", folder / "grey.png", "--rates", "0.5", "--rivals", "webp", *outputs) == 9
    shown = capsys.readouterr()
    assert "out.json: cannot be written" in shown.err
    assert "Means over 1 picture" in shown.out
    assert Path("out.csv").exists()
    assert Path("out.svg").exists()


def test_a_picture_that_goes_away_costs_no_report(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between its measuring and its place in the report."""

    def write_csv(*rest: Any) -> str:
        (folder / "coffee.png").unlink()
        return as_csv(*rest)

    monkeypatch.setattr(results, "as_csv", write_csv)
    outputs = ("--csv", "out.csv", "--report", "out.html")
    assert run("bench", folder, "--rates", "0.5", "--rivals", "none", *outputs) == 1
    shown = capsys.readouterr()
    assert "coffee.png: cannot be read" in shown.err
    assert "Means over 3 pictures" in shown.out
    assert Path("out.html").exists()


def test_a_missing_package_is_named(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vrcodec.extras.find_spec", lambda name: None)
    assert run("bench", folder, "--plot", "curves.png") == 2
    words = capsys.readouterr().err
    assert "curves.png needs the package matplotlib: pip install 'vrcodec[bench]'" in words


def test_only_broken_pictures(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "broken.png").write_bytes(b"no picture")
    assert run("bench", folder, *FEW, "--json", "out.json") == 1
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--rates", "0.5", "--bpps", "1"), 2, "not both"),
        (("--rates", "0:2:0.5"), 2, "between 0 and 1"),
        (("--rates", "0:1:0"), 2, "FIRST:LAST:STEP"),
        (("--rates", "x"), 2, "FIRST:LAST:STEP"),
        (("--bpps", "0,1"), 2, "more than 0"),
        (("--plot", "out.gif"), 2, ".svg"),
        (("--anchor", "vvc"), 2, f"there are: {DEFAULT_MODEL}"),
        (("--show", "nobody.png"), 2, "astronaut.png"),
        (("--models", "nobody"), 6, "nobody"),
        (("--metrics", "nobody"), 2, "ssimulacra2"),
        (("--rivals", "nobody"), 2, "jp2k"),
        (("--json", "-", "--csv", "-"), 2, "stdout"),
        (("--json", "nowhere/out.json"), 9, "does not exist"),
        (("--json", "there.json"), 9, "-f"),
        (("--json", "same", "--csv", "./same"), 2, "two results"),
        (("--plot", "pictures/grey.png", "-f"), 2, "same file"),
        (("--compare", "theirs.json", "--csv", "theirs.json", "-f"), 2, "same file"),
        (("--cache", "there.json"), 2, "there.json"),
        (("--cache", "."), 9, "results.jsonl"),
        (("--cache", ".", "--jobs", "2"), 9, "results.jsonl"),
        (("--profile", "--json", "-"), 2, "--profile"),
        (("--profile", "--plot", "out.svg"), 2, "--profile"),
    ],
)
def test_mistakes_are_found_before_the_work(
    run: Run,
    folder: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    words: str,
    measured: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "there.json").write_text("mine")
    (tmp_path / "theirs.json").write_text('{"results": {"bpp": [1], "psnr": [30]}}')
    (tmp_path / "results.jsonl").mkdir()
    assert run("bench", folder, *arguments) == code
    assert words in capsys.readouterr().err
    assert measured == []
    assert (tmp_path / "there.json").read_text() == "mine"


def test_an_empty_folder(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert run("bench", "empty") == 3
    assert "no pictures" in capsys.readouterr().err
