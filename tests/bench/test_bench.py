"""`vrcodec bench`: what it reports is what files on disk say."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Command
from vrcodec.bench.codecs import Codec
from vrcodec.bench.curves import read_curves
from vrcodec.bench.measure import RoundTrip, Sample
from vrcodec.catalog import DEFAULT_MODEL
from vrcodec.cli.shared import output
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import InputError
from vrcodec.metrics import psnr
from vrcodec.picture.folders import read_folder
from vrcodec.picture.picture import Picture
from vrcodec.rate import code_from_rate

Run = Callable[..., int]
FEW = ("--rates", "0:1:0.25", "--rivals", "webp")


def document(path: Path) -> Any:
    return json.loads(path.read_text())


def test_figures_are_those_of_files(run: Run, folder: Path, tmp_path: Path) -> None:
    arguments = ("--rates", "0,0.6", "--rivals", "none", "--csv", "out.csv")
    assert run("bench", folder, *arguments) == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    pictures = read_folder(folder)
    assert {(row["picture"], row["setting"]) for row in rows} == {
        (name, setting) for name in pictures for setting in ("0.0", "0.6")
    }
    encoder = Encoder(DEFAULT_MODEL)
    for row in rows:
        picture = pictures[row["picture"]]
        data = encoder.encode(picture, code_from_rate(float(row["setting"])))
        decoded = Decoder().decode(data)
        assert int(row["bytes"]) == len(data)
        assert float(row["bpp"]) == 8 * len(data) / (picture.width * picture.height)
        assert float(row["psnr"]) == pytest.approx(psnr(picture.to_array(), decoded.to_array()))


def test_json_has_compressais_shape_and_can_be_read_back(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    assert run("bench", folder, *FEW, "--json", "out.json") == 0
    found = document(tmp_path / "out.json")
    assert found["name"] == DEFAULT_MODEL
    assert {"bpp", "psnr", "ms-ssim", "encoding_time", "decoding_time"} <= set(found["results"])
    assert {len(column) for column in found["results"].values()} == {5}
    assert [curve["name"] for curve in found["curves"]] == [DEFAULT_MODEL, "webp"]
    assert found["bd_rate"]["anchor"] == "webp"
    assert set(found["bd_rate"]["psnr"][DEFAULT_MODEL]["pictures"]) <= set(read_folder(folder))
    assert found["weights"].keys() == {DEFAULT_MODEL}
    assert {"machine", "versions", "command"} <= set(found)
    assert found["problems"] == []
    stages = found["curves"][0]["decode"]["stages"]
    assert {"coding", "entropy parameters", "synthesis", "file"} <= set(stages)
    assert sum(stages.values()) <= found["curves"][0]["decode"]["seconds"]
    again = read_curves(tmp_path / "out.json")
    assert [curve.name for curve in again] == [f"{DEFAULT_MODEL} (out)", "webp (out)"]
    assert again[0].columns["bpp"] == found["results"]["bpp"]


def test_compressai_can_plot_it(run: Run, folder: Path, tmp_path: Path) -> None:
    from compressai.utils.plot.__main__ import parse_json_file

    assert run("bench", folder, *FEW, "--json", "out.json") == 0
    results = document(tmp_path / "out.json")["results"]
    plotted = parse_json_file(tmp_path / "out.json", "psnr")
    assert (plotted["name"], plotted["xs"]) == (DEFAULT_MODEL, results["bpp"])
    assert plotted["ys"] == results["psnr"]
    in_decibels = parse_json_file(tmp_path / "out.json", "ms-ssim")["ys"]
    assert list(in_decibels) == pytest.approx(results["ms-ssim-db"])


def test_both_names_of_a_column_are_read(tmp_path: Path) -> None:
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps({"results": {"bpp": [1.0], "psnr-rgb": [30.0]}}))
    (curve,) = read_curves(path)
    assert curve.columns == {"bpp": [1.0], "psnr": [30.0]}


def test_a_mean_is_the_mean_of_the_pictures(run: Run, folder: Path, tmp_path: Path) -> None:
    assert run("bench", folder, *FEW, "--json", "out.json") == 0
    curve = document(tmp_path / "out.json")["curves"][0]
    values = [of_picture["psnr"][2] for of_picture in curve["results_of_pictures"].values()]
    assert len(values) == 3
    assert curve["results"]["psnr"][2] == pytest.approx(sum(values) / 3)


def test_the_table_says_it(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", folder, *FEW) == 0
    shown = capsys.readouterr().out
    assert "WebP: quality 1 to 100; method 6; libwebp" in shown
    assert "against WebP" in shown
    assert "Means over 3 pictures" in shown


def test_published_curves_are_laid_beside(run: Run, folder: Path, tmp_path: Path) -> None:
    published = {"name": "Theirs", "results": {"bpp": [0.1, 1.0, 4.0], "psnr": [10.0, 30.0, 50.0]}}
    (tmp_path / "theirs.json").write_text(json.dumps(published))
    arguments = ("--compare", "theirs.json", "--anchor", "Theirs", "--json", "out.json")
    assert run("bench", folder, *FEW, *arguments) == 0
    found = document(tmp_path / "out.json")
    assert found["bd_rate"]["anchor"] == "Theirs"
    assert found["bd_rate"]["psnr"][DEFAULT_MODEL]["pooled"]["pchip"] is not None


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"results": {"bpp": [1], "psnr": [30, 31]}}', '{"results": 3}']
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


def test_a_missing_package_is_named(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vrcodec.bench.request.find_spec", lambda name: None)
    assert run("bench", folder) == 2
    assert "pip install 'vrcodec[bench]'" in capsys.readouterr().err


def test_only_broken_pictures(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "broken.png").write_bytes(b"no picture")
    assert run("bench", folder, *FEW, "--json", "out.json") == 1
    assert not (tmp_path / "out.json").exists()


def test_small_pictures_have_no_ms_ssim(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    Image.new("RGB", (3, 2), (200, 10, 10)).save(folder / "dot.png")
    assert run("bench", folder, *FEW, "--json", "out.json") == 0
    results = document(tmp_path / "out.json")["results"]
    assert "ms-ssim" not in results
    assert results["psnr"]


def test_bits_per_pixel_are_aimed_at(run: Run, folder: Path, tmp_path: Path) -> None:
    arguments = ("--bpps", "0.000001,0.9,1.2", "--rivals", "none", "--csv", "out.csv")
    assert run("bench", folder, *arguments) == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert {row["setting"] for row in rows} == {"0.9", "1.2"}, "no rate is that small"
    for row in rows:
        assert 0.7 * float(row["setting"]) < float(row["bpp"]) <= float(row["setting"])


Measure = Callable[[RoundTrip, Codec, Picture, Sequence[float]], Iterator[Sample]]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of points of every call that measures."""
    counts: list[int] = []
    original: Measure = RoundTrip.measure

    def measure(
        self: RoundTrip, codec: Codec, picture: Picture, points: Sequence[float]
    ) -> Iterator[Sample]:
        counts.append(len(points))
        return original(self, codec, picture, points)

    monkeypatch.setattr(RoundTrip, "measure", measure)
    return counts


