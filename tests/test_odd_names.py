"""Names of files that no file can have, that lead nowhere, or that a terminal would obey."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import GOLDEN
from vrcodec.catalog import installed_weights

Run = Callable[..., int]

TOO_LONG = "x" * 300
TOO_DEEP = "/".join(["folder"] * 1000)
# Each is tried in place of N.
COMMANDS = (
    "encode N -o out.vrc",
    "encode picture.png -f -o N",
    "encode picture.png -f -o N/out.vrc",
    "encode picture.png --model qmap --qmap N -o out.vrc",
    "encode picture.png --model qmap --roi N.json -o out.vrc",
    "encode picture.png --model qmap --roi N.png#1 -o out.vrc",
    "encode --files-from N -o out",
    "decode N -o out.png",
    "decode N --crop 0,0,9,9 -o out.png",
    "decode a.vrc -f -o N --format png",
    "decode a.vrc --progressive N%d",
    "info N",
    "info a.vrc --qmap-out N.png",
    "verify N",
    "view N --no-browser",
    "view a.vrc --original N",
    "qmap N --for gradient -o out.png",
    "qmap picture.png --for gradient -o N.png",
    "batch encode --manifest N --out out",
    "batch report N",
    "bench N --rivals none",
    "bench picture.png --rivals none --json N",
    "train gained --data N",
    "train gained --data . -o N",
)


@pytest.fixture
def folder(tmp_path: Path, picture_file: Path) -> Path:
    shutil.copy(GOLDEN / "photograph.vrc", tmp_path / "a.vrc")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "out").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", [TOO_LONG, TOO_DEEP, "loop/below", "picture.png/below"])
@pytest.mark.parametrize("command", COMMANDS)
def test_names_that_are_no_file(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    assert run(*(part.replace("N", name) for part in command.split())) in (2, 3, 6, 9)
    said = capsys.readouterr().err
    assert "internal error" not in said
    assert "Traceback" not in said
    assert sorted(os.listdir(folder)) == ["a.vrc", "loop", "out", "picture.png"]


@pytest.fixture
def special(folder: Path) -> Iterator[dict[str, str]]:
    """Things that are no regular files, by what they are."""
    with socket.socket(socket.AF_UNIX) as listener:
        # A short name: that of a socket is limited.
        here = os.getcwd()
        os.chdir(folder)
        listener.bind("socket")
        os.chdir(here)
        yield {"folder": "out", "socket": "socket", "loop": "loop", "nothing": os.devnull}


@pytest.mark.parametrize("kind", ["folder", "socket", "loop", "nothing"])
@pytest.mark.parametrize(
    "command", ["info N", "verify N", "decode N -o b.png", "encode N -o b.vrc"]
)
def test_what_is_no_regular_file(
    run: Run,
    special: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    command: str,
    kind: str,
) -> None:
    code = run(*(part.replace("N", special[kind]) for part in command.split()))
    assert code in ((2, 3) if kind != "nothing" else (3, 4))
    assert "internal error" not in capsys.readouterr().err


def test_a_message_is_one_line(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "line\nbreak \x1b[31m \u202e.vrc"
    assert run("info", name) == 3
    assert run("verify", name) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(r"line\nbreak \x1b[31m \u202e.vrc: cannot be read" in line for line in lines)
    shutil.copy(folder / "a.vrc", folder / name)
    assert run("info", name) == 0
    assert r"line\nbreak \x1b[31m" in capsys.readouterr().out


def test_weights_folders_that_are_none(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    usual = [entry.id for entry in installed_weights()]
    odd = [folder / "loop", TOO_LONG, os.devnull, GOLDEN]
    monkeypatch.setenv("VRCODEC_WEIGHTS", os.pathsep.join(map(str, odd)))
    assert [entry.id for entry in installed_weights()] == usual


def test_a_map_that_is_several_arrays(run: Run, folder: Path) -> None:
    np.savez(folder / "several.npz", one=np.zeros((2, 2)), other=np.zeros((2, 2)))
    os.rename(folder / "several.npz", folder / "map.npy")
    encode = ("encode", "picture.png", "--model", "qmap", "--qmap", "map.npy", "-o", "out.vrc")
    assert run(*encode) == 3
    (folder / "map.npy").write_bytes(b"\x93NUMPY\x01\x00\x10\x00{'descr': ((((((")
    assert run(*encode) == 3


@pytest.mark.parametrize(
    "command", [("info",), ("verify",), ("view",), ("qmap", "--for", "gradient", "-o", "map.png")]
)
def test_what_takes_no_urls_says_so(
    run: Run, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    assert run(*command, "https://127.0.0.1/a.vrc") == 3
    assert "only encode and decode take URLs" in capsys.readouterr().err
