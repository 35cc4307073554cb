"""`encode` and `decode` of many files: folders, lists, batches, resuming, interruption."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.batching import encode_work, is_whole, make_photographs
from tests.conftest import GOLDEN, ROOT
from vrcodec.batch.items import Item
from vrcodec.batch.processor import ItemProcessor
from vrcodec.cli.shared.many_files import LOG_NAME
from vrcodec.models.base import Latents, VariableRateModel

Run = Callable[..., int]


def tree(folder: Path) -> dict[str, bytes]:
    """The .vrc files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.vrc")}


def log_lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / LOG_NAME).read_text().splitlines()]


def test_folders_there_and_back(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_photographs(tmp_path / "in", 4)
    (tmp_path / "in" / "broken.png").write_bytes(b"nothing")
    encode = ("encode", "in", "--model", "gained")
    assert run(*encode, "-o", "one", "--jobs", "1") == 1
    assert run(*encode, "-o", "two", "--jobs", "2", "--json") == 1
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 4
    assert "broken.png" in captured.err
    assert "4 encoded, 0 up to date, 1 failed" in captured.err
    # Whatever the number of workers.
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert len(tree(tmp_path / "one")) == 4
    assert run("decode", "two", "-o", "back") == 0
    back = sorted(str(p.relative_to(tmp_path / "back")) for p in tmp_path.glob("back/*/*"))
    assert back == ["left/001.png", "left/003.png", "right/000.png", "right/002.png"]


def test_file_urls_are_paths(run: Run, tmp_path: Path) -> None:
    make_photographs(tmp_path / "in", 1)
    (source,) = (tmp_path / "in").rglob("*.png")
    gained = ("--model", "gained")
    assert run("encode", f"file://{source}", "-o", f"file://{tmp_path}/a.vrc", *gained) == 0
    assert run("decode", f"file://{tmp_path}/a.vrc", "-o", "a.png") == 0
    assert run("qmap", f"file://{source}", "--for", "gradient", "-o", "map.png") == 0
    (tmp_path / "out").mkdir()
    (tmp_path / "list").write_text(f"file://{tmp_path}/in\n")
    assert (
        run("encode", f"file://{source}", "--jobs", 1, "-o", f"file://{tmp_path}/out", *gained) == 0
    )
    assert run("encode", f"file://{tmp_path}/in", "-o", "tree", *gained) == 0
    assert run("encode", "--files-from", "list", "-o", "listed", *gained) == 0
    whole = {(tmp_path / "a.vrc").read_bytes()}
    for folder in ("out", "tree", "listed"):
        assert set(tree(tmp_path / folder).values()) == whole


def test_pictures_of_one_size_are_analysed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, with the same files in the end."""
    small = make_photographs(tmp_path / "in" / "small", 5)
    large = make_photographs(tmp_path / "in" / "large", 2, side=96)
    bad = tmp_path / "in" / "broken.png"
    bad.write_bytes(b"nothing")
    sources = [small[0], large[0], bad, *small[1:], large[1]]
    analyse_batch = VariableRateModel.analyse_batch
    batches: list[int] = []

    def counted(model: VariableRateModel, x: torch.Tensor) -> list[Latents]:
        batches.append(len(x))
        return analyse_batch(model, x)

    monkeypatch.setattr(VariableRateModel, "analyse_batch", counted)

    def files(together: int) -> list[bytes]:
        processor = ItemProcessor(
            replace(encode_work("gained"), chosen_batch_size=together), False, False
        )
        folder = tmp_path / str(together)
        folder.mkdir()
        items = [Item(str(p), str(folder / f"{k}.vrc")) for k, p in enumerate(sources)]
        found = list(processor.process_all(items))
        assert [o.outcome == "failed" for o in found] == [p == bad for p in sources]
        return [Path(i.target).read_bytes() for i in items if i.source != str(bad)]

    assert files(8) == files(1)
    assert batches == [5, 2, *[1] * 7]


@pytest.mark.parametrize("option", [("--model", "qmap"), ("--model", "gained", "--bpp", "1")])
def test_what_cannot_be_analysed_in_batches_is_coded_all_the_same(
    option: tuple[str, ...], tmp_path: Path
) -> None:
    pictures = make_photographs(tmp_path, 2)
    processor = ItemProcessor(replace(encode_work(*option[1:]), chosen_batch_size=2), False, False)
    items = [Item(str(p), f"{p}.vrc") for p in pictures]
    assert [o.outcome for o in processor.process_all(items)] == ["done", "done"]


def test_a_device_that_is_not_there(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_photographs(tmp_path / "in", 2)
    assert run("encode", "in", "-o", "out", "--device", "cuda:9") == 1
    said = capsys.readouterr().err
    assert said.count("no device 'cuda:9'") == 2
    assert "0 encoded, 0 up to date, 2 failed" in said


def test_resume(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = make_photographs(tmp_path / "in", 3)
    options = ("-o", "out", "--model", "gained", "--resume", "--jobs", "1")
    assert run("encode", "in", *options) == 0
    before = tree(tmp_path / "out")
    shutil.copy(pictures[0], pictures[1])
    assert run("encode", "in", *options) == 0
    assert "1 encoded, 2 up to date, 0 failed" in capsys.readouterr().err
    after = tree(tmp_path / "out")
    assert after["left/001.vrc"] == after["right/000.vrc"] == before["right/000.vrc"]
    assert run("encode", "in", *options, "--rate", "0.2") == 0
    assert "3 encoded" in capsys.readouterr().err
    assert run("encode", "in", "-o", "out", "--model", "gained", "--jobs", "1") == 1
    kinds = [line["outcome"] for line in log_lines(tmp_path / "out")]
    assert [kinds.count(kind) for kind in ("done", "skipped", "failed")] == [7, 2, 3]


def test_warnings_of_workers_are_said(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    names = [GOLDEN / "sides" / "metadata.vrc", GOLDEN / "dot.vrc"]
    assert run("decode", *names, "-o", "out", "--format", "ppm", "--jobs", "1") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "no place" in line]
    assert len(said) == 1
    assert "metadata.vrc" in said[0]


def test_a_list_from_stdin(vrcodec, tmp_path: Path) -> None:
    make_photographs(tmp_path / "in", 2)
    names = b"in/left/001.png\0in/right/000.png\0"
    result = vrcodec(
        "encode", "--files-from", "-", "-0", "-o", "out", "--model", "gained", input=names
    )
    assert result.returncode == 0, result.stderr
    assert sorted(tree(tmp_path / "out")) == ["in/left/001.vrc", "in/right/000.vrc"]


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ["encode"]),
        (2, ["encode", "--files-from", "absent.txt", "-o", "-"]),
        (2, ["encode", "in", "--resume", "--log", "x", "-o", "taken.txt"]),
        (2, ["encode", "in/left/001.png", "--resume"]),
        (2, ["encode", "in", "-o", "out", "--effort", "1", "--keep-partial"]),
        (2, ["encode", "-", "in/a.png", "-o", ".", "--effort", "1", "--keep-partial"]),
        (3, ["encode", "in"]),
        (3, ["encode", "--files-from", "absent.txt", "-o", "out"]),
        (3, ["encode", "empty", "-o", "out"]),
        (3, ["encode", "in/*.gif", "-o", "out"]),
        (6, ["encode", "in", "-o", "out", "--model", "absent"]),
    ],
)
def test_what_cannot_be_begun(run: Run, tmp_path: Path, code: int, arguments: list[str]) -> None:
    make_photographs(tmp_path / "in", 2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken.txt").touch()
    assert run(*arguments) == code
    assert not list(tmp_path.rglob("*.vrc"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_and_resumed(tmp_path: Path, number: int, code: int, vrcodec) -> None:
    pictures = make_photographs(tmp_path / "in", 12, side=200)
    arguments = ["encode", "in", "-o", "out", "--model", "gained", "--resume", "--jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vrcodec", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/*/*.vrc")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(60) == code
    assert not list(tmp_path.rglob("*.part"))
    assert all(is_whole(path) for path in tmp_path.glob("out/*/*.vrc"))
    assert vrcodec(*arguments).returncode == 0
    assert len(tree(tmp_path / "out")) == len(pictures)
