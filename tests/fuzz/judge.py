"""What must not happen when a file is read, whatever is in it.

Allowed are a picture of the size that the header says, and an error that says what is wrong with the file.
Forbidden: any other exception, more than `MAX_SECONDS` of processor time, more than `MAX_BYTES` of memory, and
a wrong picture taken for the right one.
"""

from __future__ import annotations

import io
import resource
import time
import zlib
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vrcodec.bitstream import schema
from vrcodec.bitstream.container import Container, parse_container
from vrcodec.bitstream.inspection import check_structure, parse_progressive_chunk
from vrcodec.bitstream.latent_stream import parse_stream
from vrcodec.bitstream.source import FileSource
from vrcodec.bitstream.symbol_coding import StreamReader
from vrcodec.codec import Decoder
from vrcodec.engine import Engine
from vrcodec.errors import CorruptError, FormatError, LimitError, VrcError, WeightsError
from vrcodec.picture.picture import Picture
from vrcodec.picture.writing import serialise_picture
from vrcodec.regions.region import Rectangle, Region

MAX_SECONDS = 2.0
MAX_BYTES = 200 << 20
_ALLOWED = (FormatError, CorruptError, WeightsError, LimitError)
_KIB = 1024
# Of so many files one is also decoded in part.
_CROPPED_OF = 4
# Chunks of which a checksum inside speaks, or that say nothing of the picture.
_SAID_OTHERWISE = (schema.CHUNK_STREAM, schema.CHUNK_PROGRESSIVE, schema.CHUNK_BINDING)


class ViolationError(AssertionError):
    """Something that must not happen."""


@dataclass(frozen=True)
class Verdict:
    """``code``: 0, or the exit code of the refusal. ``pixels``: of the picture, if there is one."""

    code: int
    seconds: float
    pixels: npt.NDArray[np.uint8] | None = None


class Judge:
    """Decodes files with the models on the search path, on one device, and keeps the worst figures."""

    def __init__(self, max_seconds: float = MAX_SECONDS) -> None:
        self.decoder = Decoder(Engine("cpu", "float32"))
        self._max_seconds = max_seconds
        self.start_again()

    def start_again(self) -> None:
        """Forget the figures: loading models is in the first ones."""
        self.longest = 0.0
        self.most_bytes = 0
        self.counts: dict[int, int] = {}

    def judge(self, data: bytes, original: bytes | None = None) -> Verdict:
        """Raises ViolationError. ``original``: an honest file of which ``data`` is a changed copy."""
        before = _peak()
        start = time.process_time()
        verdict = self._decoded(data, start)
        self._weigh(verdict, _peak() - before)
        if original is not None and verdict.pixels is not None:
            self._compare(data, verdict.pixels, original)
        if zlib.crc32(data) % _CROPPED_OF == 0:
            self._crop(data, verdict.pixels)
        return verdict

    def _decoded(self, data: bytes, start: float) -> Verdict:
        refusal: VrcError | None = None
        with _only_allowed():
            try:
                info = check_structure(data)
            except _ALLOWED as error:
                refusal = error
        with _only_allowed():
            try:
                picture = self.decoder.decode(data)
                serialise_picture(picture)
            except _ALLOWED as error:
                return Verdict(error.exit_code, time.process_time() - start)
        if refusal is not None:
            raise ViolationError(f"info refuses what decodes: {refusal}")
        array = picture.to_array()
        if array.shape[:2] != (info.height, info.width):
            raise ViolationError(f"{array.shape} where the header says {info.width}x{info.height}")
        return Verdict(0, time.process_time() - start, _everything(picture))

    def _crop(self, data: bytes, pixels: npt.NDArray[np.uint8] | None) -> None:
        """The last pixel alone, from a file of which only parts are read; the first, of one that is refused."""
        height, width = (1, 1) if pixels is None else pixels.shape[:2]
        region = Region(Rectangle(width - 1, height - 1, 1, 1))
        with _only_allowed():
            try:
                picture = self.decoder.decode(FileSource(io.BytesIO(data)), region=region)
            except _ALLOWED as error:
                if pixels is not None:
                    raise ViolationError(f"a part is refused of what decodes: {error}") from error
                return
        found = _everything(picture).astype(int)
        if pixels is not None and np.abs(found - pixels[-1:, -1:]).max() > 1:
            raise ViolationError("a part is another picture than the whole")

    def _weigh(self, verdict: Verdict, grown: int) -> None:
        self.counts[verdict.code] = self.counts.get(verdict.code, 0) + 1
        self.longest = max(self.longest, verdict.seconds)
        self.most_bytes = max(self.most_bytes, grown)
        if verdict.seconds > self._max_seconds:
            raise ViolationError(f"took {verdict.seconds:.2f} s")
        if grown > MAX_BYTES:
            raise ViolationError(f"took {grown} bytes")

    def _compare(self, data: bytes, pixels: npt.NDArray[np.uint8], original: bytes) -> None:
        if claims(data) != claims(original):
            return
        expected = _everything(self.decoder.decode(original))
        if not np.array_equal(pixels, expected):
            raise ViolationError("another picture than the checksums in the file speak of")


def claims(data: bytes) -> Hashable:
    """What a file says of its picture: header, setting, checksums of symbols.

    Files that say the same must decode to the same picture, or not at all.
    """
    container = parse_container(data)
    sides = [(c.type, c.payload) for c in container.chunks if c.type not in _SAID_OTHERWISE]
    header = replace(container.header, version=(1, 0))
    return header, tuple(sides), tuple(_checksums(container))


def _checksums(container: Container) -> Iterable[int | None]:
    if container.header.method == schema.METHOD_LOSSLESS:
        return ()
    progressive = parse_progressive_chunk(container)
    streams = (
        progressive.streams
        if progressive
        else [parse_stream(c.payload) for c in container.latent_chunks()]
    )
    return (stream.symbols_crc for stream in streams)


def _everything(picture: Picture) -> npt.NDArray[np.uint8]:
    """All samples of a picture: (H, W, 1 to 4)."""
    array = np.atleast_3d(picture.to_array())
    return array if picture.alpha is None else np.dstack([array, picture.alpha])


@contextmanager
def _only_allowed() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ViolationError(f"{type(error).__name__}: {error}") from error


@contextmanager
def forgiving() -> Iterator[None]:
    """Decode as if all checksums of symbols fitted: what a patient attacker would bring about."""
    own = StreamReader.finish, StreamReader.end_level

    def silent(reader: StreamReader) -> None:
        return None

    StreamReader.finish, StreamReader.end_level = silent, silent  # type: ignore[method-assign]
    try:
        yield
    finally:
        StreamReader.finish, StreamReader.end_level = own  # type: ignore[method-assign]


def _peak() -> int:
    """The most memory, in bytes, that this process has had at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
