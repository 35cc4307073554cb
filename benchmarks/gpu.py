"""What only a GPU can do, in parts of a few minutes: docs/GPU.md says how.

    python -m benchmarks.gpu pack runs/trunk pieces/                     # on the machine where the trunk is
    python -m benchmarks.gpu unpack pieces/ runs/trunk                   # on the machine with the GPU
    python -m benchmarks.gpu train runs/trunk --data photographs/ --minutes 8
    python -m benchmarks.gpu check
    python -m benchmarks.gpu speed

`--device cpu` with `--steps 2`, or `--quick`, tries the same parts where there is no GPU.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.timing import photograph
from vrcodec.bench.codecs import synchroniser
from vrcodec.bench.machine import describe_machine, library_versions
from vrcodec.bench.summary import markdown
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.picture.picture import Picture
from vrcodec.rate import code_from_rate
from vrcodec.training.recipes import FAMILIES

_MIB = 2**20
_SUM = "sha256.txt"

_RATES = (0.1, 0.5, 0.9)
_SIZES = ((768, 512), (1920, 1080), (4000, 3000))
# Sides of pictures to check: less than a block, odd, and more than one block.
_CHECKED = ((200, 136), (769, 511), (1300, 1100))
_MAX_STEP = 2
_REPEATS = 9
_SECONDS_EACH = 6.0


def pack(folder: Path, pieces: Path, piece_mib: int = 15, which: slice = slice(None)) -> list[Path]:
    """Write the files of ``folder`` to ``pieces``: pieces of ``piece_mib`` MiB, ``which`` of them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                archive.add(path, path.name)
    data, size = buffer.getvalue(), piece_mib * _MIB
    pieces.mkdir(parents=True, exist_ok=True)
    (pieces / _SUM).write_text(hashlib.sha256(data).hexdigest() + "\n")
    starts = range(0, len(data), size)
    written = []
    for number, start in list(enumerate(starts))[which]:
        path = pieces / f"piece-{number:03}-of-{len(starts):03}"
        path.write_bytes(data[start : start + size])
        written.append(path)
    return written


def unpack(pieces: Path, folder: Path) -> None:
    """Put together what `pack` has written, once all of it is in ``pieces``. Exits when something is not."""
    data = b"".join(path.read_bytes() for path in sorted(pieces.glob("piece-*")))
    if hashlib.sha256(data).hexdigest() != (pieces / _SUM).read_text().strip():
        names = ", ".join(sorted(path.name for path in pieces.glob("piece-*")))
        sys.exit(f"{pieces}: pieces are missing or damaged; there are: {names}")
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(folder, filter="data")


def train(arguments: argparse.Namespace) -> None:
    """Begin a trunk, or go on with it."""
    command = [sys.executable, "-m", "vrcodec", "train", arguments.family]
    command += ["--trunk", arguments.trunk, "--device", arguments.device]
    command += ["--batch", arguments.batch, "--learning-rate", arguments.learning_rate]
    for folder in arguments.data:
        command += ["--data", folder]
    if arguments.eval:
        command += ["--eval", arguments.eval]
    if arguments.init:
        command += ["--init", arguments.init]
    limit = ("--steps", arguments.steps) if arguments.steps else ("--minutes", arguments.minutes)
    subprocess.run([str(word) for word in (*command, *limit)], check=True)


@dataclass(frozen=True)
class Crossing:
    """One file, made on ``made_on``: the largest difference between its two decodings, in 8-bit steps."""

    family: str
    rate: float
    size: str
    made_on: str
    bytes: int
    largest_step: int


def check(device: str, families: Sequence[str], sizes: Sequence[tuple[int, int]]) -> list[Crossing]:
    """Files made on ``device`` and on the CPU, each decoded on both. A file that does not decode raises."""
    engines = {name: Engine(name) for name in ("cpu", device)}
    decoders = {name: Decoder(engine) for name, engine in engines.items()}
    crossings = []
    for family in families:
        encoders = {name: Encoder(family, engine) for name, engine in engines.items()}
        for width, height in sizes:
            picture = photograph(width, height)
            for rate in _RATES:
                for name, encoder in encoders.items():
                    data = encoder.encode(picture, code_from_rate(rate))
                    step = _largest_difference([d.decode(data) for d in decoders.values()])
                    size = f"{width}x{height}"
                    crossings.append(Crossing(family, rate, size, name, len(data), step))
    return crossings


def _largest_difference(pictures: Sequence[Picture]) -> int:
    first, *others = (picture.pixels.astype(np.int16) for picture in pictures)
    return max((int(np.abs(other - first).max()) for other in others), default=0)


