"""Measuring a codec on a picture: real files, written, read and decoded again."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from vrcodec.bench.codecs import Codec, Coder
from vrcodec.bench.memory import peak_memory
from vrcodec.errors import TargetError
from vrcodec.metrics import Metric
from vrcodec.picture.picture import Picture
from vrcodec.timing import recorded, stage

# Stages that a second picture does not need again.
_ONCE = ("load",)

# Peaks of encoding and decoding, in MiB.
Memory = tuple[float | None, float | None]


@dataclass
class Cost:
    """``seconds`` without the loading of weights; ``stages`` of it, in seconds; ``mib`` peak memory."""

    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    mib: float | None = None


@dataclass(frozen=True)
class Sample:
    """One picture at one setting. ``bytes`` on disk; ``quality`` by name of the metric."""

    setting: float
    bytes: int
    quality: dict[str, float | None]
    encode: Cost
    decode: Cost


def picture_hash(picture: Picture) -> str:
    """SHA-256 of mode, size and pixels, in hexadecimal."""
    head = f"{picture.mode} {picture.width}x{picture.height} ".encode()
    return hashlib.sha256(head + picture.pixels.tobytes()).hexdigest()


@dataclass(frozen=True)
class Trial:
    """How to measure: ``synchronise`` is called before looking at the clock. ``memory``: whether to, too."""

    metrics: Sequence[Metric]
    synchronise: Callable[[], None]
    memory: bool = True

    def measure(self, codec: Codec, picture: Picture, points: Sequence[float]) -> Iterator[Sample]:
        """One `Sample` for each of ``points``; a target that no rate meets is passed over.

        A first round trip, whose times do not count, measures the memory.
        """
        coder = codec.coder()
        memory: Memory = None, None
        if self.memory:
            memory = _memory(coder, picture, points[len(points) // 2])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "picture" + codec.suffix)
            for point in points:
                with suppress(TargetError):
                    yield self._sample(coder, picture, point, path, memory)

    def _sample(
        self, coder: Coder, picture: Picture, point: float, path: Path, memory: Memory
    ) -> Sample:
        with self._cost(memory[0]) as encode:
            data = coder.encode(picture, point)
            with stage("file"):
                path.write_bytes(data)
        with self._cost(memory[1]) as decode:
            with stage("file"):
                data = path.read_bytes()
            decoded = coder.decode(data)
        seen = picture.displayed(), decoded.displayed()
        quality = {metric.name: metric.compute(*seen) for metric in self.metrics}
        return Sample(point, path.stat().st_size, quality, encode, decode)

    @contextmanager
    def _cost(self, mib: float | None) -> Iterator[Cost]:
        cost = Cost(mib=mib)
        with recorded(self.synchronise) as times:
            start = time.perf_counter()
            yield cost
            self.synchronise()
            elapsed = time.perf_counter() - start
        once = sum(times.seconds.pop(name, 0.0) for name in _ONCE)
        cost.seconds, cost.stages = elapsed - once, times.seconds


def _memory(coder: Coder, picture: Picture, point: float) -> Memory:
    try:
        with peak_memory() as encode:
            data = coder.encode(picture, point)
    except TargetError:
        return None, None
    # Loads the weights, which are no part of what a picture needs.
    coder.decode(data)
    with peak_memory() as decode:
        coder.decode(data)
    return encode.mib, decode.mib
