"""All performance measurements, compared with the last ones, written to docs/PERFORMANCE.md.

    python -m benchmarks.performance [--dry-run]

On an idle machine. Changes of more than a tenth since benchmarks/performance.json are printed; ratios
(times the limit, times import torch) can be compared between machines, seconds cannot. `make performance`
runs it in an environment of its own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import command_costs, compressai_models, stage_times
from vrcodec.bench.machine import describe_machine, library_versions
from vrcodec.bench.summary import markdown
from vrcodec.engine import Engine

RECORD = Path(__file__).parent / "performance.json"
DOCUMENT = Path(__file__).parents[1] / "docs" / "PERFORMANCE.md"
HISTORY = Path(__file__).parent / "history.md"
_REPORTED_CHANGE = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dry-run", action="store_true", help="compare, but write nothing")
    arguments = parser.parse_args()
    record = measure()
    if RECORD.exists():
        before = dict(ratios(json.loads(RECORD.read_text())))
        for name, value in ratios(record):
            if name in before and abs(value / before[name] - 1) > _REPORTED_CHANGE:
                print(f"{name}: {value:.2f}, was {before[name]:.2f}")
    if arguments.dry_run:
        print(document(record))
        return
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    DOCUMENT.write_text(document(record))


def measure() -> dict[str, Any]:
    """Everything, the most sensitive first."""
    stages = stage_times.measure()
    return {
        "machine": describe_machine(Engine("cpu"), stages["threads"]),
        "versions": library_versions(),
        "stages": stages,
        "cold": command_costs.measure_cold_starts(),
        "memory": command_costs.measure_memory(),
        "compressai": compressai_models.measure(),
    }


def ratios(record: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The figures that do not depend on how fast the machine is, by name."""
    for side in ("encode", "decode"):
        for stage, row in record["stages"][side].items():
            if row["times_the_limit"] is not None:
                yield f"{side}, {stage}, times its limit", row["times_the_limit"]
    for command, seconds in record["cold"].items():
        yield f"{command}, times import torch", seconds / record["cold"]["import torch"]
    for row in record["memory"]:
        name = f"{row['command']}, MiB a megapixel at {row['megapixels']} megapixels"
        yield name, row["mib_per_megapixel"]


def document(record: dict[str, Any]) -> str:
    """The text of docs/PERFORMANCE.md."""
    cpu, threads = record["machine"]["cpu"], record["machine"]["threads"]
    libraries = ", ".join(
        f"{n} {record['versions'][n]}" for n in ("python", "torch", "constriction")
    )
    rates = record["stages"]["gflops_of_a_matrix_product"]
    words = ", ".join(f"{rate} GFLOP/s in {name}" for name, rate in rates.items())
    sections = [
        "# Performance",
        "Written by `make performance`; do not edit. Times of one machine: "
        f"{cpu}, {threads} threads; {libraries}; the engine is PyTorch, NumPy's times are in "
        "[PLATFORMS.md](PLATFORMS.md). Rate and quality are in [RESULTS.md](RESULTS.md).",
        "## Stages, warm",
        f"A {record['stages']['picture']} photograph at rate 0.5. The limit of a network is its operations "
        f"at the rate of a plain matrix product of the same types on this machine ({words}); that of "
        "the coder is one call of the coding library for as many symbols of one table.",
        markdown(_stage_table(record["stages"])),
        "## Whole commands, cold",
        "Start of the interpreter, import of torch, weights, picture, network, file. Commands leave without "
        "taking torch apart, which `python -c 'import torch'` does not.",
        markdown(_cold_table(record["cold"])),
        "## Memory",
        "Peak of resident memory of whole commands, interpreter and torch (about 0.5 GiB) included, PPM in "
        "and out.",
        markdown(_memory_table(record["memory"])),
        "## The same work in CompressAI's models",
        "A 768x512 photograph, warm, the same threads; theirs in float32 with random weights, on which "
        "their time hardly depends. Our model runs in float32, bfloat16 and float64, each where it must.",
        markdown(_compressai_table(record["compressai"])),
        HISTORY.read_text().strip(),
    ]
    return "\n\n".join(sections) + "\n"


def _stage_table(measured: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [side, stage, f"{row['ms']:.1f}", *_limit(row)]
        for side in ("encode", "decode")
        for stage, row in measured[side].items()
    ]
    return ["", "stage", "ms", "limit ms", "times the limit"], rows


def _limit(row: dict[str, float | None]) -> list[str]:
    limit, times = row["limit_ms"], row["times_the_limit"]
    return ["", ""] if limit is None else [f"{limit:.1f}", f"{times:.2f}"]


def _cold_table(cold: dict[str, float]) -> tuple[list[str], list[list[str]]]:
    base = cold["import torch"]
    rows = [[name, f"{value:.2f}", f"{value / base:.2f}"] for name, value in cold.items()]
    return ["command", "s", "times import torch"], rows


def _memory_table(memory: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    keys = ["megapixels", "command", "seconds", "peak_mib", "mib_per_megapixel"]
    head = ["megapixels", "command", "s", "peak MiB", "MiB a megapixel"]
    return head, [[str(row[key]) for key in keys] for row in memory]


def _compressai_table(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    ours = rows[0]
    head = ["model", "parameters", "encode s", "decode s", "times ours"]
    cells = []
    for row in rows:
        times = [row[side] / ours[side] for side in ("encode_s", "decode_s")]
        cells.append(
            [
                row["model"],
                f"{row['parameters_millions']} M",
                f"{row['encode_s']:.3f}",
                f"{row['decode_s']:.3f}",
                " / ".join(f"{value:.1f}" for value in times),
            ]
        )
    return head, cells


if __name__ == "__main__":
    main()
