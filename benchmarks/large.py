"""Memory and time of large pictures, whole commands in fresh processes: the tables of docs/LARGE.md.

    python -m benchmarks.large [--photographs FOLDER] [--dry-run]

Pictures of 4 and of 100 megapixels: one by code, and with ``--photographs`` one of the pictures below FOLDER
side by side. Set OMP_NUM_THREADS before, where the machine does other things, too.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.command_costs import timed_process
from benchmarks.documents import update_document
from vrcodec.bench.machine import describe_machine, library_versions
from vrcodec.bench.summary import markdown
from vrcodec.catalog import DEFAULT_MODEL
from vrcodec.engine import Engine

RECORD = Path(__file__).parent / "large.json"
DOCUMENT = Path(__file__).parents[1] / "docs" / "LARGE.md"
SMALL, LARGE = 2000, 10_000
_PHOTOGRAPHS = 60
_MIB = 1 << 20
CROP = "4000,5000,1000,1000"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photographs", type=Path, help="folder of pictures to put side by side")
    parser.add_argument("--dry-run", action="store_true", help="write no document")
    arguments = parser.parse_args()
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    record = {
        "machine": describe_machine(Engine("cpu"), threads),
        "versions": library_versions(),
        "rows": list(measure(arguments.photographs)),
    }
    if arguments.dry_run:
        print(commands_table(record))
        return
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    update_document(DOCUMENT, DEFAULT_MODEL, {"large pictures": commands_table(record)})


def measure(photographs: Path | None) -> Iterator[dict[str, Any]]:
    """A row for each command on each picture."""
    sources = ["synthetic", *(["photographs"] if photographs else [])]
    for source in sources:
        with tempfile.TemporaryDirectory() as folder:
            for side in (SMALL, LARGE):
                png = Path(folder, f"{side}.png")
                # In a process of its own: children begin with their parent's peak of memory.
                folder_argument = [str(photographs)] if source == "photographs" else []
                timed_process("-c", _MAKE, str(png), str(side), *folder_argument)
                yield from _commands(source, side, png)


_MAKE = "import sys; from benchmarks.large import write_picture; write_picture(*sys.argv[1:])"


def _commands(source: str, side: int, png: Path) -> Iterator[dict[str, Any]]:
    vrc, out = str(png.with_suffix(".vrc")), str(png.with_name("out.png"))
    commands = {"encode": ["encode", str(png), "-o", vrc], "decode": ["decode", vrc, "-o", out]}
    if side == LARGE:
        commands |= {
            "encode --memory 1GB": [*commands["encode"], "--memory", "1GB"],
            "decode --memory 1GB": [*commands["decode"], "--memory", "1GB"],
            f"decode --crop {CROP}": [*commands["decode"], "--crop", CROP],
            "decode --scale 1/8": [*commands["decode"], "--scale", "1/8"],
        }
    for name, command in commands.items():
        seconds, cpu_seconds, mib = timed_process("-m", "vrcodec", *command, "-f", "-q")
        yield {
            "picture": source,
            "megapixels": side * side // 10**6,
            "command": name,
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu_seconds, 1),
            "peak_mib": round(mib),
            "pixels_mib": round(3 * side * side / _MIB),
            "file_bytes": Path(vrc).stat().st_size,
        }


def commands_table(record: dict[str, Any]) -> str:
    """The table of the document; "times 4 MP" is the ratio of processor seconds."""
    rows = record["rows"]
    head = ["picture", "MP", "command", "s", "CPU s", "times 4 MP", "peak MiB", "beyond the pixels"]
    small = {(r["picture"], r["command"]): r["cpu_seconds"] for r in rows if r["megapixels"] == 4}
    cells = []
    for row in rows:
        base = small.get((row["picture"], row["command"])) if row["megapixels"] > 4 else None
        cells.append(
            [
                row["picture"],
                str(row["megapixels"]),
                row["command"],
                f"{row['seconds']:.1f}",
                f"{row['cpu_seconds']:.1f}",
                f"{row['cpu_seconds'] / base:.1f}" if base else "",
                str(row["peak_mib"]),
                str(row["peak_mib"] - row["pixels_mib"]),
            ]
        )
    return markdown((head, cells))


def write_picture(path: str, side: str, folder: str | None = None) -> None:
    """Write a picture of ``side`` x ``side`` pixels: by code, or of photographs in ``folder``."""
    pixels = _mosaic(Path(folder), int(side)) if folder else _synthetic(int(side))
    Image.fromarray(pixels).save(path, compress_level=1)


def _synthetic(side: int) -> npt.NDArray[np.uint8]:
    """Waves of all lengths with noise and edges, row by row to spare memory."""
    noise = np.random.default_rng(0)
    pixels = np.empty((side, side, 3), np.uint8)
    x = np.arange(side, dtype=np.float32)
    for row in range(side):
        waves = np.sin(x / 37) + np.sin((x + row) / 210) + np.sin(x * row / 90_000)
        edges = 40 * ((x // 64 + row // 64) % 2)
        values = 100 + 25 * waves + edges + noise.normal(0, 4, side)
        pixels[row] = np.stack([values, values * 0.8 + 20, 220 - values], axis=1).clip(0, 255)
    return pixels


def _mosaic(folder: Path, side: int) -> npt.NDArray[np.uint8]:
    """Photographs side by side at their own size, row by row, repeated as needed."""
    pixels = np.empty((side, side, 3), np.uint8)
    files = sorted(folder.rglob("*.avif"))[:_PHOTOGRAPHS]
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    top = number = 0
    while top < side:
        left, lowest = 0, side
        while left < side:
            photograph = pictures[number % len(pictures)][: side - top, : side - left]
            number += 1
            pixels[top : top + photograph.shape[0], left : left + photograph.shape[1]] = photograph
            left += photograph.shape[1]
            lowest = min(lowest, top + photograph.shape[0])
        top = lowest
    return pixels


if __name__ == "__main__":
    main()
