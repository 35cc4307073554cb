"""Manifests: lists of items, split into shards for many machines, none of which reads the whole list."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vrcodec.batch import storage
from vrcodec.batch.inputs import find_inputs, relative_output_path
from vrcodec.batch.items import Item, Outcome
from vrcodec.errors import InputError, UsageError, VrcError

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Shard:
    """Part ``index``, from 1, of ``count``."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse I/N. Raises UsageError."""
        first, slash, last = text.partition("/")
        if not (
            slash and first.isascii() and first.isdigit() and last.isascii() and last.isdigit()
        ):
            raise UsageError(f"{text!r} is not a shard such as 3/100")
        if not 1 <= int(first) <= int(last):
            raise UsageError(f"shard {text}: shards are counted from 1 to {int(last)}")
        return cls(int(first), int(last))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True)
class Manifest:
    """``location``: of a list with a source a line, or a source, a tab and its target; or of a folder.

    Results go below ``out``, where no target is named: the source's own path with ``suffix``. Of a folder,
    files with one of ``suffixes`` are taken.
    """

    location: str
    out: str
    suffix: str
    suffixes: frozenset[str]

    def check(self) -> None:
        """Raise InputError where there is no list, nor folder."""
        if not storage.is_folder(self.location) and storage.size(self.location) is None:
            raise _missing(self.location)

    def items(self, shard: Shard) -> Iterator[Item | Outcome]:
        """The items of a shard, each target once; an outcome is a failure, of a line that is no valid item.

        Raises InputError or UsageError.
        """
        lines = list(self._lines(shard))
        texts = [line.partition("\t") for line in lines if isinstance(line, str)]
        sources = {storage.make_absolute(source) for source, _, _ in texts}
        yield from (line for line in lines if isinstance(line, Outcome))
        # By where the result goes, what it is made of.
        taken: dict[str, str] = {}
        for source, _, named in texts:
            target = ""
            try:
                target = self._named_target(named) if named else self._target(source)
                place = storage.make_absolute(target)
                if taken.get(place) == source:
                    continue
                _check_target(source, target, taken.get(place), place in sources)
            except VrcError as error:
                yield Item(source, target).failure(str(error), type(error).__name__)
                continue
            taken[place] = source
            yield Item(source, target)

    def _named_target(self, named: str) -> str:
        path = Path(named)
        if path.anchor or storage.is_url(named) or ".." in path.parts or named.endswith("/"):
            raise UsageError(f"{named}: a target is the name of a file below the output folder")
        return storage.join(self.out, named)

    def _target(self, source: str) -> str:
        relative = str(relative_output_path(source))
        # Appended to the source's own suffix: no machine sees all sources, and no two may share a target.
        name = relative.removesuffix(".vrc") if self.suffix != ".vrc" else relative
        return storage.join(self.out, name + self.suffix)

    def _lines(self, shard: Shard) -> Iterator[str | Outcome]:
        if storage.is_folder(self.location):
            yield from self._files()[shard.index - 1 :: shard.count]
            return
        if shard.index > 1:
            _without_byte_order_mark(storage.read_range(self.location, 0, 2), self.location)
        for number, line in enumerate(read_shard_lines(self.location, shard)):
            if shard.index == 1 and number == 0:
                line = _without_byte_order_mark(line, self.location)
            if line.strip():
                yield os.fsdecode(line.rstrip(b"\r\n"))

    def _files(self) -> list[str | Outcome]:
        """Names, and a failure for each folder that cannot be listed."""
        if storage.is_url(self.location):
            files = storage.list_files(self.location)
            return [name for name in files if PurePosixPath(name).suffix.lower() in self.suffixes]
        found = find_inputs([self.location], [], self.suffixes)
        return [*sorted(found.sources), *found.failures()]


def _check_target(source: str, target: str, other: str | None, is_source: bool) -> None:
    """Raise UsageError where ``target`` would cost a picture.

    ``other``: the source that is written there already; ``is_source``: whether a line of the list reads it.
    """
    if other is not None:
        raise UsageError(f"{source}: would be written to {target}, as {other}")
    if storage.is_same_file(source, target):
        raise UsageError(f"{source}: would be overwritten by what becomes of it")
    if is_source:
        raise UsageError(f"{source}: would be written to {target}, which is in the list itself")


def _missing(location: str) -> InputError:
    return InputError(f"{location}: cannot be read: no such file")


def read_shard_lines(location: str, shard: Shard) -> Iterator[bytes]:
    """The lines that begin in this shard's share of the bytes of a list. Raises InputError or UsageError.

    So every line is in one shard, and a shard reads no more than its share.
    """
    if storage.is_pipe(location):
        yield from _read_all_lines(location, shard)
        return
    size = storage.size(location)
    if size is None:
        raise _missing(location)
    start, end = (size * i // shard.count for i in (shard.index - 1, shard.index))
    # From the byte before: a line that begins at ``start`` is in this shard if that byte ends another.
    position, buffer = max(start - 1, 0), b""
    in_shard = start == 0
    read_to = position
    while position < end:
        newline = buffer.find(b"\n")
        if newline < 0 and read_to < size:
            chunk_end = min(read_to + _CHUNK_BYTES, size)
            piece = storage.read_range(location, read_to, chunk_end)
            if not piece:
                raise InputError(f"{location}: became shorter while it was read")
            buffer += piece
            read_to += len(piece)
            continue
        line_bytes = len(buffer) if newline < 0 else newline + 1
        line, buffer = buffer[:line_bytes], buffer[line_bytes:]
        position += len(line)
        if in_shard:
            yield line
        in_shard = True


def _without_byte_order_mark(line: bytes, location: str) -> bytes:
    """The beginning of a list. Raises UsageError for one in UTF-16, of which no shard can find its lines."""
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UsageError(f"{location}: is in UTF-16; a manifest is in UTF-8")
    return line.removeprefix(codecs.BOM_UTF8)


def _read_all_lines(location: str, shard: Shard) -> Iterator[bytes]:
    if shard.count > 1:
        raise UsageError(f"{location}: of a pipe nobody can read a share; name a file")
    yield from storage.read(location).split(b"\n")
