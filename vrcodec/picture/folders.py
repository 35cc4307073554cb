"""Finding the pictures in folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vrcodec import extras
from vrcodec.errors import InputError
from vrcodec.picture.intake.file_kind import EXTRA_FORMATS

if TYPE_CHECKING:
    from vrcodec.picture.picture import Picture

PICTURE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
).union(*(extra.suffixes for extra in EXTRA_FORMATS))


def missing_extra(suffix: str) -> str | None:
    """The extra of this package that reads pictures with this suffix, where it is needed and not there."""
    for extra in EXTRA_FORMATS:
        if suffix in extra.suffixes and not extras.is_installed(extra.module):
            return extra.extra
    return None


def find_pictures(
    paths: Sequence[Path], on_unreadable: Callable[[InputError], None] | None = None
) -> list[Path]:
    """Picture files below the folders among ``paths``, by suffix, and the files among them; sorted.

    Of folders, what is no file, such as a pipe or another folder, is none, whatever it is called.
    ``on_unreadable`` is told of folders that cannot be listed; without it they are errors, too. Raises
    InputError, also when there is no picture.
    """
    files = {path for path in paths if not os.path.isdir(path)}
    for folder in paths:
        if os.path.isdir(folder):
            below = _files_below(folder, on_unreadable or _refuse)
            files.update(path for path in below if _is_picture_file(path))
    if not files:
        raise InputError(f"no pictures below {', '.join(map(str, paths))}")
    return sorted(files)


def _refuse(error: InputError) -> None:
    raise error


def _files_below(folder: Path, on_unreadable: Callable[[InputError], None]) -> Iterator[Path]:
    def note(error: OSError) -> None:
        on_unreadable(InputError(f"{error.filename}: cannot be listed: {error.strerror}"))

    for root, _, names in os.walk(folder, onerror=note):
        yield from (Path(root, name) for name in names)


def _is_picture_file(path: Path) -> bool:
    # A link to nothing is one that cannot be read, which its reader will say.
    is_file = os.path.isfile(path) or not os.path.exists(path)
    return path.suffix.lower() in PICTURE_SUFFIXES and is_file


def read_folder(folder: Path) -> dict[str, Picture]:
    """The colours of every picture below ``folder``, by file name. Raises InputError or LimitError."""
    from vrcodec.picture.reading import open_colours

    return {path.name: open_colours(path) for path in find_pictures([folder])}