def test_resuming_measures_only_what_is_missing(
    run: Run, folder: Path, tmp_path: Path, measured: list[int]
) -> None:
    assert run("bench", folder, *FEW, "--json", "first.json") == 0
    assert len(measured) == 6
    measured.clear()
    assert run("bench", folder, *FEW, "--resume", "--json", "second.json") == 0
    assert measured == []
    first, second = document(tmp_path / "first.json"), document(tmp_path / "second.json")
    assert first["curves"] == second["curves"]
    assert run("bench", folder, "--rates", "0:1:0.125", "--rivals", "none", "--resume") == 0
    assert measured == [4, 4, 4]
    measured.clear()
    assert run("bench", folder, *FEW) == 0
    assert len(measured) == 6, "without --resume nothing is taken from earlier runs"


def test_other_weights_are_measured_anew(
    run: Run, folder: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("bench", folder, "--rates", "0", "--rivals", "none", "--resume")
    assert run(*arguments) == 0
    monkeypatch.delenv("VRCODEC_WEIGHTS")
    assert run(*arguments) == 0
    assert measured == [1] * 6


def test_a_torn_cache_is_no_obstacle(run: Run, folder: Path, tmp_path: Path) -> None:
    arguments = ("bench", folder, *FEW, "--resume", "--cache", "kept")
    assert run(*arguments) == 0
    kept = tmp_path / "kept" / "results.jsonl"
    kept.write_bytes(kept.read_bytes()[:-40] + b'\n[["x"], 3]\nnull\n')
    assert run(*arguments) == 0


def test_an_interrupt_keeps_what_was_finished(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Measure = RoundTrip.measure
    calls = 0

    def measure(
        self: RoundTrip, codec: Codec, picture: Picture, points: Sequence[float]
    ) -> Iterator[Sample]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return original(self, codec, picture, points)

    monkeypatch.setattr(RoundTrip, "measure", measure)
    assert run("bench", folder, *FEW, "--json", "out.json") == 130
    found = document(tmp_path / "out.json")
    assert found["interrupted"]
    assert [picture["name"] for picture in found["pictures"]] == ["astronaut.png"]
    assert run("bench", folder, *FEW, "--json", "out.json", "-f", "--resume") == 0
    # Three were there, three were not.
    assert calls == 4 + 3
    assert len(document(tmp_path / "out.json")["pictures"]) == 3


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
    assert run("bench", folder, *arguments) == code
    assert words in capsys.readouterr().err
    assert measured == []
    assert (tmp_path / "there.json").read_text() == "mine"


def test_an_empty_folder(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert run("bench", "empty") == 3
    assert "no pictures" in capsys.readouterr().err


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


def test_memory_is_measured_where_the_system_tells(run: Run, folder: Path, tmp_path: Path) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("Linux only")
    assert run("bench", folder, *FEW, "--json", "out.json") == 0
    side = document(tmp_path / "out.json")["curves"][0]["decode"]
    # More than the decoded pixels alone.
    assert side["peak_memory_mib"] > 0.1


def test_verbose_names_the_pieces(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bench", folder, *FEW, "-v") == 0
    assert output.verbosity == output.VERBOSE
    assert "coffee.png webp" in capsys.readouterr().err
