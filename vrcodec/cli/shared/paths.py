"""Input and output paths of commands: files, folders, stdin and stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import click

from vrcodec.batch import storage
from vrcodec.bitstream.schema import MAGIC
from vrcodec.bitstream.source import FileSource, Source
from vrcodec.cli.shared.output import to_stdout
from vrcodec.errors import (
    FormatError,
    InputError,
    LimitError,
    OutputError,
    UsageError,
    VrcError,
)
from vrcodec.files import check_absent, open_descriptor, read_at_most, write_atomically
from vrcodec.limits import DEFAULT_LIMITS

# Stands for stdin or stdout.
STDIO = "-"


def read_picture_file(name: str) -> bytes:
    """All bytes of a picture, from a file or stdin. Raises InputError or LimitError."""
    with _open_input(name) as file:
        return _read_limited(file, name, b"")


def read_vrc_file(name: str) -> bytes:
    """All bytes of a .vrc file. Other files are refused by their first bytes. Raises VrcError."""
    with _open_input(name) as file:
        head = file.read(len(MAGIC))
        _check_magic(head, name)
        return _read_limited(file, name, head)


@contextmanager
def open_vrc_source(name: str, *, whole: bool) -> Iterator[Source]:
    """The bytes of a .vrc file; those of a regular file are read as needed, unless the ``whole`` is wanted.

    Other files are refused by their first bytes. Raises VrcError.
    """
    if whole or name == STDIO or not os.path.isfile(name):
        yield read_vrc_file(name)
        return
    with ExitStack() as stack:
        with _as_input_error(name):
            source = FileSource(stack.enter_context(Path(name).open("rb")))
        _check_magic(source[: len(MAGIC)], name)
        _check_size(len(source), name)
        yield source


def _check_magic(head: bytes, name: str) -> None:
    if not head or not MAGIC.startswith(head):
        raise FormatError(f"{display_name(name)}: not a vrc file")


def _check_size(size: int, name: str) -> None:
    limit = DEFAULT_LIMITS.max_file_bytes
    if size > limit:
        raise LimitError(f"{display_name(name)}: more than {limit} bytes")


@contextmanager
def _open_input(name: str) -> Iterator[BinaryIO]:
    with _as_input_error(name):
        if name == STDIO:
            yield stdin_bytes()
        else:
            with Path(name).open("rb") as file:
                yield file


def stdin_bytes() -> BinaryIO:
    """Standard input. Raises InputError where it is closed."""
    if sys.stdin is None:
        raise InputError("<stdin>: is closed")
    return sys.stdin.buffer


@contextmanager
def _as_input_error(name: str) -> Iterator[None]:
    """Errors of the body, which opens or reads an input, as InputError."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        if storage.is_url(name):
            reason = "only encode and decode take URLs"
        raise InputError(f"{display_name(name)}: cannot be read: {reason}") from error


def _read_limited(file: BinaryIO, name: str, head: bytes) -> bytes:
    data = read_at_most(file, DEFAULT_LIMITS.max_file_bytes + 1 - len(head))
    _check_size(len(head) + len(data), name)
    return head + data if head else data


def display_name(name: str) -> str:
    """The name of an input in messages; safe to print whatever bytes it has."""
    return "<stdin>" if name == STDIO else click.format_filename(name)


@contextmanager
def prefix_errors(name: str) -> Iterator[None]:
    """Put the input's name in front of the message of any VrcError of the body."""
    try:
        yield
    except VrcError as error:
        error.prefix(display_name(name))
        raise


@dataclass(frozen=True)
class Destination:
    """The file that a result is written to; ``path`` is None for stdout. ``force``: overwrite it."""

    path: Path | None
    force: bool

    def __str__(self) -> str:
        return click.format_filename(self.path) if self.path else "<stdout>"

    def check(self) -> None:
        """Refuse before the work what `write` would refuse after it. Raises UsageError or OutputError."""
        if self.path is None:
            if sys.stdout is None:
                raise OutputError("stdout is closed; name a file with -o")
            if sys.stdout.isatty():
                raise OutputError(
                    "will not write binary data to a terminal; name a file with -o or use a pipe"
                )
            return
        if not self.path.name:
            raise UsageError(f"{self.path}: is not the name of a file")
        if not os.path.isdir(self.path.parent):
            raise OutputError(f"{self.path}: the folder {self.path.parent} does not exist")
        if os.path.isdir(self.path):
            raise OutputError(f"{self.path}: is a folder")
        if not self.force and not is_special(self.path):
            check_absent(self.path)

    def write(self, data: bytes) -> None:
        """Write the result atomically. Raises OutputError."""
        if self.path is not None:
            write_atomically(self.path, data, overwrite=self.force)
            return
        with to_stdout():
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


def is_special(path: Path) -> bool:
    """Whether ``path`` exists and is no regular file, or one that is open already: /dev/null, /dev/stdout."""
    return (os.path.exists(path) and not os.path.isfile(path)) or open_descriptor(path) is not None


def choose_destinations(
    inputs: Sequence[str], target: str | None, suffix: str, force: bool
) -> dict[str, Destination]:
    """The destination of each input's result: by default beside it, with another suffix.

    Raises UsageError or OutputError, before any work is done.
    """
    if len(set(inputs)) < len(inputs):
        raise UsageError("an input is named twice")
    if target is not None and open_descriptor(Path(target)) == 1:
        target = STDIO
    if target not in (None, STDIO) and str(target).endswith("/") and not os.path.isdir(target):
        raise OutputError(f"{target}: the folder does not exist")
    if len(inputs) > 1 and target is not None and not os.path.isdir(target):
        raise UsageError(f"{target}: with several inputs, -o must name an existing folder")
    chosen = {name: _choose_destination(name, target, suffix, force) for name in inputs}
    paths = [destination.path for destination in chosen.values() if destination.path]
    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(f"{path}: two inputs would be written to this file")
    if len(inputs) == 1:
        chosen[inputs[0]].check()
    return chosen


def _choose_destination(name: str, target: str | None, suffix: str, force: bool) -> Destination:
    if target == STDIO or (target is None and name == STDIO):
        return Destination(None, force)
    if target is not None and not os.path.isdir(target):
        path = Path(target)
    else:
        source = Path("stdin" if name == STDIO else name)
        if not source.name:
            raise InputError(f"{name or repr(name)}: is not a file")
        path = source.with_suffix(suffix)
        path = Path(target, path.name) if target else path
    refuse_same_file(path, name)
    return Destination(path, force)


def refuse_same_file(path: Path, name: str) -> None:
    """Raise UsageError where the output would overwrite the input called ``name``, be that forced or not."""
    if name != STDIO and storage.is_same_file(str(path), name):
        raise UsageError(
            f"{display_name(name)}: input and output are the same file; name another for the output"
        )
