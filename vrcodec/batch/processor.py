"""Processing of one item: read the source, skip or code it, write the target.

An error of one picture becomes a failed outcome; it is never raised.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vrcodec.batch import storage
from vrcodec.batch.items import Item, Outcome, Work
from vrcodec.batch.output_paths import is_of
from vrcodec.bitstream.inspection import inspect
from vrcodec.bitstream.schema import MAGIC
from vrcodec.errors import DeviceError, VrcError, explain_shortage


@dataclass(frozen=True)
class ReadItem:
    """An item after reading. ``outcome``: set where nothing is left to do: skipped or failed."""

    item: Item
    data: bytes = b""
    digest: str = ""
    outcome: Outcome | None = None


@dataclass(frozen=True)
class CodedItem:
    """An item after coding: ``data`` is still to be written; ``outcome`` holds once it is."""

    item: Item
    data: bytes
    outcome: Outcome


@dataclass(frozen=True)
class ItemProcessor:
    """Reads, codes and writes items with ``work``.

    ``overwrite``: replace targets that exist. ``resume``: skip what is up to date, and renew what an earlier
    run has written. ``batching``: whether several items may be prepared at once.
    """

    work: Work
    overwrite: bool
    resume: bool
    batching: bool = True

    @property
    def batch_size(self) -> int:
        """How many items `prepare_batch` should get, 1 at least."""
        return self.work.batch_size if self.batching else 1

    def process(self, item: Item) -> Outcome:
        """Read, code and write one item."""
        return self._code_and_write(self.read(item))

    def _code_and_write(self, source: ReadItem) -> Outcome:
        if source.outcome is not None:
            return source.outcome
        coded = self.code(source)
        return coded if isinstance(coded, Outcome) else self.write(coded)

    def process_all(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """The same for several, batch by batch, in their order."""
        for start in range(0, len(items), self.batch_size):
            sources = [self.read(item) for item in items[start : start + self.batch_size]]
            if len(sources) > 1:
                self.prepare_batch(sources)
            yield from map(self._code_and_write, sources)

    def prepare_batch(self, sources: Iterable[ReadItem]) -> None:
        """Let the work prepare the items that `code` will get next."""
        pictures = [(source.item.source, source.data) for source in sources if not source.outcome]
        # An error here occurs again, with a name, where each picture is coded by itself.
        with contextlib.suppress(Exception):
            self.work.prepare_batch(pictures)

    def read(self, item: Item) -> ReadItem:
        """Read the source, unless the target is up to date or must not be overwritten."""
        try:
            if not self.overwrite and not self.resume and not item.reassigned:
                storage.check_absent(item.target)
            data = storage.read(item.source)
            digest = hashlib.sha256(data).hexdigest()
            if self.resume and item.previous and self._is_up_to_date(item.previous, item, digest):
                skipped = replace(item.previous, source=item.source, outcome="skipped")
                return ReadItem(item, outcome=skipped)
        except VrcError as error:
            missing = isinstance(error.__cause__, FileNotFoundError)
            transient = _is_io_error(error) and not missing
            return ReadItem(item, outcome=_failure(item, error, transient=transient))
        return ReadItem(item, data, digest)

    def _is_up_to_date(self, previous: Outcome, item: Item, digest: str) -> bool:
        same = (previous.hash, previous.weights, previous.settings) == (
            digest,
            self.work.weights,
            self.work.settings,
        )
        return same and storage.size(item.target) == previous.bytes and _is_intact(item.target)

    def code(self, source: ReadItem) -> CodedItem | Outcome:
        """Encode or decode; an outcome is a failure."""
        item = source.item
        try:
            result = self.work.code(item.source, source.data)
        except VrcError as error:
            return _failure(item, error, transient=isinstance(error, DeviceError))
        except Exception as error:
            # The other pictures may still succeed.
            if shortage := explain_shortage(error):
                return _failure(item, shortage, transient=False)
            message = f"{item.source}: internal error: {type(error).__name__}: {error}"
            return item.failure(message, type(error).__name__)
        data: bytes = result.pop("data")
        return CodedItem(item, data, self._done(source, data, result))

    def _done(self, source: ReadItem, data: bytes, result: dict[str, Any]) -> Outcome:
        return Outcome(
            source.item.source,
            source.item.target,
            "done",
            hash=source.digest,
            weights=self.work.weights,
            settings=self.work.settings,
            bytes_in=len(source.data),
            bytes=len(data),
            pixels=result["width"] * result["height"],
            seconds=result["seconds"],
            warnings=result.get("warnings", []),
            result={**result, "output": source.item.target},
        )

    def write(self, coded: CodedItem) -> Outcome:
        """Write the target, unless another's file is in its place."""
        item = coded.item
        try:
            if not self._is_written(coded):
                storage.write(item.target, coded.data, overwrite=self._may_replace(item))
        except VrcError as error:
            return _failure(item, error, transient=_is_io_error(error))
        return coded.outcome

    def _is_written(self, coded: CodedItem) -> bool:
        """Whether a run, or a worker, that was killed before it logged the outcome has written the same."""
        unlogged = self.resume or coded.item.reassigned
        if not unlogged or storage.size(coded.item.target) != len(coded.data):
            return False
        return storage.read(coded.item.target) == coded.data

    def _may_replace(self, item: Item) -> bool:
        """Whether what is there is an older result of the same picture, or may go anyway."""
        if self.overwrite:
            return True
        previous = item.previous
        if not self.resume or previous is None or not is_of(previous.source, item.source):
            return False
        return storage.size(item.target) == previous.bytes


def _is_intact(target: str) -> bool:
    """Whether the checksums of a .vrc file are right; other formats have none that are cheap to check."""
    if storage.read_range(target, 0, len(MAGIC)) != MAGIC:
        return not target.endswith(".vrc")
    try:
        inspect(storage.read(target))
    except VrcError:
        return False
    return True


def _is_io_error(error: VrcError) -> bool:
    return error.__cause__ is not None


def _failure(item: Item, error: VrcError, *, transient: bool) -> Outcome:
    message = str(error)
    if item.source not in message and item.target not in message:
        message = f"{item.source}: {message}"
    return item.failure(message, type(error).__name__, transient=transient)
