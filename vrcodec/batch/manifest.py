"""Lists of work that are shared out to many machines, none of which reads the whole list."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from vrcodec.batch import places
from vrcodec.batch.inputs import find, mirrored
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
        """Of I/N. Raises UsageError."""
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
    """``place``: a list with a source a line, or a source, a tab and its target; or a folder of pictures.

    Results go below ``out``, where no target is named: the source's own path with ``suffix``.
    """

    place: str
    out: str
    suffix: str
    suffixes: frozenset[str]

    def items(self, shard: Shard) -> Iterator[Item | Outcome]:
        """The work of a shard, each target once; an outcome is a line that says nothing that could be done.

        Raises InputError or UsageError.
        """
        seen: dict[str, str] = {}
        for line in self._lines(shard):
            source, _, named = line.partition("\t")
            try:
                target = places.join(self.out, named) if named else self._target(source)
            except VrcError as error:
                yield Item(source, "").failed(str(error), type(error).__name__)
                continue
            other = seen.setdefault(target, source)
            if other != source:
                words = f"{source}: would be written to {target}, as {other}"
                yield Item(source, target).failed(words, UsageError.__name__)
            elif line not in seen:
                seen[line] = source
                yield Item(source, target)

    def _target(self, source: str) -> str:
        below = str(mirrored(source))
        # Two sources never meet in one target: no machine knows of all.
        name = below.removesuffix(".vrc") if self.suffix != ".vrc" else below
        return places.join(self.out, name + self.suffix)

    def _lines(self, shard: Shard) -> Iterator[str]:
        if places.is_folder(self.place):
            yield from self._files()[shard.index - 1 :: shard.count]
            return
        for line in lines(self.place, shard):
            if text := os.fsdecode(line.rstrip(b"\r\n")):
                yield text

    def _files(self) -> list[str]:
        if not places.is_url(self.place):
            return sorted(find([self.place], [], self.suffixes).sources)
        found = places.below(self.place)
        return [name for name in found if PurePosixPath(name).suffix.lower() in self.suffixes]


def lines(place: str, shard: Shard) -> Iterator[bytes]:
    """The lines that begin in this shard's share of the bytes of a list. Raises InputError.

    So every line is in one shard, and a shard reads no more than its share.
    """
    size = places.size(place)
    if size is None:
        raise InputError(f"{place}: cannot be read: no such file")
    start, end = (size * i // shard.count for i in (shard.index - 1, shard.index))
    # From the byte before: a line that begins at ``start`` is ours if that is the end of another.
    position, held = max(start - 1, 0), b""
    foreign = start > 0
    read_to = position
    while position < end:
        newline = held.find(b"\n")
        if newline < 0 and read_to < size:
            held += places.read_range(place, read_to, min(read_to + _CHUNK_BYTES, size))
            read_to = position + len(held)
            continue
        line, held = (held, b"") if newline < 0 else (held[: newline + 1], held[newline + 1 :])
        position += len(line)
        if not foreign:
            yield line
        foreign = False
