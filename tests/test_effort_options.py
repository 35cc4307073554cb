"""Effort on the command line and in Python: what goes together, what is said, and what an interrupt leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import vrcodec
from tests.conftest import ROOT, Pixels
from tests.surrogates import CODE, FAMILIES, cost
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.catalog import DEFAULT_MODEL, find_by_family
from vrcodec.codec import Encoder
from vrcodec.errors import UsageError
from vrcodec.picture.picture import Picture
from vrcodec.refinement.effort import MAX_EFFORT, Effort, SearchMonitor


@pytest.mark.parametrize(
    "arguments",
    [
        {"level": MAX_EFFORT + 1},
        {"level": -1},
        {"seconds": 0.0},
        {"seconds": float("inf")},
        {"tune": "vmaf"},
    ],
)
def test_nonsense_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Effort(**arguments)  # type: ignore[arg-type]


class Interrupting(SearchMonitor):
    def __init__(self, keep_partial: bool) -> None:
        super().__init__(self._interrupt, keep_partial)

    @staticmethod
    def _interrupt(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt


@pytest.mark.parametrize("family", FAMILIES)
def test_an_interrupt_keeps_what_was_found_if_asked_to(family: str, photograph: Pixels) -> None:
    encoder, picture = Encoder(family), Picture.from_array(photograph)
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(picture, CODE, effort=Effort(6), monitor=Interrupting(keep_partial=False))
    monitor = Interrupting(keep_partial=True)
    found = encoder.encode(picture, CODE, effort=Effort(6), monitor=monitor)
    assert monitor.interrupted
    plain = encoder.encode(picture, CODE)
    setting = RateSetting(CODE)
    assert cost(encoder, picture, setting, found) < cost(encoder, picture, setting, plain)


# The command, which says when its search has begun. Whoever runs tests in the background may have switched
# Ctrl-C off for all that they start.
_SEARCHING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from vrcodec.cli import main
from vrcodec.cli.shared import output
output.part_done = lambda share: print("searching", file=sys.stderr, flush=True)
main.main()
"""


@pytest.mark.parametrize("keep", [False, True])
def test_ctrl_c_leaves_a_whole_file_or_none(tmp_path: Path, picture_file: Path, keep: bool) -> None:
    target = tmp_path / "found.vrc"
    flags = ["--keep-partial", "--json"] if keep else []
    command = [sys.executable, "-c", _SEARCHING, "encode", str(picture_file), "-o", str(target)]
    process = subprocess.Popen(
        [*command, "--time-budget", "60", *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == b"searching\n"
    process.send_signal(signal.SIGINT)
    found, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"interrupted" in messages
    assert sorted(p.name for p in tmp_path.iterdir()) == ["found.vrc"] * keep + ["picture.png"]
    if keep:
        assert vrcodec.open(target).size == (200, 150)
        (result,) = json.loads(found)
        assert result["bytes"] == target.stat().st_size


def test_the_command_says_what_it_did(
    run: Callable[..., int], picture_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("encode", picture_file, "--effort", 1, "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert (result["effort"], result["tune"]) == (1, find_by_family(DEFAULT_MODEL).tune)
    assert run("encode", picture_file, "-f", "--time-budget", 0.5, "--json", "-r", 0.2) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["time_budget"] == 0.5
    assert "effort" not in result


@pytest.mark.parametrize(
    "flags",
    [
        ("--effort", 3, "--time-budget", 2),
        ("--effort", 10),
        ("--time-budget", 0),
        ("--tune", "msssim"),
        ("--keep-partial",),
        ("--effort", 1, "--tune", "msssim"),
    ],
)
def test_flags_that_do_not_go_together(
    run: Callable[..., int], picture_file: Path, flags: tuple[object, ...]
) -> None:
    assert run("encode", picture_file, *flags) == 2
    assert not picture_file.with_suffix(".vrc").exists()


def test_effort_in_python(photograph: Pixels) -> None:
    assert len(vrcodec.encode(photograph, 0.5, effort=2)) > 0
    assert len(vrcodec.encode(photograph, 0.5, time_budget=0.2, model="qarv")) > 0
    with pytest.raises(UsageError):
        vrcodec.encode(photograph, 0.5, effort=2, time_budget=1)