def speed(
    device: str, families: Sequence[str], sizes: Sequence[tuple[int, int]]
) -> list[dict[str, Any]]:
    """Median milliseconds of encoding and decoding, warm, at rate 0.5."""
    engine = Engine(device)
    synchronise, rows = synchroniser(engine), []
    for family in families:
        encoder, decoder = Encoder(family, engine), Decoder(engine)
        for width, height in sizes:
            picture = photograph(width, height)
            data = encoder.encode(picture, code_from_rate(0.5))
            encode = _median(partial(encoder.encode, picture, code_from_rate(0.5)), synchronise)
            decode = _median(partial(decoder.decode, data), synchronise)
            row = {"family": family, "size": f"{width}x{height}", "bytes": len(data)}
            rows.append({**row, "encode_ms": encode, "decode_ms": decode})
    return rows


def _median(work: Callable[[], object], synchronise: Callable[[], None]) -> float:
    """Median milliseconds of up to nine calls, after one that is not counted; fewer where calls take long."""
    work()
    durations: list[float] = []
    while len(durations) < _REPEATS and sum(durations) < _SECONDS_EACH:
        synchronise()
        start = time.perf_counter()
        work()
        synchronise()
        durations.append(time.perf_counter() - start)
    return round(1000 * float(np.median(durations)), 1)


def main() -> None:
    """Run one part."""
    arguments = _parse()
    parts = {"pack": _pack, "unpack": _unpack, "train": train, "check": _check, "speed": _speed}
    parts[arguments.part](arguments)


def _pack(arguments: argparse.Namespace) -> None:
    last = None if arguments.count is None else arguments.first + arguments.count
    which = slice(arguments.first, last)
    for path in pack(arguments.folder, arguments.pieces, arguments.piece_mib, which):
        print(path)


def _unpack(arguments: argparse.Namespace) -> None:
    unpack(arguments.pieces, arguments.folder)


def _check(arguments: argparse.Namespace) -> None:
    crossings = check(arguments.device, FAMILIES, _CHECKED[: 1 if arguments.quick else None])
    _report(arguments, [asdict(crossing) for crossing in crossings])
    if max(crossing.largest_step for crossing in crossings) > _MAX_STEP:
        sys.exit("decodings on the two devices differ by more than rounding")


def _speed(arguments: argparse.Namespace) -> None:
    sizes = _SIZES[: 1 if arguments.quick else None]
    _report(arguments, speed(arguments.device, FAMILIES, sizes))


def _report(arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Print ``rows`` as a table, and keep them as JSON."""
    machine = describe_machine(Engine(arguments.device), torch.get_num_threads())
    record = {"machine": machine, "versions": library_versions(), "rows": rows}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"{arguments.part}.json").write_text(json.dumps(record, indent=1) + "\n")
    print(markdown((list(rows[0]), [[str(v) for v in row.values()] for row in rows])))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parts = parser.add_subparsers(dest="part", required=True)
    one = parts.add_parser("pack", help="a folder as pieces of an archive")
    one.add_argument("folder", type=Path)
    one.add_argument("pieces", type=Path)
    one.add_argument("--piece-mib", type=int, default=15)
    one.add_argument("--first", type=int, default=0, help="number of the first piece to write")
    one.add_argument("--count", type=int, help="how many to write; all of them")
    one = parts.add_parser("unpack", help="pieces as a folder")
    one.add_argument("pieces", type=Path)
    one.add_argument("folder", type=Path)
    one = parts.add_parser("train", help="go on with a trunk")
    one.add_argument("trunk", type=Path)
    one.add_argument("--family", default="qvrf")
    one.add_argument("--data", type=Path, action="append", required=True)
    one.add_argument("--eval", type=Path)
    one.add_argument("--init", type=Path, help="weights, if the trunk is to begin")
    one.add_argument("--batch", type=int, default=64)
    one.add_argument("--learning-rate", type=float, default=1e-3)
    one.add_argument("--minutes", type=float, default=8.0)
    one.add_argument("--steps", type=int, help="instead of minutes, to try it")
    one.add_argument("--device", default="cuda")
    for name, text in (("check", "files across devices"), ("speed", "encoding and decoding times")):
        one = parts.add_parser(name, help=text)
        one.add_argument("--quick", action="store_true", help="the smallest size only")
        one.add_argument("--device", default="cuda")
        one.add_argument("--out", type=Path, default=Path("runs/gpu"), help="folder for the JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
