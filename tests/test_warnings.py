"""What the user is told of a picture that was read: on stderr, in JSON, in the log, and from Python."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import vrcodec
from tests.conftest import Command
from tests.files import exif, jpeg, numbers, scene
from vrcodec.errors import LeftOutWarning

Run = Callable[..., int]
TOLD = "left out: 9 bytes behind the end of the picture"
CHANGED = "EXIF: thumbnail removed"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A turned photograph with a thumbnail, and a few bytes behind its end."""
    path = tmp_path / "in" / "a.jpg"
    path.parent.mkdir()
    block = exif({0x0112: numbers(6)}, {}, None, b"thumbnail")
    path.write_bytes(jpeg(scene(), exif=b"Exif\0\0" + block) + b"and so on")
    return path


def test_a_single_picture(run: Run, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("encode", photo, "--json") == 0
    captured = capsys.readouterr()
    assert f"vrcodec: warning: {photo}: {TOLD}" in captured.err
    assert CHANGED not in captured.err
    assert json.loads(captured.out)[0]["warnings"] == [TOLD]
    assert run("encode", photo, "-f", "-q") == 0
    assert capsys.readouterr().err == ""
    assert run("encode", photo, "-f", "-v") == 0
    assert f"{photo}: {CHANGED}" in capsys.readouterr().err


@pytest.mark.parametrize("verbosity", [(), ("-v",)])
def test_many_pictures(vrcodec: Command, photo: Path, verbosity: tuple[str, ...]) -> None:
    scene().save(photo.with_name("b.png"))
    found = vrcodec("encode", "in", "-o", "out", "--model", "gained", "--json", *verbosity)
    assert found.returncode == 0
    told = found.stderr.decode()
    assert f"warning: in/a.jpg: {TOLD}" in told
    assert (CHANGED in told) == bool(verbosity)
    assert [entry["warnings"] for entry in json.loads(found.stdout)] == [[TOLD], []]
    log = (photo.parents[1] / "out" / "vrcodec-log.jsonl").read_text().splitlines()
    logged = {record["source"]: record["warnings"] for record in map(json.loads, log)}
    assert logged == {"in/a.jpg": [TOLD], "in/b.png": []}


def test_python(photo: Path) -> None:
    with pytest.warns(LeftOutWarning, match=f"a.jpg: {TOLD}") as caught:
        vrcodec.encode(photo)
    assert caught[0].filename == __file__
    with Image.open(photo) as image, pytest.warns(LeftOutWarning, match=f"image: {TOLD}"):
        vrcodec.encode(image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vrcodec.encode(scene())
