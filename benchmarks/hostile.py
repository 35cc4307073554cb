"""Decoding damaged and hostile files: the figures of docs/ROBUSTNESS.md.

    python -m benchmarks.hostile [--mutants 200000]

Takes a quarter of an hour. Uses the tiny models and the files of the tests; stops at the first violation.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.documents import replace_blocks
from tests.conftest import GOLDEN
from tests.fuzz.bombs import bombs
from tests.fuzz.honest import honest_files
from tests.fuzz.judge import Judge, forgiving
from tests.fuzz.mutations import mutate
from vrcodec.bench.memory import peak_memory
from vrcodec.bench.summary import markdown
from vrcodec.bitstream.schema import MAGIC
from vrcodec.codec import Decoder
from vrcodec.engine import Engine
from vrcodec.errors import CorruptError, VrcError

RECORD = Path(__file__).parent / "hostile.json"
DOCUMENT = Path(__file__).parents[1] / "docs" / "ROBUSTNESS.md"
FLIPS = 20_000
# Share of the mutants that is also decoded with checksums of symbols ignored.
_FORGIVEN_SHARE = 0.1
_MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutants", type=int, default=200_000)
    parser.add_argument(
        "--more", type=int, help="judge so many other mutants, beside those of the record"
    )
    arguments = parser.parse_args()
    os.environ["VRCODEC_WEIGHTS"] = str(GOLDEN)
    if arguments.more:
        record = json.loads(RECORD.read_text())
        record["mutants"] = add_mutants(record["mutants"], arguments.more)
    else:
        record = measure(arguments.mutants)
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    DOCUMENT.write_text(replace_blocks(DOCUMENT.read_text(), blocks(record)))


def measure(mutants: int) -> dict[str, Any]:
    """All figures of the page. Raises ViolationError or AssertionError."""
    files = honest_files()
    return {
        "files": len(files),
        "bombs": bomb_rows(),
        "truncations": judge_truncations(files),
        "header_bits": judge_header_bits(files),
        "flips": judge_flips(files),
        "mutants": judge_mutants(files, mutants, 0, forgive=False),
        "forgiven": judge_mutants(files, round(mutants * _FORGIVEN_SHARE), 1, forgive=True),
    }


def judge_mutants(
    files: dict[str, bytes], count: int, seed: int, *, forgive: bool
) -> dict[str, Any]:
    """Judge structure-aware mutants."""
    rng, judge = random.Random(seed), Judge()
    names, others = list(files), list(files.values())
    for data in others:
        judge.judge(data)
    judge.start_again()
    with forgiving() if forgive else nullcontext():
        for _ in range(count):
            name = rng.choice(names)
            judge.judge(mutate(files[name], rng, others), None if forgive else files[name])
    return {
        "count": count,
        "accepted": judge.counts.pop(0),
        "refused": {str(code): number for code, number in sorted(judge.counts.items())},
        "longest_s": round(judge.longest, 3),
        "most_mib": round(judge.most_bytes / _MIB),
    }


def add_mutants(row: dict[str, Any], count: int) -> dict[str, Any]:
    """The ``row`` of `judge_mutants` with ``count`` more mutants; their seed is the earlier count."""
    more = judge_mutants(honest_files(), count, row["count"], forgive=False)
    codes = {*row["refused"], *more["refused"]}
    return {
        "count": row["count"] + count,
        "accepted": row["accepted"] + more["accepted"],
        "refused": {
            code: row["refused"].get(code, 0) + more["refused"].get(code, 0)
            for code in sorted(codes)
        },
        "longest_s": max(row["longest_s"], more["longest_s"]),
        "most_mib": max(row["most_mib"], more["most_mib"]),
    }


def judge_truncations(files: dict[str, bytes]) -> dict[str, Any]:
    """Decode every file, truncated at every byte."""
    decoder, codes = Decoder(Engine("cpu", "float32")), Counter[int]()
    for data in files.values():
        for length in range(len(data)):
            code = _refusal_code(decoder, data[:length])
            assert code == CorruptError.exit_code or length < len(MAGIC)
            codes[code] += 1
    return {"count": codes.total(), "refused": {str(c): n for c, n in sorted(codes.items())}}


def judge_header_bits(files: dict[str, bytes]) -> dict[str, Any]:
    """Decode every file with each bit of its header flipped."""
    return _count_refusals(_flip_bits(d, b) for d in files.values() for b in range(8 * (13 + d[8])))


def judge_flips(files: dict[str, bytes]) -> dict[str, Any]:
    """Decode files with one to five bits flipped anywhere."""
    rng, contents = random.Random(2), list(files.values())

    def damaged_files() -> Iterator[bytes]:
        for _ in range(FLIPS):
            data = rng.choice(contents)
            yield _flip_bits(data, *rng.sample(range(8 * len(data)), rng.choice((1, 1, 2, 5))))

    return _count_refusals(damaged_files())


def _count_refusals(files: Iterator[bytes]) -> dict[str, Any]:
    decoder = Decoder(Engine("cpu", "float32"))
    codes = Counter(_refusal_code(decoder, data) for data in files)
    return {"count": codes.total(), "refused": {str(c): n for c, n in sorted(codes.items())}}


def _flip_bits(data: bytes, *bits: int) -> bytes:
    flipped = bytearray(data)
    for bit in bits:
        flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def _refusal_code(decoder: Decoder, data: bytes) -> int:
    """Exit code of the error that ``data`` gives."""
    try:
        decoder.decode(data)
    except VrcError as error:
        return error.exit_code
    raise AssertionError("taken for whole")


def bomb_rows() -> list[dict[str, Any]]:
    """Time and memory that each bomb takes until it is refused, in a process that has decoded before."""
    decoder = Decoder(Engine("cpu", "float32"))
    for data in honest_files().values():
        decoder.decode(data)
    return [_bomb_row(decoder, name, make()) for name, make in bombs()]


def _bomb_row(decoder: Decoder, name: str, data: bytes) -> dict[str, Any]:
    """Time and memory are measured one after the other: to give memory back first takes time."""
    start = time.perf_counter()
    code = _refusal_code(decoder, data)
    seconds = time.perf_counter() - start
    with peak_memory() as peak:
        _refusal_code(decoder, data)
    return {
        "name": name,
        "bytes": len(data),
        "code": code,
        "ms": round(1000 * seconds, 1),
        "mib": round(peak.mib or 0.0, 1),
    }


def blocks(record: dict[str, Any]) -> dict[str, str]:
    """The tables of the page."""
    bombs_head = ["bomb", "bytes", "exit code", "ms", "MiB"]
    bomb_cells = [
        [row["name"], str(row["bytes"]), str(row["code"]), f"{row['ms']:.1f}", f"{row['mib']:.1f}"]
        for row in record["bombs"]
    ]
    return {"hostile": markdown(_summary(record)), "bombs": markdown((bombs_head, bomb_cells))}


def _summary(record: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    titles = {
        "cut off at every byte": "truncations",
        "every bit of the header turned over": "header_bits",
        "one to five bits anywhere turned over": "flips",
        "mutated, checksums made right": "mutants",
        "the same, symbols taken as right": "forgiven",
    }
    rows = []
    for words, key in titles.items():
        row = record[key]
        codes = ", ".join(f"{n} with {code}" for code, n in row["refused"].items())
        worst = (
            [f"{row['longest_s']:.2f}", str(row["most_mib"])] if "longest_s" in row else ["", ""]
        )
        rows.append([words, str(row["count"]), str(row.get("accepted", 0)), codes, *worst])
    return ["what", "files", "decoded", "refused, exit code", "longest s", "most MiB"], rows


if __name__ == "__main__":
    main()
