"""Completion in the shells themselves: the documented line is typed, then part of a command and a tab."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_imports import HEAVY

PAGE = (ROOT / "docs" / "PLACES.md").read_text()
_SECONDS = 30
# The shell is to have no settings but these.
STARTS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "set -o emacs"),
    "zsh": (["zsh", "-f", "-i"], "bindkey -e; autoload -U compinit; compinit -D -u"),
}
CASES = [("vrcodec enc", "vrcodec encode"), ("vrcodec encode --ra", "vrcodec encode --rate")]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With a command `vrcodec` on the path, of this checkout, and an empty home."""
    program = tmp_path / "bin" / "vrcodec"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vrcodec "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "TERM": "xterm"}
    return {**os.environ, **own}


def documented_line(shell: str) -> str:
    """What to put into the settings of a shell."""
    (line,) = re.findall(rf"^(.*_VRCODEC_COMPLETE={shell}_source vrcodec.*)  #", PAGE, re.MULTILINE)
    return str(line)


def installed(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")


def answer(shell: str, typed: str, environment: dict[str, str], folder: Path) -> str:
    """The line that a person has before them after typing ``typed`` and a tab."""
    arguments, settings = STARTS[shell]
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen(
        arguments, stdin=terminal, stdout=terminal, stderr=terminal, cwd=folder, env=environment
    )
    os.close(terminal)
    result = folder / "result"
    # Ctrl-A, Ctrl-E: the line becomes what is echoed to a file.
    lines = [settings, documented_line(shell), f"{typed}\t\x01echo '\x05' > part; mv part result"]
    try:
        for line in lines:
            os.write(keyboard, line.encode() + b"\n")
        wait_for(result.exists, keyboard)
        return result.read_text().strip()
    finally:
        process.kill()
        process.wait()
        os.close(keyboard)


def wait_for(done: Callable[[], bool], keyboard: int) -> None:
    """Read what the shell shows, so that it does not wait for a reader, until ``done``."""
    shown = b""
    end = time.monotonic() + _SECONDS
    while not done():
        assert time.monotonic() < end, shown.decode(errors="replace")
        if select.select([keyboard], [], [], 0.05)[0]:
            shown += os.read(keyboard, 4096)


@pytest.mark.parametrize("shell", STARTS)
@pytest.mark.parametrize(("typed", "expected"), CASES)
def test_a_tab_completes(
    shell: str, typed: str, expected: str, environment: dict[str, str], tmp_path: Path
) -> None:
    installed(shell)
    assert answer(shell, typed, environment, tmp_path) == expected


@pytest.mark.parametrize(
    ("typed", "expected"),
    [*CASES, ("vrcodec bench --rivals webp,jx", "vrcodec bench --rivals webp,jxl")],
)
def test_fish_completes(typed: str, expected: str, environment: dict[str, str]) -> None:
    installed("fish")
    script = f'{documented_line("fish")}; complete -C "{typed}"'
    shown = subprocess.run(
        ["fish", "--no-config", "-c", script], env=environment, capture_output=True, check=True
    )
    candidates = [line.partition("\t")[0] for line in shown.stdout.decode().splitlines()]
    assert candidates == [expected.split()[-1]]


def completions(*words: str) -> subprocess.CompletedProcess[str]:
    """What the program tells a shell, in a process that says at its end what it has loaded."""
    script = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('loaded', *sorted(set({HEAVY!r}) & set(sys.modules))))\n"
        "from vrcodec.cli.main import main; main()"
    )
    asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **asked, "_VRCODEC_COMPLETE": "bash_complete", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("vrcodec", "inf"), "plain,info"),
        (("vrcodec", "encode", "photo"), "file,photo"),
        (("vrcodec", "qmap", "photo"), "file,photo"),
        (("vrcodec", "encode", "--files-from", "li"), "file,li"),
        (("vrcodec", "batch", "encode", "--manifest", "li"), "file,li"),
        (("vrcodec", "batch", "decode", "--out", "de"), "file,de"),
        (("vrcodec", "batch", "report", "logs/0"), "file,logs/0"),
        (("vrcodec", "weights", "list", "--hub", "hu"), "file,hu"),
        (("vrcodec", "weights", "fetch", "gained-3"), "plain,gained-3"),
        (("vrcodec", "weights", "show", "gained-3"), "plain,gained-3"),
        # Neither is it here, nor in the store.
        (("vrcodec", "weights", "path", "gained-3"), ""),
        (("vrcodec", "weights", "remove", "gained-3"), ""),
        (("vrcodec", "encode", "--model", "q"), "plain,qarv plain,qmap plain,qvrf"),
        (("vrcodec", "decode", "--device", "c"), "plain,cpu plain,cuda"),
        (("vrcodec", "encode", "--strip", "icc,e"), "plain,icc,exif"),
        (("vrcodec", "bench", "--metrics", "psnr,h"), "plain,psnr,haarpsi"),
        (("vrcodec", "nothing", "x"), ""),
    ],
)
def test_an_answer_is_quick_and_clean(words: tuple[str, ...], expected: str) -> None:
    found = completions(*words)
    *lines, loaded = found.stdout.splitlines()
    assert " ".join(lines) == expected
    assert loaded == "loaded"
    assert found.stderr == ""


def test_rivals_are_completed() -> None:
    *lines, _ = completions("vrcodec", "bench", "--rivals", "webp,avif-").stdout.splitlines()
    assert lines == ["plain,webp,avif-psnr", "plain,webp,avif-ssimulacra2"]
