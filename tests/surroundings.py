"""Two tables: surroundings that are hostile to a command, and all commands; how to run one in the other."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import GOLDEN, ROOT

_PATIENCE = 120
_MIB = 1 << 20


@dataclass(frozen=True)
class Surroundings:
    """``environment``: what differs in it, None for what is not there. ``enter``: run in the new process first.

    ``options``: of Python. ``codes``: exit codes with which a command may end in place of its own. ``mute``:
    nothing that it says on stderr is seen.
    """

    environment: Mapping[str, str | None] = field(default_factory=dict)
    enter: Callable[[], object] = lambda: None
    options: tuple[str, ...] = ()
    codes: frozenset[int] = frozenset()
    mute: bool = False


@dataclass(frozen=True)
class Command:
    """``code``: how it ends where nothing is unusual. ``output``: the file that it writes.

    ``source``: what it gets as standard input. ``repeatable``: whether output and stdout are always the same.
    ``quick``: whether it takes less than a second. ``several``: whether it is of many files, and ends with exit
    code 1 where some failed.
    """

    arguments: str
    code: int = 0
    output: str | None = None
    source: str = os.devnull
    repeatable: bool = True
    quick: bool = True
    several: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


def _closed(*descriptors: int) -> Callable[[], object]:
    return lambda: [os.close(descriptor) for descriptor in descriptors]


def _full(*descriptors: int) -> Callable[[], object]:
    return lambda: [os.dup2(os.open("/dev/full", os.O_RDWR), d) for d in descriptors]


def _limited(kind: int, soft: int, hard: int | None = None) -> Callable[[], object]:
    return lambda: resource.setrlimit(kind, (soft, soft if hard is None else hard))


def _signals(action: signal.Handlers, *names: str) -> Callable[[], object]:
    return lambda: [signal.signal(getattr(signal, name), action) for name in names]


def _in_a_folder_that_is_gone() -> None:
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")


_NO_FILE, _NO_MEMORY, _NO_ROOM = frozenset({2, 3, 9}), frozenset({7, 10}), frozenset({9})
_NO_HOME = {"HOME": None, "XDG_CACHE_HOME": None}
_LITTLE = frozenset({7})

SURROUNDINGS: Mapping[str, Surroundings] = {
    "usual": Surroundings(),
    "stdin closed": Surroundings(enter=_closed(0), codes=frozenset({3})),
    "stdout closed": Surroundings(enter=_closed(1), codes=_NO_ROOM),
    "stderr closed": Surroundings(enter=_closed(2), mute=True),
    "all closed": Surroundings(enter=_closed(0, 1, 2), codes=_NO_FILE, mute=True),
    "stdout full": Surroundings(enter=_full(1), codes=_NO_ROOM),
    "stderr full": Surroundings(enter=_full(2), mute=True),
    "both full": Surroundings(enter=_full(1, 2), codes=_NO_ROOM, mute=True),
    "60 MiB of memory": Surroundings(
        enter=_limited(resource.RLIMIT_AS, 60 * _MIB), codes=_NO_MEMORY
    ),
    "100 MiB of memory": Surroundings(
        enter=_limited(resource.RLIMIT_AS, 100 * _MIB), codes=_NO_MEMORY
    ),
    "300 MiB of memory": Surroundings(
        enter=_limited(resource.RLIMIT_AS, 300 * _MIB), codes=_NO_MEMORY
    ),
    "60 MiB of data": Surroundings(
        enter=_limited(resource.RLIMIT_DATA, 60 * _MIB), codes=_NO_MEMORY
    ),
    "a small stack": Surroundings(enter=_limited(resource.RLIMIT_STACK, _MIB)),
    "12 open files": Surroundings(enter=_limited(resource.RLIMIT_NOFILE, 12), codes=_LITTLE),
    "6 open files": Surroundings(enter=_limited(resource.RLIMIT_NOFILE, 6), codes=_LITTLE),
    "files of no bytes": Surroundings(enter=_limited(resource.RLIMIT_FSIZE, 0), codes=_NO_ROOM),
    "files of 100 bytes": Surroundings(enter=_limited(resource.RLIMIT_FSIZE, 100), codes=_NO_ROOM),
    "a second of the processor": Surroundings(
        enter=_limited(resource.RLIMIT_CPU, 1, 9), codes=frozenset({128 + signal.SIGXCPU})
    ),
    "plain C": Surroundings({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "Turkish": Surroundings({"LC_ALL": "tr_TR.UTF-8", "LANGUAGE": "tr"}),
    "no such locale": Surroundings({"LC_ALL": "xx_XX.nowhere"}),
    "streams in ASCII": Surroundings({"PYTHONIOENCODING": "ascii"}),
    "no home": Surroundings(_NO_HOME),
    "a home that is not there": Surroundings({**_NO_HOME, "HOME": "/nowhere/at/all"}),
    "a home that is no folder": Surroundings({**_NO_HOME, "HOME": os.devnull}, codes=_NO_ROOM),
    "a cache that is no folder": Surroundings({"XDG_CACHE_HOME": os.devnull}, codes=_NO_ROOM),
    "no folder for temporary files": Surroundings({"TMPDIR": "/nowhere"}),
    "no environment": Surroundings(dict.fromkeys((*_NO_HOME, "PATH", "LANG", "TERM", "USER"))),
    "a folder that is gone": Surroundings(enter=_in_a_folder_that_is_gone, codes=_NO_FILE),
    "a folder of the system": Surroundings(enter=lambda: os.chdir("/proc/self"), codes=_NO_FILE),
    "a dumb terminal": Surroundings({"TERM": "dumb", "COLUMNS": "0", "NO_COLOR": "1"}),
    "a line of one letter": Surroundings({"COLUMNS": "1"}),
    "a line of x letters": Surroundings({"COLUMNS": "x", "LINES": "-1"}),
    "x threads": Surroundings({"OMP_NUM_THREADS": "x", "OPENBLAS_NUM_THREADS": "-3"}),
    "no threads": Surroundings({"OMP_NUM_THREADS": "0"}),
    "no such engine": Surroundings({"VRCODEC_ENGINE": "abacus"}, codes=frozenset({1, 2})),
    "weights that are not there": Surroundings(
        {"VRCODEC_WEIGHTS": f"/nowhere:{os.devnull}:{'x' * 5000}"}, codes=frozenset({1, 6})
    ),
    "weights of the system": Surroundings(
        {"VRCODEC_WEIGHTS": "/proc/self/mem:/proc/self:\udcff"}, codes=frozenset({1, 6})
    ),
    "without docstrings": Surroundings({"PYTHONOPTIMIZE": "2"}),
    "warnings are errors": Surroundings({"PYTHONWARNINGS": "error"}),
    "Python's own tests": Surroundings({"PYTHONDEVMODE": "1", "PYTHONMALLOC": "debug"}),
    "a safe path": Surroundings(options=("-P",) if sys.version_info >= (3, 11) else ()),
    "files for nobody": Surroundings(enter=lambda: os.umask(0o777)),
    "files for all": Surroundings(enter=lambda: os.umask(0)),
    "closed pipes kill": Surroundings(enter=_signals(signal.SIG_DFL, "SIGPIPE")),
    "signals are ignored": Surroundings(
        enter=_signals(signal.SIG_IGN, "SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGXCPU")
    ),
    "a large environment": Surroundings({f"X{n}": "x" * 100_000 for n in range(15)}),
}

_BENCH = "bench in --models gained --rivals none --rates 0.5 --metrics psnr --json out/o.json"
COMMANDS: Mapping[str, Command] = {
    "version": Command("--version"),
    "help": Command("encode --help"),
    "completion": Command("", environment={"_VRCODEC_COMPLETE": "bash_source"}),
    "encode": Command("encode a.png -o out/o.vrc --model slim", output="out/o.vrc"),
    "encode stdin": Command("encode - --model slim", source="a.png"),
    "decode": Command("decode a.vrc -o out/o.png", output="out/o.png"),
    "decode stdin": Command("decode - --format ppm", source="a.vrc"),
    "decode nothing": Command("decode missing.vrc", code=3),
    "info": Command("info a.vrc --json"),
    "verify": Command("verify a.vrc --full"),
    "view": Command("view a.vrc --no-browser --port {port}", code=9),
    "qmap": Command("qmap a.png --for gradient -o out/o.png", output="out/o.png"),
    "models": Command("models", repeatable=False),
    "weights list": Command("weights list --json", repeatable=False),
    "weights add": Command(f"weights add {GOLDEN / 'slim.safetensors'}", repeatable=False),
    "weights fetch": Command("weights fetch slim@9 --hub in", code=6),
    "batch report": Command("batch report log.jsonl"),
    "many": Command(
        "encode in -o out --model slim --jobs 1", repeatable=False, quick=False, several=True
    ),
    "batch encode": Command(
        "batch encode --manifest in --out out --jobs 1 --model slim",
        repeatable=False,
        quick=False,
        several=True,
    ),
    "batch decode": Command(
        "batch decode --manifest list --out out --jobs 1",
        repeatable=False,
        quick=False,
        several=True,
    ),
    "bench": Command(_BENCH, output="out/o.json", repeatable=False, quick=False, several=True),
    "import": Command("import missing.pth --as mine", code=2, quick=False),
    "train": Command("train nonsense --data in", code=2, quick=False),
    "doctor": Command("doctor --json", repeatable=False, quick=False),
}


@dataclass(frozen=True)
class Ended:
    """How a command ended, and the files that it has left, by name."""

    code: int
    stdout: bytes
    errors: str
    files: Mapping[str, bytes]


def run_in(folder: Path, surroundings: Surroundings, command: Command) -> Ended:
    """Run ``command`` in ``folder``, which is empty, with the tiny models and NumPy."""
    _fill(folder)
    own = {
        "PYTHONPATH": str(ROOT),
        "VRCODEC_WEIGHTS": str(GOLDEN),
        "VRCODEC_ENGINE": "numpy",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_DATA_HOME": str(folder / "data"),
    }
    changed = {**os.environ, **own, **command.environment, **surroundings.environment}
    # What it writes is buffered, as it is for people.
    changed["PYTHONUNBUFFERED"] = None
    environment = {name: value for name, value in changed.items() if value is not None}
    with socket.socket() as taken, Path(folder, command.source).open("rb") as source:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        arguments = command.arguments.format(port=taken.getsockname()[1]).split()
        ended = subprocess.run(
            [sys.executable, *surroundings.options, "-m", "vrcodec", *arguments],
            cwd=folder,
            env=environment,
            stdin=source,
            capture_output=True,
            preexec_fn=surroundings.enter,
            timeout=_PATIENCE,
            check=False,
        )
    files = [path for path in sorted((folder / "out").rglob("*")) if path.is_file()]
    left = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return Ended(ended.returncode, ended.stdout, ended.stderr.decode(errors="replace"), left)


def _fill(folder: Path) -> None:
    for name in ("in", "out"):
        (folder / name).mkdir()
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    for name in ("a.png", "in/a.png"):
        Image.fromarray(picture).save(folder / name)
    shutil.copy(GOLDEN / "photograph.vrc", folder / "a.vrc")
    (folder / "list").write_text("a.vrc\n")
    (folder / "log.jsonl").write_text('{"source": "a", "target": "b", "outcome": "done"}\n')
