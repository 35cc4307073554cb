"""Batch throughput: worker processes against a loop in one process, and processor time per megapixel.

    python -m benchmarks.batch FOLDER [--rounds 5]

writes the figures of docs/SCALING.md, and keeps them in benchmarks/batch.json. What is compared is measured in
turns, one right after the other, so that a machine that does other things disturbs all alike; what counts are
the medians of ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.documents import replace_blocks
from vrcodec.batch.items import Item, Outcome, Work
from vrcodec.batch.pool import run_in_pool
from vrcodec.batch.processor import ItemProcessor
from vrcodec.bench.machine import describe_machine, library_versions
from vrcodec.bench.summary import markdown
from vrcodec.catalog import DEFAULT_MODEL, find_by_family
from vrcodec.cli import batch
from vrcodec.cli.shared.decode_work import DecodeWork
from vrcodec.cli.shared.encode_work import EncodeWork
from vrcodec.engine import Engine
from vrcodec.picture.folders import find_pictures

RECORD = Path(__file__).with_suffix(".json")
DOCUMENT = Path(__file__).parents[1] / "docs" / "SCALING.md"

_CORES = 2
# Items before the clock starts, in which libraries and models are loaded.
_WARM_UP = 2 * _CORES

Record = dict[str, Any]


def main() -> None:
    """Measure, keep the record, and write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    record = measure(find_pictures([arguments.folder]), arguments.rounds)
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    DOCUMENT.write_text(replace_blocks(DOCUMENT.read_text(), blocks(record)))


def measure(pictures: Sequence[Path], rounds: int) -> Record:
    """Everything that the document shows."""
    given = batch.encode_command.make_context("encode", ["--manifest", "", "--out", ""]).params
    encoding = EncodeWork.from_options({**batch.split_options(given)[1], "keep_partial": False})
    given = batch.decode_command.make_context("decode", ["--manifest", "", "--out", ""]).params
    decoding = DecodeWork.from_options(batch.split_options(given)[1])
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{path.stem}.vrc") for path in pictures]
        processor = ItemProcessor(encoding, overwrite=True, resume=False)
        jobs = [Item(str(p), str(f)) for p, f in zip(pictures, files, strict=True)]
        list(run_in_pool(processor, jobs, _CORES))
        decode_jobs = [Item(str(f), str(f.with_suffix(".png"))) for f in files]
        return {
            "machine": describe_machine(Engine("cpu"), _CORES),
            "versions": library_versions(),
            "model": DEFAULT_MODEL,
            "weights": find_by_family(DEFAULT_MODEL).id.hex(),
            "pictures": len(pictures),
            "bytes": sum(file.stat().st_size for file in files),
            "bytes_before": sum(path.stat().st_size for path in pictures),
            "encode": compare_ways(encoding, jobs, rounds),
            "decode": compare_ways(decoding, decode_jobs, rounds),
            "skipping": time_skipping(encoding, jobs),
        }


