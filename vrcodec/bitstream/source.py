"""What the parser of a container reads from: bytes, or an open file of which only parts are read."""

from __future__ import annotations

import os
from typing import BinaryIO

from vrcodec.errors import CorruptError, InputError


class FileSource:
    """An open regular file that is sliced as bytes are; a slice reads just its bytes.

    Slices need a start and an end inside the file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        """Raises InputError, or CorruptError when the file has shrunk meanwhile."""
        start, stop, _ = part.indices(self._size)
        try:
            self._file.seek(start)
            data = self._file.read(max(0, stop - start))
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror or error}") from error
        if len(data) < stop - start:
            raise CorruptError("truncated: it has become shorter while it was read")
        return data


Source = bytes | FileSource
