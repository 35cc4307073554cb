"""The tree of exceptions, each with its exit code.

VrcError                      exit code
    UsageError                2    options that contradict each other or lie outside their range
    InputError                3    not readable as a picture, or a picture this version cannot keep
    FormatError               4    not a vrc file, or a version or method this program does not know
    CorruptError              5    damaged or truncated, or just made and found to be so (encode --verify)
    WeightsError              6    the weights that a file names are missing, or differ
    LimitError                7    over a limit on pixels, counts or sizes
    TargetError               8    a requested size or quality cannot be reached
    OutputError               9    cannot write, or would overwrite
    DeviceError              10    the device is absent, or out of memory

Every message names the file where there is one, and says what to do. `LeftOutWarning` is what is told by
`warnings` where nothing has failed.
"""

from __future__ import annotations

import errno

_TOO_MANY_FILES = frozenset({errno.EMFILE, errno.ENFILE})


class VrcError(Exception):
    """Base class of all errors that vrcodec raises on purpose."""

    exit_code = 1

    def prefix(self, name: str) -> None:
        """Put the ``name`` of what the error is about in front of its message."""
        self.args = (f"{name}: {self}", *self.args[1:])


class UsageError(VrcError, ValueError):
    """Options that contradict each other or lie outside their range."""

    exit_code = 2


class InputError(VrcError):
    """The input is not readable as a picture, or not one that this version can keep whole."""

    exit_code = 3


class FormatError(VrcError):
    """Not a vrc file, or one of a version or method that this program does not know."""

    exit_code = 4


class CorruptError(VrcError):
    """The file is damaged or truncated."""

    exit_code = 5


class WeightsError(VrcError):
    """The weights that are asked for are missing, or are not the ones that made the file.

    ``id``: of weights that are missing, as hexadecimal digits, for `vrcodec.weights.fetch`.
    """

    exit_code = 6

    def __init__(self, message: str, identity: str | None = None) -> None:
        super().__init__(message)
        self.id = identity


class LimitError(VrcError):
    """The file or picture is over a limit."""

    exit_code = 7


class TargetError(VrcError):
    """A requested size or quality cannot be reached."""

    exit_code = 8


class OutputError(VrcError):
    """The output cannot be written, or exists already."""

    exit_code = 9


class DeviceError(VrcError):
    """The device is absent, or its memory does not suffice."""

    exit_code = 10


class LeftOutWarning(UserWarning):
    """Something of a picture file has no place in a .vrc file: a gain map, a video, bytes behind the end."""


class UnmetTargetWarning(UserWarning):
    """Nothing meets the size or quality that was asked for; the file is the nearest to it."""


def explain_shortage(error: BaseException) -> VrcError | None:
    """The error of ours for one that any line may raise where the system has too little of something.

    None for other errors.
    """
    number = getattr(error, "errno", None)
    # The second is PyTorch's, a RuntimeError.
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or number == errno.ENOMEM:
        return LimitError("not enough memory")
    if number in _TOO_MANY_FILES:
        return LimitError("too many open files; allow more with ulimit -n")
    if number == errno.EAGAIN or "start new thread" in str(error):
        return LimitError("no further process or thread can be started; allow more with ulimit -u")
    if isinstance(error, ImportError):
        cause = error.__cause__ or error.__context__
        if cause is not None and (shortage := explain_shortage(cause)):
            return shortage
        reason = str(error).partition("\n")[0]
        missing = isinstance(error, ModuleNotFoundError)
        why = "" if missing else "there is too little memory, or "
        return DeviceError(
            f"a library cannot be loaded: {reason}; {why}its installation is damaged"
        )
    return None
