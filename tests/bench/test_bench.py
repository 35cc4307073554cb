"""`vrcodec bench`: what it takes, and what it shows."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.bench.reports import FEW, document
from tests.conftest import GOLDEN, ROOT, Command
from vrcodec.bench.runner import name_pictures
from vrcodec.catalog import DEFAULT_MODEL
from vrcodec.cli.shared import output

Run = Callable[..., int]


def test_the_table_says_it(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", folder, *FEW) == 0
    shown = capsys.readouterr().out
    assert "WebP: quality 1 to 100; method 6; libwebp" in shown
    assert "against WebP" in shown
    assert "Means over 3 pictures" in shown


def test_bits_per_pixel_are_aimed_at(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--bpps", "0.000001,0.9,1.2", "--rivals", "none", "--csv", "out.csv")
    assert run("bench", folder, *arguments) == 1
    said = capsys.readouterr()
    assert said.err.count("no rate gives at most 1e-06 bpp; left out") == 3
    assert "target bits per pixel" in said.out
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert {row["setting"] for row in rows} == {"0.9", "1.2"}, "no rate is that small"
    for row in rows:
        assert 0.7 * float(row["setting"]) < float(row["bpp"]) <= float(row["setting"])


def test_a_picture_that_meets_no_target_is_left_out(run: Run, folder: Path, tmp_path: Path) -> None:
    """One colour takes more bits a pixel here, as it has few pixels."""
    Image.new("RGB", (2, 2), (9, 99, 200)).save(folder / "dot.png")
    arguments = ("--bpps", "1.2", "--rivals", "webp", "--json", "out.json")
    assert run("bench", folder / "grey.png", folder / "dot.png", *arguments) == 1
    found = document(tmp_path / "out.json")
    assert [picture["name"] for picture in found["pictures"]] == ["grey.png"]
    assert [curve["name"] for curve in found["curves"]] == [DEFAULT_MODEL, "webp"]
    assert "dot.png" in found["problems"][0]


def test_without_a_curve_of_ours_the_top_level_is_empty(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    arguments = ("--bpps", "0.000001", "--rivals", "webp", "--json", "out.json")
    assert run("bench", folder / "grey.png", *arguments) == 1
    found = document(tmp_path / "out.json")
    assert (found["name"], found["results"]) == (None, None)
    assert [curve["name"] for curve in found["curves"]] == ["webp"]


@pytest.mark.long
def test_several_processes_find_the_same(vrcodec: Command, folder: Path, tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        arguments = (*FEW, "--jobs", jobs, "--csv", f"{jobs}.csv")
        assert vrcodec("bench", folder, *arguments).returncode == 0
    tables = [
        sorted(
            (row["codec"], row["picture"], row["setting"], row["bytes"])
            for row in csv.DictReader(io.StringIO((tmp_path / f"{jobs}.csv").read_text()))
        )
        for jobs in (1, 2)
    ]
    assert tables[0] == tables[1]


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_plots(run: Run, folder: Path, tmp_path: Path, suffix: str, magic: bytes) -> None:
    assert run("bench", folder, *FEW, "--plot", f"out.{suffix}") == 0
    assert (tmp_path / f"out.{suffix}").read_bytes().startswith(magic)


def test_profile(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", folder, "--profile", "--models", "all") == 0
    shown = capsys.readouterr().out
    assert shown.count("import torch") == shown.count("import the rest") == shown.count("once")
    for stage in (
        "import torch",
        "import the rest",
        "analysis",
        "entropy parameters",
        "coding",
        "synthesis",
    ):
        assert stage in shown


def test_a_profile_of_numpy_has_no_torch(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bench", folder, "--profile", "--models", "slim", "--engine", "numpy") == 0
    shown = capsys.readouterr().out
    assert "import the rest" in shown
    assert "import torch" not in shown


PROFILE = """
import sys
import numpy
from vrcodec.bench import profile
from vrcodec.picture.picture import Picture

class Encoder(profile.Encoder):
    def __init__(self, *arguments):
        assert "torch" in sys.modules
        super().__init__(*arguments)

profile.Encoder, profile.REPEATS = Encoder, 1
assert "torch" not in sys.modules
picture = Picture.from_array(numpy.zeros((16, 16, 3), numpy.uint8))
profile.profile_picture("slim", picture, 0.5, profile.Engine(library="torch"))
"""


def test_the_import_of_torch_is_no_part_of_loading_weights() -> None:
    """In a process of its own, to which torch is news."""
    subprocess.run(
        [sys.executable, "-c", PROFILE],
        env={**os.environ, "PYTHONPATH": str(ROOT), "VRCODEC_WEIGHTS": str(GOLDEN)},
        check=True,
    )


def test_quick_takes_few_pictures(run: Run, folder: Path, tmp_path: Path) -> None:
    for index in range(4):
        Image.new("RGB", (20, 20), (50 * index, 0, 0)).save(folder / f"z{index}.png")
    arguments = ("--quick", "--rivals", "webp", "--json", "out.json")
    assert run("bench", folder, *arguments) == 0
    found = document(tmp_path / "out.json")
    assert len(found["pictures"]) == 3
    assert len(found["results"]["bpp"]) == 5


def test_pictures_of_one_name_are_told_apart(run: Run, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "grey.png").write_bytes((folder / "grey.png").read_bytes())
    arguments = ("--rates", "0", "--rivals", "none", "--json", "out.json")
    assert run("bench", folder, other, *arguments) == 0
    assert len(document(tmp_path / "out.json")["pictures"]) == 4


def test_no_picture_is_lost_by_its_name_or_taken_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last c.png would be b/c.png, which the folder has, too."""
    monkeypatch.chdir(tmp_path)
    Path("a/b").mkdir(parents=True)
    Path("a/link.png").symlink_to("c.png")
    for path in (paths := [Path("a/b/c.png"), Path("a/c.png")]):
        path.touch()
    outside, twice = Path("b/c.png"), [Path("a/link.png"), Path("a/../a/c.png")]
    names = name_pictures([*paths, *twice, outside], [Path("a"), outside])
    assert names == {"b/c.png": paths[0], "c.png": paths[1], "b/c.png (2)": outside}


def test_verbose_names_the_pieces(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bench", folder, *FEW, "-v") == 0
    assert output.verbosity == output.VERBOSE
    assert "coffee.png webp" in capsys.readouterr().err
