"""Where input comes from and output goes to: files, folders, stdin and stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vrcodec.errors import InputError, OutputError, UsageError, VrcError
from vrcodec.files import check_absent, write_atomically

STANDARD = "-"


def read_input(name: str) -> bytes:
    """All bytes of a file or of stdin. Raises InputError."""
    if name == STANDARD:
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error


def display_name(name: str) -> str:
    """How messages call an input."""
    return "<stdin>" if name == STANDARD else name


@contextmanager
def about(name: str) -> Iterator[None]:
    """Put the input's name in front of the message of any error raised inside."""
    try:
        yield
    except VrcError as error:
        raise type(error)(f"{display_name(name)}: {error}") from error


@dataclass(frozen=True)
class Destination:
    """Where one result goes; ``path`` is None for stdout."""

    path: Path | None
    force: bool

    def __str__(self) -> str:
        return str(self.path) if self.path else "<stdout>"

    def check(self) -> None:
        """Fail before the work rather than after it. Raises OutputError."""
        if self.path is None:
            if sys.stdout.isatty():
                raise OutputError(
                    "will not write binary data to a terminal; name a file with -o or use a pipe"
                )
            return
        if not self.path.parent.is_dir():
            raise OutputError(f"{self.path}: the folder {self.path.parent} does not exist")
        if self.path.is_dir():
            raise OutputError(f"{self.path}: is a folder")
        if not self.force and not _is_special(self.path):
            check_absent(self.path)

    def write(self, data: bytes) -> None:
        """Write the result, whole or not at all. Raises OutputError."""
        if self.path is not None:
            write_atomically(self.path, data, overwrite=self.force)
            return
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"<stdout>: cannot be written: {error.strerror}") from error


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()


def check_inputs(inputs: Sequence[str], target: str | None) -> None:
    """Refuse combinations that cannot mean anything. Raises UsageError."""
    if inputs.count(STANDARD) > 1:
        raise UsageError("stdin can be read only once")
    if len(inputs) > 1 and target is not None and not Path(target).is_dir():
        raise UsageError(f"{target}: with several inputs, -o must name an existing folder")


def destination(name: str, target: str | None, suffix: str, force: bool) -> Destination:
    """Where the result of input ``name`` goes, by default beside it with ``suffix``.

    Raises UsageError when that is the input itself.
    """
    if target == STANDARD or (target is None and name == STANDARD):
        return Destination(None, force)
    if target is not None and not Path(target).is_dir():
        path = Path(target)
    else:
        stem = Path("stdin" if name == STANDARD else name).with_suffix(suffix)
        path = Path(target, stem.name) if target else stem
    if name != STANDARD and path.exists() and Path(name).exists() and path.samefile(name):
        raise UsageError(f"{name}: input and output are the same file; name another with -o")
    return Destination(path, force)
