"""Outputs after signals, full disks and concurrent runs: the second half of docs/ROBUSTNESS.md.

    python -m benchmarks.faults

Takes half an hour on two cores, with the tiny models of the tests. Linux; the part with a full disk needs a
user who may mount one. Raises AssertionError where something is left that must not be.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.documents import replace_blocks
from benchmarks.timing import photograph
from tests import trouble
from tests.conftest import GOLDEN
from vrcodec.bench.summary import markdown

RECORD = Path(__file__).parent / "faults.json"
DOCUMENT = Path(__file__).parents[1] / "docs" / "ROBUSTNESS.md"
KILLS, INTERRUPTS = 300, 60
# Every so many signals, one hits a whole process, mostly in its imports; the others hit a fork made after them.
_WHOLE_PROCESS_EVERY = 6
AT_ONCE, TO_ONE_NAME = 32, 4
ROUNDS = 10_000
_MIB = 1 << 20
ENCODE = ("encode", "picture.png", "-o", "out.vrc", "-q")
DECODE = ("decode", "picture.vrc", "-o", "out.png", "-q")


def main() -> None:
    os.environ["VRCODEC_WEIGHTS"] = str(GOLDEN)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photograph().to_image().save(folder / "picture.png")
        assert trouble.run(folder, "encode", "picture.png").code == 0
        record = measure(folder)
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    DOCUMENT.write_text(replace_blocks(DOCUMENT.read_text(), blocks(record)))


def measure(folder: Path) -> dict[str, Any]:
    """All figures of the page. Raises AssertionError."""
    return {
        "signals": [
            send_signals(folder, name, arguments, number, count // 2)
            for number, count in (
                (signal.SIGKILL, KILLS),
                (signal.SIGINT, INTERRUPTS),
                (signal.SIGTERM, INTERRUPTS),
            )
            for name, arguments in (("encode", ENCODE), ("decode", DECODE))
        ],
        "full_disk": fill_disk(folder),
        "at_once": run_concurrently(folder),
        # Last: a process that has computed with torch cannot be forked.
        "long_run": run_long(),
    }


def send_signals(
    folder: Path, name: str, arguments: tuple[str, ...], number: signal.Signals, count: int
) -> dict[str, Any]:
    """Send the signal to a command ``count`` times, and count the outputs afterwards."""
    rng, whole = random.Random(number), count // _WHOLE_PROCESS_EVERY
    trials = trouble.Trials(folder, arguments, folder / arguments[3], number)
    trials.run(whole, rng)
    trials.launch = trouble.Forked
    trials.run(count - whole, rng)
    return {
        "signal": number.name,
        "command": name,
        "count": count,
        "alive": trials.alive,
        "absent": trials.absent,
        "old": trials.old,
        "new": trials.new,
        "temporary": trials.partial_names,
        "before_start": trials.before_python_was_ready,
    }


def run_concurrently(folder: Path) -> dict[str, Any]:
    """Many encodes at the same time, into one folder and to one name."""
    (folder / "many").mkdir()
    picture = (folder / "picture.png").read_bytes()
    for number in range(AT_ONCE):
        (folder / "many" / f"{number}.png").write_bytes(picture)
    processes = [trouble.start(folder / "many", "encode", f"{n}.png", "-q") for n in range(AT_ONCE)]
    codes = Counter(trouble.end(process).code for process in processes)
    (folder / "out.vrc").unlink(missing_ok=True)
    same = [trouble.start(folder, *ENCODE) for _ in range(TO_ONE_NAME)]
    one_name = Counter(trouble.end(process).code for process in same)
    outputs = list((folder / "many").glob("*.vrc"))
    assert len({path.read_bytes() for path in outputs}) == 1
    assert all(map(trouble.is_whole, (*outputs, folder / "out.vrc")))
    assert not [*folder.glob(".*"), *(folder / "many").glob(".*")]
    return {"folder": _code_counts(codes), "name": _code_counts(one_name)}


def fill_disk(folder: Path) -> dict[str, Any]:
    """Exit codes of both commands on a file system that has no room, and one that is read-only."""
    codes: dict[str, Any] = {}
    for name, options in (("full", "size=4k"), ("read-only", "ro")):
        with mount_tmpfs(folder / "disk", options) as disk:
            if disk is None:
                continue
            for arguments in (ENCODE, DECODE):
                target = disk / arguments[3]
                ended = trouble.run(folder, *arguments[:3], target, "-q")
                assert str(target) in ended.errors
                codes[f"{name}, {arguments[0]}"] = ended.code
            assert not list(disk.iterdir())
    return codes


@contextmanager
def mount_tmpfs(mount_point: Path, options: str) -> Iterator[Path | None]:
    """A small file system in memory, or None where this user may not mount one."""
    mount_point.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(mount_point)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", str(mount_point)], check=True)


def run_long() -> dict[str, Any]:
    """Memory and open files after many encodes and decodes in one process."""
    from vrcodec.codec import Decoder, Encoder
    from vrcodec.engine import Engine

    engine, picture = Engine("cpu", "float32"), photograph(64, 48)
    encoder, decoder = Encoder("qvrf", engine), Decoder(engine)

    def work(rounds: int) -> tuple[int, int]:
        for _ in range(rounds):
            decoder.decode(encoder.encode(picture, 30000))
        return trouble.resident(), len(os.listdir("/proc/self/fd"))

    warm = ROUNDS // 10
    memory, opened = work(warm)
    later_memory, still_open = work(ROUNDS - warm)
    return {
        "rounds": ROUNDS,
        "warm": warm,
        "grown_mib": round((later_memory - memory) / _MIB, 1),
        "opened": still_open - opened,
    }


def blocks(record: dict[str, Any]) -> dict[str, str]:
    """The tables of the page."""
    head = ["signal", "command", "times", "while alive", "no output", "the old one", "a whole one"]
    head += ["temporary files"]
    keys = ["signal", "command", "count", "alive", "absent", "old", "new", "temporary"]
    cells = [[str(row[key]) for key in keys] for row in record["signals"]]
    return {"signals": markdown((head, cells)), "faults": markdown(_fault_table(record))}


def _fault_table(record: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    at_once, run = record["at_once"], record["long_run"]
    rows = [
        [f"{AT_ONCE} encodes at once into one folder", _words(at_once["folder"])],
        [f"{TO_ONE_NAME} encodes at once to one name", _words(at_once["name"])],
        *([f"disk {name}", f"exit code {code}"] for name, code in record["full_disk"].items()),
        [
            f"{run['rounds']} encodes and decodes in one process, from the {run['warm']}th on",
            f"{run['grown_mib']:.1f} MiB more, {run['opened']} more open files",
        ],
    ]
    return ["what", "what came of it"], rows


def _code_counts(codes: Counter[int]) -> dict[str, int]:
    return {str(code): count for code, count in sorted(codes.items())}


def _words(codes: dict[str, int]) -> str:
    return ", ".join(f"{count} with exit code {code}" for code, count in codes.items())


if __name__ == "__main__":
    main()
