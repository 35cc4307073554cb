"""The command in surroundings that are not as usual: closed streams, odd names, little memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import GOLDEN, ROOT
from vrcodec.errors import DeviceError
from vrcodec.extras import is_installed
from vrcodec.files import open_descriptor, read_at_most

VRCODEC = f"{sys.executable} -m vrcodec"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a picture and a file of it."""
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(tmp_path / "a.png")
    shutil.copy(GOLDEN / "photograph.vrc", tmp_path / "a.vrc")
    return tmp_path


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which V is the command."""
    environment = {**os.environ, "V": VRCODEC, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, check=False
    )


@pytest.mark.parametrize(
    "arguments", ["encode - -o b.vrc", "decode - -o b.png", "info -", "encode --files-from - -o ."]
)
def test_standard_input_that_is_closed(folder: Path, arguments: str) -> None:
    found = shell(folder, f"$V {arguments} <&-")
    assert found.returncode == 3
    assert b"<stdin>: is closed" in found.stderr


def test_a_name_that_is_no_text(folder: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        shutil.copy(folder / "a.png", folder / name)
    except OSError:
        pytest.skip("this file system has no such names")
    found = shell(folder, "$V encode a.png $'caf\\xe9.png' --model gained -f --json")
    assert found.returncode == 0, found.stderr
    assert len(json.loads(found.stdout)) == 2
    assert (folder / name).with_suffix(".vrc").exists()


def test_little_memory_is_enough_to_look_at_a_file(folder: Path) -> None:
    found = shell(folder, "ulimit -v 1000000; $V info a.vrc && $V verify a.vrc")
    assert found.returncode == 0, found.stderr


def test_little_memory_is_enough_where_all_is_done(folder: Path) -> None:
    encode = "$V encode . -o out --model gained --jobs 1 --resume"
    found = shell(folder, f"mkdir out; {encode} -q; ulimit -v 300000; {encode}")
    assert found.returncode == 0, found.stderr
    assert b"0 encoded, 1 up to date, 0 failed" in found.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        "encode {folder} -o {folder}/out --jobs 1",
        "batch encode --manifest {folder} --out {folder}/out --jobs 1",
        "bench {folder}/a.png --json o.json",
        "qmap {folder}/a.png --for task --task os:getcwd -o {folder}/map.png",
        "import {folder}/a.vrc --as mine",
        "train gained --data {folder} --minutes 1",
    ],
)
def test_a_working_folder_that_is_gone(folder: Path, arguments: str) -> None:
    """Where nothing else is wanted of it: workers would fail, and PyTorch would end the process."""
    if arguments.split()[0] in ("qmap", "import", "train") and not is_installed("compressai"):
        pytest.skip("needs the packages for training")
    command = arguments.format(folder=folder)
    found = shell(folder, f"mkdir gone; cd gone; rmdir ../gone; $V {command}")
    assert found.returncode == DeviceError.exit_code, found.stderr
    (line,) = found.stderr.decode().splitlines()
    assert line.startswith("vrcodec: ")
    assert "the working folder is gone, and " in line


def test_names_of_open_files(folder: Path) -> None:
    """As a shell redirects it, behind what is there, and not over it."""
    encode = "$V encode a.png --model gained -f -q -o"
    assert shell(folder, f"{encode} b.vrc").returncode == 0
    data = (folder / "b.vrc").read_bytes()
    for number, target in enumerate(("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")):
        log = folder / f"log{number}"
        log.write_bytes(b"keep")
        assert shell(folder, f"{encode} {target} >> {log.name}").returncode == 0
        assert log.read_bytes() == b"keep" + data
    assert shell(folder, f"{encode} /dev/fd/7 7> c.vrc").returncode == 0
    assert (folder / "c.vrc").read_bytes() == data
    assert open_descriptor(Path("/dev/null")) is None


def test_a_log_on_standard_output(folder: Path) -> None:
    shutil.copy(folder / "a.png", folder / "b.png")
    encode = "$V encode a.png b.png --model gained -f -q -o ."
    for log in ("-", "/dev/stdout"):
        found = shell(folder, f"{encode} --log {log}")
        assert found.returncode == 0, found.stderr
        lines = [json.loads(line) for line in found.stdout.splitlines()]
        assert sorted(Path(line["source"]).name for line in lines) == ["a.png", "b.png"]
    assert not (folder / "-").exists()
    assert shell(folder, f"{encode} --log - --json").returncode == 2


def test_what_is_left_out_is_counted_and_logged(folder: Path) -> None:
    pictures = folder / "in"
    pictures.mkdir()
    shutil.copy(folder / "a.png", pictures)
    for name in ("IMG_1.JP2", "IMG_2.jp2", "b.tga", "notes"):
        (pictures / name).write_bytes(b"x")
    (pictures / "gone.png").symlink_to("nowhere")
    for _ in range(2):
        found = shell(folder, "$V encode in -o out --model gained --jobs 1 --resume")
        assert found.returncode == 0, found.stderr
        assert b"5 left out (2 .jp2, 1 .tga, 1 broken link, 1 without a suffix)" in found.stderr
    log = [
        json.loads(line) for line in (folder / "out" / "vrcodec-log.jsonl").read_text().splitlines()
    ]
    kinds = [line["error_class"] for line in log if line["outcome"] == "left out"]
    assert sorted(kinds) == sorted(2 * [".jp2", ".jp2", ".tga", "broken link", "without a suffix"])
    (pictures / "a.png").unlink()
    found = shell(folder, "$V encode in -o other")
    assert found.returncode == 3
    assert b"nothing to do there; 5 left out (2 .jp2" in found.stderr


@pytest.mark.parametrize("command", ["", "encode", "batch", "batch decode", "info"])
def test_help_survives_without_docstrings(folder: Path, command: str) -> None:
    plain, bare = (
        shell(folder, f"{sys.executable} {flag} -m vrcodec {command} --help").stdout
        for flag in ("", "-OO")
    )
    assert plain == bare
    assert len(plain.splitlines()) > 8


@pytest.mark.parametrize("size", [0, 1, 9_999, 10_000, 3_000_000])
def test_reading_up_to_a_limit(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    with path.open("rb") as file:
        assert read_at_most(file, 10_000) == content[:10_000]
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert read_at_most(process.stdout, 2_500_000) == content[:2_500_000]
