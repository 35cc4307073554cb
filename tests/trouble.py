"""Bad days for whole commands: killed, interrupted, without room. What is left must be nothing, or whole."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from PIL import Image

from tests.conftest import GOLDEN, ROOT
from vrcodec.bitstream.inspection import check_structure
from vrcodec.cli import main
from vrcodec.cli.shared import signals
from vrcodec.errors import VrcError

# What an output held before: no picture.
OLD = b"what was there before"
_PATIENCE = 300
# What becomes of the span in which signals come, so that one in ten comes too late.
_LATER, _EARLIER = 1.01, 0.91
_ANSWERED = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Ended:
    """How a command ended. ``code``: negative for a signal."""

    code: int
    errors: str


def start(folder: Path, *arguments: object, **options: object) -> subprocess.Popen[bytes]:
    """A command of its own process, in ``folder``, with the tiny models; ``options`` of Popen."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VRCODEC_WEIGHTS": str(GOLDEN)}
    usual = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.PIPE,
        # A shell that runs this in the background has it ignore SIGINT.
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    }
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-m", "vrcodec", *map(str, arguments)],
        cwd=folder,
        env=environment,
        **{**usual, **options},
    )


def end(process: Process, data: bytes | None = None) -> Ended:
    """Wait for a command, with ``data`` for its input."""
    errors = process.communicate(data, timeout=_PATIENCE)[1] or b""
    return Ended(process.returncode, errors.decode(errors="replace"))


def run(folder: Path, *arguments: object, **options: object) -> Ended:
    """`start` and `end`."""
    return end(start(folder, *arguments, **options))


class Forked:
    """A command in a copy of this process, to which torch is no news: most of its life is reading and writing.

    To be used as the process that `start` gives. This process must not have computed anything: threads do not
    come along.
    """

    returncode: int

    def __init__(self, folder: Path, *arguments: object) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        # Until the copy answers signals as the command does, they wait.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ANSWERED)
        self._pid = os.fork()
        if not self._pid:
            self._become(folder, list(map(str, arguments)))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ANSWERED)

    def _become(self, folder: Path, arguments: list[str]) -> NoReturn:
        """What the command does after its imports."""
        # As in `start`.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signals.install()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ANSWERED)
        os.chdir(folder)
        os.dup2(self._errors.fileno(), 2)
        code = main.run(arguments)
        signals.ignore()
        os._exit(code)

    def send_signal(self, number: int) -> None:
        """As Popen does; a process that has ended waits to be asked for."""
        os.kill(self._pid, number)

    def communicate(self, data: bytes | None, timeout: float) -> tuple[None, bytes]:
        """Wait for the end; returns what the command said."""
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self._errors.seek(0)
        with self._errors as file:
            return None, file.read()


Process = subprocess.Popen[bytes] | Forked


@dataclass
class Trials:
    """The same command again and again, each time hit by a signal at another moment of its life.

    ``output``: what it writes. Counts what it found there afterwards.
    """

    folder: Path
    arguments: Sequence[object]
    output: Path
    number: int
    launch: Callable[..., Process] = start
    alive: int = 0
    absent: int = 0
    old: int = 0
    new: int = 0
    partial_names: int = 0
    before_python_was_ready: int = 0

    def run(self, count: int, rng: random.Random) -> None:
        """Half of them overwrite. Raises AssertionError where what is left is not whole, or not tidy."""
        self.output.unlink(missing_ok=True)
        before = time.perf_counter()
        ended = end(self.launch(self.folder, *self.arguments))
        assert ended.code == 0, ended.errors
        seconds = time.perf_counter() - before
        for _ in range(count):
            alive = self._trial(seconds * rng.random(), overwrite=rng.random() < 0.5)
            self.alive += alive
            # How fast the machine is changes all the time; what is hit too late has not been tried.
            seconds *= _LATER if alive else _EARLIER

    def _trial(self, moment: float, *, overwrite: bool) -> bool:
        """Whether the command was still alive."""
        self.output.unlink(missing_ok=True)
        if overwrite:
            self.output.write_bytes(OLD)
        process = self.launch(self.folder, *self.arguments, *(["-f"] if overwrite else []))
        time.sleep(moment)
        process.send_signal(self.number)
        ended = end(process)
        self._check_end(ended)
        self._look(overwrite)
        return ended.code != 0

    def _check_end(self, ended: Ended) -> None:
        if "Traceback" in ended.errors:
            # Before the first line of the program has run, nobody can prevent it, nor what Python exits with.
            assert "vrcodec" not in ended.errors, ended.errors
            assert ended.code != 0, ended
            self.before_python_was_ready += 1
        else:
            assert ended.code in (0, -self.number, 128 + self.number), ended

    def _look(self, overwrite: bool) -> None:
        left = list(self.folder.glob(".*.part"))
        self.partial_names += len(left)
        for path in left:
            assert self.number == signal.SIGKILL, path
            path.unlink()
        if not self.output.exists():
            assert not overwrite
            self.absent += 1
        elif overwrite and self.output.read_bytes() == OLD:
            self.old += 1
        else:
            assert is_whole(self.output)
            self.new += 1


def is_whole(path: Path) -> bool:
    """Whether a .vrc file or a picture can be read to its end."""
    try:
        if path.suffix == ".vrc":
            check_structure(path.read_bytes())
        else:
            with Image.open(path) as image:
                image.load()
    except (VrcError, OSError):
        return False
    return True


def killed_while_writing(folder: Path, count: int, rng: random.Random, script: str) -> set[bytes]:
    """What a file holds after each kill of a process that does nothing but write it, over and over."""
    found = set()
    for _ in range(count):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(folder / "out")],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.random() / 20)
        process.kill()
        process.communicate()
        found.add((folder / "out").read_bytes())
    return found


def resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
