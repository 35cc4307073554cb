"""Measuring a codec on a picture by round trips: files are written, read back and decoded."""

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
from vrcodec.errors import OutputError, TargetError
from vrcodec.metrics import Metric
from vrcodec.picture.picture import Picture
from vrcodec.timing import record_stages, stage

# Stages that only the first picture of a process needs.
_ONE_TIME_STAGES = ("load",)

# Peak memory of encoding and decoding, in MiB.
Peaks = tuple[float | None, float | None]


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
class RoundTrip:
    """How to measure. ``synchronise`` is called before each look at the clock; ``memory``: whether to, too."""

    metrics: Sequence[Metric]
    synchronise: Callable[[], None]
    memory: bool = True

    def measure(self, codec: Codec, picture: Picture, points: Sequence[float]) -> Iterator[Sample]:
        """One `Sample` for each of ``points``; a target that no rate meets is left out.

        A first round trip, whose times do not count, measures peak memory.
        """
        coder = codec.coder()
        peaks: Peaks = None, None
        if self.memory:
            peaks = _measure_memory(coder, picture, points[len(points) // 2])
        with _temporary_file("picture" + codec.suffix) as path:
            for point in points:
                with suppress(TargetError):
                    yield self._measure_point(coder, picture, point, path, peaks)

    def _measure_point(
        self, coder: Coder, picture: Picture, point: float, path: Path, peaks: Peaks
    ) -> Sample:
        with self._timed(peaks[0]) as encode:
            data = coder.encode(picture, point)
            with stage("file"):
                path.write_bytes(data)
        with self._timed(peaks[1]) as decode:
            with stage("file"):
                data = path.read_bytes()
            decoded = coder.decode(data)
        shown = picture.to_rgb(), decoded.to_rgb()
        quality = {metric.name: metric.compute(*shown) for metric in self.metrics}
        return Sample(point, path.stat().st_size, quality, encode, decode)

    @contextmanager
    def _timed(self, mib: float | None) -> Iterator[Cost]:
        cost = Cost(mib=mib)
        with record_stages(self.synchronise) as times:
            start = time.perf_counter()
            yield cost
            self.synchronise()
            elapsed = time.perf_counter() - start
        one_time = sum(times.seconds.pop(name, 0.0) for name in _ONE_TIME_STAGES)
        cost.seconds, cost.stages = elapsed - one_time, times.seconds


@contextmanager
def _temporary_file(name: str) -> Iterator[Path]:
    """The path of a file that is removed behind the body. Errors in writing or reading it are OutputErrors."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder, name)
    except OSError as error:
        raise OutputError(f"no temporary file can be written: {error.strerror}") from error


def _measure_memory(coder: Coder, picture: Picture, point: float) -> Peaks:
    try:
        with peak_memory() as encode:
            data = coder.encode(picture, point)
    except TargetError:
        return None, None
    # Loads the weights, whose memory is not counted.
    coder.decode(data)
    with peak_memory() as decode:
        coder.decode(data)
    return encode.mib, decode.mib
