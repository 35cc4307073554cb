"""Quality maps on the command line of `encode` and `info`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Command
from vrcodec import quality_map

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


@pytest.fixture
def sideways(tmp_path: Path) -> Path:
    """A photograph of 100x60 that lies on its side: 60x100 when upright."""
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned clockwise.
    pixels = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "sideways.jpg", exif=exif)
    return tmp_path / "sideways.jpg"


def test_regions_are_in_pixels_of_the_upright_picture(
    run: Run, sideways: Path, tmp_path: Path
) -> None:
    """By whatever they are given: box, polygon, annotations, mask, labels."""
    lower_right = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [32, 64, 28, 32]}
    content = {
        "images": [{"id": 1, "width": 60, "height": 100}],
        "annotations": [lower_right],
        "categories": [{"id": 1, "name": "dog"}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    mask = np.zeros((100, 60), np.uint8)
    mask[64:96, 32:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    regions = [
        "32,64,28,32",
        "32,64,60,64,60,96,32,96",
        "labels.json#dog",
        "mask.png",
        "mask.png#255",
    ]
    for region in regions:
        arguments = ["--model", "qmap", "--roi", f"{region}:1", "--roi-background", "0.2", "-f"]
        assert run("encode", sideways, "-o", "a.vrc", *arguments, "--lossless", "never") == 0
        levels = quality_map((tmp_path / "a.vrc").read_bytes())
        expected = np.full((7, 4), 0.2)
        expected[4:6, 2:] = 1
        assert levels == pytest.approx(expected, abs=1 / 255), region


@pytest.mark.parametrize("as_stored", ["labels.json#dog", "mask.png"])
def test_annotations_of_the_picture_as_stored_are_refused(
    run: Run, sideways: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], as_stored: str
) -> None:
    content = {
        "images": [{"id": 1, "width": 100, "height": 60}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}],
        "categories": [{"id": 1, "name": "dog"}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    Image.new("L", (100, 60), 255).save(tmp_path / "mask.png")
    assert run("encode", sideways, "-o", "a.vrc", "--model", "qmap", "--roi", as_stored) == 2
    said = capsys.readouterr().err
    assert "100x60" in said
    assert "60x100 when upright" in said


def test_a_feathered_region(run: Run, picture_file: Path, tmp_path: Path) -> None:
    arguments = ["--model", "qmap", "--roi", "0,0,32,150:1", "--roi-background", "0.2"]
    assert run("encode", picture_file, "-o", "a.vrc", *arguments, "--roi-feather", "96") == 0
    levels = quality_map((tmp_path / "a.vrc").read_bytes())
    share = 1 - np.arange(1, 7) / 7
    assert levels[2] == pytest.approx([1, 1, *(0.2 + 0.8 * share), *[0.2] * 5], abs=1 / 255)


def test_other_annotations_in_a_file_of_the_same_name_are_noticed(
    run: Run, picture_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By --resume: what was encoded with the earlier ones is not up to date."""
    (tmp_path / "out").mkdir()
    for level in (255, 255, 128):
        Image.new("L", (20, 15), level).save(tmp_path / "mask.png")
        arguments = ["--model", "qmap", "--roi", "mask.png", "--resume", "--jobs", "1"]
        assert run("encode", picture_file, "-o", "out", *arguments) == 0
    said = capsys.readouterr().err
    assert said.count("1 encoded, 0 up to date") == 2


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
        ["--model", "qmap", "--roi-feather", "32"],
        ["--model", "qmap", "--roi", "0,0,9,9", "--roi-feather", "-1"],
        ["--model", "qmap", "--roi", "picture.png#12345"],
    ],
)
def test_what_does_not_go_together(
    run: Run, picture_file: Path, tmp_path: Path, arguments: list[str]
) -> None:
    assert run("encode", picture_file, "-o", "a.vrc", *arguments) == 2
    assert not (tmp_path / "a.vrc").exists()
