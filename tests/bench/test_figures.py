"""`vrcodec bench`: the figures that it reports are what files on disk say."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.bench.reports import FEW, document
from vrcodec.bench.curves import explain_lack, read_curves
from vrcodec.catalog import DEFAULT_MODEL
from vrcodec.codec import Decoder, Encoder
from vrcodec.metrics import psnr
from vrcodec.picture.folders import read_folder
from vrcodec.rate import code_from_rate

Run = Callable[..., int]


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


def test_published_curves_are_laid_beside(run: Run, folder: Path, tmp_path: Path) -> None:
    published = {"name": "Theirs", "results": {"bpp": [0.1, 1.0, 4.0], "psnr": [10.0, 30.0, 50.0]}}
    (tmp_path / "theirs.json").write_text(json.dumps(published))
    arguments = ("--compare", "theirs.json", "--anchor", "Theirs", "--json", "out.json")
    assert run("bench", folder, *FEW, *arguments) == 0
    found = document(tmp_path / "out.json")
    assert found["bd_rate"]["anchor"] == "Theirs"
    assert found["bd_rate"]["psnr"][DEFAULT_MODEL]["pooled"]["pchip"] is not None


def test_curves_of_one_name_are_told_apart(run: Run, folder: Path, tmp_path: Path) -> None:
    """As are two runs of ours that are compared, and a published curve that is called as one measured here."""
    theirs = {"name": "webp", "results": {"bpp": [0.1, 1.0, 4.0], "psnr": [10.0, 30.0, 50.0]}}
    for name, bpp in (("old", 1.0), ("new", 2.0)):
        (tmp_path / name).mkdir()
        curve = {"name": "webp", "results": {"bpp": [bpp, 4.0], "psnr": [10.0, 50.0]}}
        (tmp_path / name / "out.json").write_text(json.dumps({"curves": [curve, curve]}))
    (tmp_path / "theirs.json").write_text(json.dumps(theirs))
    files = ("--compare", "theirs.json", "--compare", "old/out.json", "--compare", "new/out.json")
    assert run("bench", folder / "grey.png", *FEW, *files, "--json", "out.json") == 0
    found = document(tmp_path / "out.json")
    names = [curve["name"] for curve in found["curves"]]
    assert names == [
        DEFAULT_MODEL,
        "webp",
        "webp, theirs.json",
        "webp (out)",
        "webp (out), old/out.json",
        "webp (out), new/out.json",
        "webp (out), new/out.json (2)",
    ]
    rates = found["bd_rate"]["psnr"]
    assert list(rates) == [name for name in names if name != "webp"]
    assert rates["webp (out)"] != rates["webp (out), new/out.json"]


def test_names_are_no_formulas(run: Run, folder: Path, tmp_path: Path) -> None:
    theirs = {"name": "$\\nothing$ \ud800", "results": {"bpp": [1.0], "psnr": [30.0]}}
    (tmp_path / "theirs.json").write_text(json.dumps(theirs))
    arguments = ("--rates", "0.5", "--rivals", "none", "--compare", "theirs.json")
    assert run("bench", folder / "grey.png", *arguments, "--plot", "out.svg") == 0


def test_it_is_said_why_there_is_no_bd_rate(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.linear_gradient("L").resize((40, 40)).save(folder / "small.png")
    arguments = ("--metrics", "ms-ssim", "--rivals", "webp")
    assert run("bench", folder, "--rates", "0.5", *arguments) == 0
    shown = capsys.readouterr().out
    assert "no overlap" not in shown
    assert "too few points" in shown
    columns = {"bpp": [1.0, 2.0], "psnr": [30.0, 40.0]}
    higher = {"bpp": [1.0, 2.0], "psnr": [50.0, 60.0]}
    assert explain_lack(columns, higher, "psnr") == "no overlap"
    assert explain_lack(columns, higher, "ms-ssim") == "no figures"


def test_small_pictures_have_no_ms_ssim(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    Image.new("RGB", (3, 2), (200, 10, 10)).save(folder / "dot.png")
    assert run("bench", folder, *FEW, "--json", "out.json") == 0
    results = document(tmp_path / "out.json")["results"]
    assert "ms-ssim" not in results
    assert results["psnr"]


def test_memory_is_measured_where_the_system_tells(run: Run, folder: Path, tmp_path: Path) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("Linux only")
    assert run("bench", folder, *FEW, "--json", "out.json") == 0
    side = document(tmp_path / "out.json")["curves"][0]["decode"]
    # More than the decoded pixels alone.
    assert side["peak_memory_mib"] > 0.1
