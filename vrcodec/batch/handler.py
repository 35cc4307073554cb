"""What is done with one item: read, skip or code, write. Never raises what is the fault of one picture."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vrcodec.batch import places
from vrcodec.batch.items import Item, Outcome, Work
from vrcodec.bitstream.inspection import inspect
from vrcodec.bitstream.schema import MAGIC
from vrcodec.errors import DeviceError, VrcError


@dataclass(frozen=True)
class Source:
    """An item that was read. ``outcome``: where there is no more to do with it."""

    item: Item
    data: bytes = b""
    digest: str = ""
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Coded:
    """An item that was coded. ``data`` is to be written, ``outcome`` is what comes of it then."""

    item: Item
    data: bytes
    outcome: Outcome


@dataclass(frozen=True)
class Handler:
    """``overwrite`` what is there; with ``resume`` skip what is up to date, and renew what we wrote earlier.

    ``foresees``: whether several items may be prepared at once.
    """

    work: Work
    overwrite: bool
    resume: bool
    foresees: bool = True

    @property
    def ahead(self) -> int:
        """How many items `foresee` likes to get, 1 at least."""
        return self.work.ahead if self.foresees else 1

    def handle(self, item: Item) -> Outcome:
        """All of it, one step after the other."""
        return self._coded_and_written(self.read(item))

    def _coded_and_written(self, source: Source) -> Outcome:
        if source.outcome is not None:
            return source.outcome
        coded = self.code(source)
        return coded if isinstance(coded, Outcome) else self.write(coded)

    def handle_all(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """The same for several, in their order."""
        for start in range(0, len(items), self.ahead):
            sources = [self.read(item) for item in items[start : start + self.ahead]]
            if len(sources) > 1:
                self.foresee(sources)
            yield from map(self._coded_and_written, sources)

    def foresee(self, sources: Iterable[Source]) -> None:
        """Say which ones `code` will get next."""
        coming = [(source.item.source, source.data) for source in sources if not source.outcome]
        # What goes wrong here goes wrong again, with a name, where each is coded by itself.
        with contextlib.suppress(Exception):
            self.work.foresee(coming)

    def read(self, item: Item) -> Source:
        """The source, unless the target is up to date or must not be touched."""
        try:
            if not self.overwrite and not self.resume and not item.returned:
                places.check_absent(item.target)
            data = places.read(item.source)
            digest = hashlib.sha256(data).hexdigest()
            if self.resume and item.known and self._is_up_to_date(item.known, item, digest):
                kept = replace(item.known, source=item.source, outcome="skipped")
                return Source(item, outcome=kept)
        except VrcError as error:
            missing = isinstance(error.__cause__, FileNotFoundError)
            return Source(
                item, outcome=_failure(item, error, passing=_is_io(error) and not missing)
            )
        return Source(item, data, digest)

    def _is_up_to_date(self, known: Outcome, item: Item, digest: str) -> bool:
        same = (known.hash, known.weights, known.settings) == (
            digest,
            self.work.weights,
            self.work.settings,
        )
        return same and places.size(item.target) == known.bytes and _is_whole(item.target)

    def code(self, source: Source) -> Coded | Outcome:
        """The result, or the outcome where there is none."""
        item = source.item
        try:
            facts = self.work.code(item.source, source.data)
        except VrcError as error:
            return _failure(item, error, passing=isinstance(error, DeviceError))
        except Exception as error:
            # A fault of ours, or no memory: no reason to give up the other pictures.
            words = f"{item.source}: internal error: {type(error).__name__}: {error}"
            return item.failed(words, type(error).__name__)
        data: bytes = facts.pop("data")
        return Coded(item, data, self._done(source, data, facts))

    def _done(self, source: Source, data: bytes, facts: dict[str, Any]) -> Outcome:
        return Outcome(
            source.item.source,
            source.item.target,
            "done",
            hash=source.digest,
            weights=self.work.weights,
            settings=self.work.settings,
            bytes_in=len(source.data),
            bytes=len(data),
            pixels=facts["width"] * facts["height"],
            seconds=facts["seconds"],
            facts={**facts, "output": source.item.target},
        )

    def write(self, coded: Coded) -> Outcome:
        """Write the result where it may be written."""
        item = coded.item
        try:
            if not self._is_there(coded):
                places.write(item.target, coded.data, overwrite=self._may_replace(item))
        except VrcError as error:
            return _failure(item, error, passing=_is_io(error))
        return coded.outcome

    def _is_there(self, coded: Coded) -> bool:
        """Whether a run, or a worker, that was killed before it could say so has written the same."""
        unsaid = self.resume or coded.item.returned
        if not unsaid or places.size(coded.item.target) != len(coded.data):
            return False
        return places.read(coded.item.target) == coded.data

    def _may_replace(self, item: Item) -> bool:
        if self.overwrite:
            return True
        return bool(self.resume and item.known and places.size(item.target) == item.known.bytes)


def _is_whole(target: str) -> bool:
    """Whether a .vrc file keeps its own checksums; other files have none that are cheap to see."""
    if places.read_range(target, 0, len(MAGIC)) != MAGIC:
        return not target.endswith(".vrc")
    try:
        inspect(places.read(target))
    except VrcError:
        return False
    return True


def _is_io(error: VrcError) -> bool:
    return error.__cause__ is not None


def _failure(item: Item, error: VrcError, *, passing: bool) -> Outcome:
    words = str(error)
    named = words if item.source in words or item.target in words else f"{item.source}: {words}"
    return item.failed(named, type(error).__name__, passing=passing)