def compare_ways(work: Work, items: Sequence[Item], rounds: int) -> Record:
    """Megapixels a second in each way, by rounds, and the processor's seconds of a megapixel."""
    ways: dict[str, Callable[[], float]] = {
        "loop, 2 threads": lambda: in_a_loop(work, items, _CORES),
        "loop, 1 thread": lambda: in_a_loop(work, items, 1),
        "2 threads of 1": lambda: in_threads(work, items),
        "2 processes of 1": lambda: in_processes(work, items),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            speeds[name].append(round(way(), 3))
            print(name, speeds[name][-1], flush=True)
    return {"mp_per_s": speeds, **processor_seconds(work, items)}


def in_a_loop(work: Work, items: Sequence[Item], threads: int) -> float:
    """Megapixels a second of one picture after the other, with the model loaded; torch has ``threads``."""
    processor = _make_processor(work, threads)
    processor.process(items[0])
    torch.set_num_threads(threads)
    start = time.perf_counter()
    done = [processor.process(item) for item in items]
    return _megapixels(done) / (time.perf_counter() - start)


def in_threads(work: Work, items: Sequence[Item]) -> float:
    """The same of two threads of this process, that share a model; torch has one thread in each."""
    processor = _make_processor(work, 1)
    processor.process(items[0])
    with ThreadPoolExecutor(_CORES, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        start = time.perf_counter()
        done = list(pool.map(processor.process, items))
        return _megapixels(done) / (time.perf_counter() - start)


def in_processes(work: Work, items: Sequence[Item]) -> float:
    """The same of `vrcodec.batch.pool`, from when each worker has begun."""
    start, done = 0.0, []
    processor = _make_processor(work, 1)
    for number, outcome in enumerate(
        run_in_pool(processor, [*items[:_WARM_UP], *items], _CORES), 1
    ):
        if number == _WARM_UP:
            start = time.perf_counter()
        elif number > _WARM_UP:
            done.append(outcome)
    return _megapixels(done) / (time.perf_counter() - start)


def processor_seconds(work: Work, items: Sequence[Item]) -> Record:
    """Processor time (user and system) of a megapixel, and of a worker's start: from runs of two lengths."""
    processor = _make_processor(work, 1)
    runs = []
    for repeats in (1, 3):
        before = _children_seconds()
        done = list(run_in_pool(processor, list(items) * repeats, _CORES))
        runs.append((_megapixels(done), _children_seconds() - before))
    (few, short), (many, long) = runs
    per_megapixel = (long - short) / (many - few)
    return {
        "cpu_s_per_mp": round(per_megapixel, 4),
        "cpu_s_per_worker": round((short - per_megapixel * few) / _CORES, 3),
    }


def time_skipping(work: Work, items: Sequence[Item]) -> Record:
    """Time per picture of a second run with --resume, which skips all of them."""
    processor = ItemProcessor(work, overwrite=False, resume=True)
    first = [processor.process(item) for item in items]
    done_items = [replace(item, previous=done) for item, done in zip(items, first, strict=True)]
    start = time.perf_counter()
    again = [processor.process(item) for item in done_items]
    seconds = time.perf_counter() - start
    assert all(outcome.outcome == "skipped" for outcome in again)
    return {"ms_per_picture": round(1e3 * seconds / len(items), 2)}


def _make_processor(work: Any, threads: int) -> ItemProcessor:
    """A processor with a fresh model: nothing is shared between ways."""
    if isinstance(work, EncodeWork):
        fresh: Work = replace(work, job=replace(work.job, threads=threads, encoder=None))
    else:
        fresh = replace(work, threads=threads, decoder=None)
    return ItemProcessor(fresh, overwrite=True, resume=False)


def _megapixels(done: Sequence[Outcome]) -> float:
    assert all(outcome.outcome == "done" for outcome in done), done
    return sum(outcome.pixels for outcome in done) / 1e6


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def ratios(rows: Record, way: str, base: str = "loop, 2 threads") -> list[float]:
    """How many times as fast as ``base``, round by round."""
    speeds = rows["mp_per_s"]
    return [a / b for a, b in zip(speeds[way], speeds[base], strict=True)]


def blocks(record: Record) -> dict[str, str]:
    """The parts of the document that hold figures."""
    return {"throughput": _throughput(record), "arithmetic": "\n".join(_arithmetic(record))}


def _throughput(record: Record) -> str:
    rows = []
    for task in ("encode", "decode"):
        for way, speeds in record[task]["mp_per_s"].items():
            times = ratios(record[task], way)
            spread = f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})"
            rows.append([task, way, f"{statistics.median(speeds):.2f}", spread])
    machine = record["machine"]
    words = (
        f"{record['pictures']} photographs of 0.39 megapixels, PNG, rate 0.5, `{record['model']}` with weights "
        f"`{record['weights']}`, reading and writing included, start of processes not; {machine['cpu']}, "
        f"{machine['cores']} cores, torch {record['versions']['torch']}. "
        f"Medians of {len(record['encode']['mp_per_s']['loop, 2 threads'])} rounds in turns."
    )
    headings = ["", "way", "MP/s", "times the loop with 2 threads"]
    return f"{words}\n\n{markdown((headings, rows))}"


def _arithmetic(record: Record) -> Iterator[str]:
    """Sentences from one megapixel to 10^9 pictures of one megapixel."""
    encode, decode = (record[task]["cpu_s_per_mp"] for task in ("encode", "decode"))
    megapixels = record["pictures"] * 0.393216
    size = record["bytes"] / megapixels
    yield (
        f"- Processor time, measured: {encode:.3f} core seconds to encode a megapixel, {decode:.3f} to decode "
        f"it; {record['encode']['cpu_s_per_worker']:.1f} to start a worker."
    )
    hours = encode * 1e9 / 3600
    yield (
        f"- 10^9 pictures of 1 megapixel: {hours:,.0f} core hours to encode, {decode * 1e9 / 3600:,.0f} to "
        f"decode. On 10,000 cores, {hours / 1e4:,.1f} hours."
    )
    yield (
        f"- Storage at rate 0.5: {size / 1e3:.1f} kB a megapixel, {size * 1e9 / 1e12:.1f} TB for all, where "
        f"the PNG files of the same pictures take {record['bytes_before'] / megapixels * 1e9 / 1e12:,.0f} TB."
    )
    hour = int(3600 / encode)
    yield (
        f"- A shard that takes an hour on one core has {hour:,} pictures of a megapixel: {1e9 / hour:,.0f} "
        f"shards; on 32 cores, {32 * hour:,} pictures and {1e9 / hour / 32:,.0f} shards."
    )
    yield (
        f"- Starting again costs reading and hashing each source: {record['skipping']['ms_per_picture']} ms "
        "for each picture that is there, from a local disk."
    )


if __name__ == "__main__":
    os.environ.pop("VRCODEC_WEIGHTS", None)
    main()
