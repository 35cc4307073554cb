"""Finding the pictures in folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
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


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Picture files below the folders among ``paths``, by suffix, and the files among them; sorted.

    Of folders, what is no file, such as a pipe or another folder, is none, whatever it is called.
    Raises InputError when there is none.
    """
    files = {path for path in paths if not os.path.isdir(path)}
    for folder in paths:
        if os.path.isdir(folder):
            files.update(path for path in folder.rglob("*") if _is_picture_file(path))
    if not files:
        raise InputError(f"no pictures below {', '.join(map(str, paths))}")
    return sorted(files)


def _is_picture_file(path: Path) -> bool:
    # A link to nothing is one that cannot be read, which its reader will say.
    is_file = os.path.isfile(path) or not os.path.exists(path)
    return path.suffix.lower() in PICTURE_SUFFIXES and is_file


def read_folder(folder: Path) -> dict[str, Picture]:
    """The colours of every picture below ``folder``, by file name. Raises InputError or LimitError."""
    from vrcodec.picture.reading import open_colours

    return {path.name: open_colours(path) for path in find_pictures([folder])}
