"""What bad days leave behind: the second half of docs/ROBUSTNESS.md.

    python -m benchmarks.faults

Takes half an hour on two cores, with the tiny models of the tests. Linux; the part with a full disk needs a
user who may mount one. Stops where something is left that must not be.
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

from benchmarks.common import photograph, with_blocks
from tests import trouble
from tests.conftest import GOLDEN
from vrcodec.bench.summary import markdown

RECORD = Path(__file__).parent / "faults.json"
DOCUMENT = Path(__file__).parents[1] / "docs" / "ROBUSTNESS.md"
KILLS, INTERRUPTS = 300, 60
# Of so many one hits a whole process, whose life is mostly imports; the others begin behind these.
_WHOLE_OF = 6
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
    DOCUMENT.write_text(with_blocks(DOCUMENT.read_text(), blocks(record)))


def measure(folder: Path) -> dict[str, Any]:
    """All of it. Raises AssertionError."""
    return {
        "signals": [
            signalled(folder, name, arguments, number, count // 2)
            for number, count in (
                (signal.SIGKILL, KILLS),
                (signal.SIGINT, INTERRUPTS),
                (signal.SIGTERM, INTERRUPTS),
            )
            for name, arguments in (("encode", ENCODE), ("decode", DECODE))
        ],
        "full_disk": full_disk(folder),
        "at_once": at_once(folder),
        # Last: what computes cannot be forked.
        "long_run": long_run(),
    }


def signalled(
    folder: Path, name: str, arguments: tuple[str, ...], number: signal.Signals, count: int
) -> dict[str, Any]:
    """A command, hit ``count`` times, and what was there afterwards."""
    rng, whole = random.Random(number), count // _WHOLE_OF
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


def at_once(folder: Path) -> dict[str, Any]:
    """Many commands at the same time, into one folder and to one name."""
    (folder / "many").mkdir()
    picture = (folder / "picture.png").read_bytes()
    for number in range(AT_ONCE):
        (folder / "many" / f"{number}.png").write_bytes(picture)
    own = [trouble.start(folder / "many", "encode", f"{n}.png", "-q") for n in range(AT_ONCE)]
    codes = Counter(trouble.end(process).code for process in own)
    (folder / "out.vrc").unlink(missing_ok=True)
    same = [trouble.start(folder, *ENCODE) for _ in range(TO_ONE_NAME)]
    one_name = Counter(trouble.end(process).code for process in same)
    outputs = list((folder / "many").glob("*.vrc"))
    assert len({path.read_bytes() for path in outputs}) == 1
    assert all(map(trouble.is_whole, (*outputs, folder / "out.vrc")))
    assert not [*folder.glob(".*"), *(folder / "many").glob(".*")]
    return {"folder": _named(codes), "name": _named(one_name)}


def full_disk(folder: Path) -> dict[str, Any]:
    """Exit codes of both commands on a file system that has no room, and one that is read-only."""
    found: dict[str, Any] = {}
    for name, options in (("full", "size=4k"), ("read-only", "ro")):
        with mounted(folder / "disk", options) as disk:
            if disk is None:
                continue
            for arguments in (ENCODE, DECODE):
                target = disk / arguments[3]
                ended = trouble.run(folder, *arguments[:3], target, "-q")
                assert str(target) in ended.errors
                found[f"{name}, {arguments[0]}"] = ended.code
            assert not list(disk.iterdir())
    return found


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path | None]:
    """A small file system in memory, or None where this user may not have one."""
    place.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def long_run() -> dict[str, Any]:
    """Memory and open files after many encodes and decodes in one process."""
    from vrcodec.codec import Decoder, Encoder, Engine

    engine, picture = Engine("cpu", "float32"), photograph(64, 48)
    encoder, decoder = Encoder("qvrf", engine), Decoder(engine)

    def work(rounds: int) -> tuple[int, int]:
        for _ in range(rounds):
            decoder.decode(encoder.encode(picture, 30000))
        return trouble.resident(), len(os.listdir("/proc/self/fd"))

    warm = ROUNDS // 10
    memory, opened = work(warm)
    later, still = work(ROUNDS - warm)
    return {
        "rounds": ROUNDS,
        "warm": warm,
        "grown_mib": round((later - memory) / _MIB, 1),
        "opened": still - opened,
    }


def blocks(record: dict[str, Any]) -> dict[str, str]:
    """The tables of the page."""
    head = ["signal", "command", "times", "while alive", "no output", "the old one", "a whole one"]
    head += ["temporary files"]
    keys = ["signal", "command", "count", "alive", "absent", "old", "new", "temporary"]
    cells = [[str(row[key]) for key in keys] for row in record["signals"]]
    return {"signals": markdown((head, cells)), "faults": markdown(_others(record))}


def _others(record: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
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


def _named(codes: Counter[int]) -> dict[str, int]:
    return {str(code): count for code, count in sorted(codes.items())}


def _words(codes: dict[str, int]) -> str:
    return ", ".join(f"{count} with exit code {code}" for code, count in codes.items())


if __name__ == "__main__":
    main()
