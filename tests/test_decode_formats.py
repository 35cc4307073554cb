"""`vrcodec decode` to other formats than PNG: by names and by --format, of one file and of many."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image

from tests.conftest import GOLDEN, Command, file_names
from tests.levels import LEVELS
from vrcodec.cli.shared.many_files import LOG_NAME
from vrcodec.codec import Decoder
from vrcodec.picture.output_formats import FORMATS

Run = Callable[..., int]
SIDES = GOLDEN / "sides"
PHOTOGRAPH = GOLDEN / "photograph.vrc"
PICTURES = [name for name, held in FORMATS.items() if name != "npy"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jpg", "JPEG"),
        ("a.JPEG", "JPEG"),
        ("a.webp", "WEBP"),
        ("a.avif", "AVIF"),
        ("a.tif", "TIFF"),
        ("a.TIFF", "TIFF"),
        ("a.bmp", "BMP"),
        ("a.png", "PNG"),
        ("a", "PNG"),
    ],
)
def test_the_name_chooses_the_format(
    run: Run, tmp_path: Path, name: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("decode", PHOTOGRAPH, "-o", name, "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)
    with Image.open(tmp_path / name) as image:
        assert image.format == kind
        assert image.size == (result["width"], result["height"])
    assert result["format"] == kind.lower()
    assert result["bytes"] == (tmp_path / name).stat().st_size
    assert run("decode", PHOTOGRAPH, "-o", name) == 9
    assert run("decode", PHOTOGRAPH, "-o", name, "-f") == 0


def test_other_names_and_qualities_are_refused(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("decode", PHOTOGRAPH, "-o", "a.jxl") == 2
    said = capsys.readouterr().err
    assert all(suffix in said for suffix in (".jpg", ".webp", ".avif", ".tif", ".bmp", ".png"))
    for output in (("-o", "a.png"), ("-o", "a.tif"), ("--format", "bmp"), ()):
        assert run("decode", PHOTOGRAPH, *output, "--quality", "90") == 2
        assert "--quality" in capsys.readouterr().err
    for quality in ("0", "101"):
        assert run("decode", PHOTOGRAPH, "-o", "a.jpg", "--quality", quality) == 2
    assert file_names(tmp_path) == []


@pytest.mark.parametrize("output", PICTURES)
def test_formats_go_to_stdout(vrcodec: Command, output: str) -> None:
    result = vrcodec("decode", "-", "--format", output, input=PHOTOGRAPH.read_bytes())
    assert result.returncode == 0
    with Image.open(io.BytesIO(result.stdout)) as image:
        assert image.format == output.upper()


def test_a_quality_makes_files_smaller_or_exact(run: Run, tmp_path: Path) -> None:
    for suffix in ("jpg", "webp", "avif"):
        assert run("decode", PHOTOGRAPH, "-o", f"low.{suffix}", "--quality", "10") == 0
        assert run("decode", PHOTOGRAPH, "-o", f"high.{suffix}") == 0
        low, high = ((tmp_path / f"{name}.{suffix}").stat().st_size for name in ("low", "high"))
        assert 2 * low < high
    assert run("decode", PHOTOGRAPH, "-o", "exact.png") == 0
    with Image.open("high.webp") as one, Image.open("exact.png") as other:
        assert (np.asarray(one) == np.asarray(other)).all()


@pytest.mark.parametrize("name", ["a.jpg", "a.bmp", "a.ppm"])
def test_alpha_is_refused_before_decoding_or_laid_on_white(
    run: Run,
    tmp_path: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decode(*_: object) -> NoReturn:
        raise AssertionError

    with monkeypatch.context() as context:
        context.setattr(Decoder, "reconstruct", decode)
        assert run("decode", SIDES / "rgba.vrc", "-o", name) == 2
    said = capsys.readouterr().err
    assert "rgba.vrc: has alpha" in said
    assert "--flatten" in said
    assert file_names(tmp_path) == []
    assert run("decode", SIDES / "rgba.vrc", "-o", name, "--flatten", "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert (result["mode"], result["alpha"]) == ("RGB", False)
    assert run("decode", SIDES / "rgba.vrc", "-o", "flat.png", "--flatten") == 0
    with Image.open(SIDES / "rgba.png") as image, Image.open("flat.png") as flat:
        white = Image.new("RGBA", image.size, "white")
        expected = np.asarray(Image.alpha_composite(white, image).convert("RGB")).astype(int)
        # The golden file holds within a step, and Pillow rounds otherwise.
        assert np.abs(np.asarray(flat) - expected).max() <= 2


def test_what_is_lost_is_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.jpg", "a.webp", "a.tif", "a.avif"):
        assert run("decode", SIDES / "metadata.vrc", "-o", name) == 0
        assert "warning" not in capsys.readouterr().err
        with Image.open(name) as image:
            assert {"xmp", "icc_profile"} <= set(image.info)
    assert run("decode", SIDES / "metadata.vrc", "-o", "a.bmp") == 2
    assert "ICC profile" in capsys.readouterr().err
    # That profile is none; the message names the file.
    assert run("decode", SIDES / "metadata.vrc", "-o", "a.bmp", "--flatten") == 3
    assert "metadata.vrc" in capsys.readouterr().err


def test_parts_previews_and_levels_have_the_formats(run: Run, tmp_path: Path) -> None:
    assert run("decode", PHOTOGRAPH, "-o", "part.jpg", "--crop", "8,8,40,24") == 0
    assert run("decode", PHOTOGRAPH, "-o", "small.avif", "--scale", "1/4") == 0
    with (
        Image.open(tmp_path / "part.jpg") as part,
        Image.open(PHOTOGRAPH.with_suffix(".png")) as whole,
    ):
        assert part.size == (40, 24)
        expected = -(-whole.width // 4), -(-whole.height // 4)
    with Image.open(tmp_path / "small.avif") as small:
        assert small.size == expected
    assert run("decode", GOLDEN / "qarv_photograph.vrc", "--progressive", "%d.webp") == 0
    assert len(list(tmp_path.glob("?.webp"))) > 1
    assert (tmp_path / f"{LEVELS}.webp").exists()


def test_what_is_too_large_is_refused_before_decoding(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("1", (16385, 2)).save(tmp_path / "wide.png")
    assert run("encode", "wide.png") == 0
    capsys.readouterr()
    assert run("decode", "wide.vrc", "-o", "a.webp") == 7
    assert "wide.vrc: is 16385x2 pixels" in capsys.readouterr().err
    assert run("decode", "wide.vrc", "-o", "a.webp", "--crop", "0,0,16383,2") == 0
    assert run("decode", "wide.vrc", "-o", "b.webp", "--scale", "1/2") == 0
    assert run("decode", "wide.vrc", "-o", "a.jpg") == 0


def test_folders_have_one_format_and_are_resumed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("rgba", "metadata", "bilevel"):
        shutil.copy(SIDES / f"{name}.vrc", tmp_path / "in")
    decode = ("decode", "in", "-o", "out", "--jobs", "1", "--format", "jpeg")
    assert run(*decode) == 1
    assert "rgba.vrc: has alpha" in capsys.readouterr().err
    assert file_names(tmp_path / "out") == ["bilevel.jpg", "metadata.jpg", LOG_NAME]
    assert run(*decode, "--flatten", "--resume") == 0
    assert "3 decoded" in capsys.readouterr().err
    assert run(*decode, "--flatten", "--resume") == 0
    assert "3 up to date" in capsys.readouterr().err
    assert run(*decode, "--flatten", "--resume", "--quality", "30") == 0
    assert "3 decoded" in capsys.readouterr().err
    assert file_names(tmp_path / "out") == ["bilevel.jpg", "metadata.jpg", "rgba.jpg", LOG_NAME]
    assert run("decode", "in", "-o", "out", "--quality", "30") == 2
    shards = ("batch", "decode", "--manifest", "in", "--out", "shards", "--jobs", "1")
    assert run(*shards, "--format", "tiff") == 0
    assert file_names(tmp_path / "shards" / "in") == ["bilevel.tif", "metadata.tif", "rgba.tif"]


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.avif", "a.tif", "a.bmp"])
def test_a_full_disk_leaves_nothing(
    run: Run, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert run("decode", PHOTOGRAPH, "-o", name) == 9
    assert file_names(tmp_path) == []
