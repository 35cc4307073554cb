"""Holding a decoder against the set."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from conformance.cases import Decoded, Refused

Samples = npt.NDArray[np.int16]

# Input and output -> exit code: what decodes a file to a PNG.
DecodeFile = Callable[[Path, Path], int]
# Input -> SHA-256 of its symbols, in hexadecimal.
HashSymbols = Callable[[Path], str]

# Exit codes above are those of shells for programs that a signal has ended.
_LAST_EXIT_CODE = 125
_METADATA = ("icc_profile", "exif", "xmp")
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")


@dataclass(frozen=True)
class Result:
    """What came of a case: ``problem`` is None where all is well."""

    file: Path
    problem: str | None


class CommandError(Exception):
    """A command that did not end by itself, or printed nothing."""


@dataclass(frozen=True)
class Command:
    """A command with ``{input}`` and ``{output}`` in it, as words or parts of them."""

    template: str
    timeout: float = 60.0

    def decode(self, source: Path, output: Path) -> int:
        """Run it, and return its exit code. Raises CommandError."""
        return self._run(input=source, output=output).returncode

    def print_symbols(self, source: Path) -> str:
        """The first word that it prints. Raises CommandError."""
        words = self._run(input=source).stdout.split()
        if not words:
            raise CommandError("no hash was printed")
        return words[0]

    def _run(self, **places: Path) -> subprocess.CompletedProcess[str]:
        words = [word.format(**places) for word in shlex.split(self.template)]
        try:
            return subprocess.run(words, capture_output=True, text=True, timeout=self.timeout)
        except subprocess.TimeoutExpired:
            raise CommandError(f"took longer than {self.timeout:g} s") from None
        except OSError as error:
            raise CommandError(f"{words[0]} cannot be run: {error.strerror}") from error


def check_all(
    cases: Iterable[Decoded | Refused],
    decode: DecodeFile,
    decode_partial: DecodeFile | None = None,
    hash_symbols: HashSymbols | None = None,
) -> Iterator[Result]:
    """Hold a decoder against each case. Cases that end early need ``decode_partial``, and are left out without.

    ``hash_symbols``: also compares the symbols, but for those of files that end early.
    """
    for case in cases:
        chosen = decode
        if isinstance(case, Decoded) and case.partial:
            if decode_partial is None:
                continue
            chosen = decode_partial
        try:
            problem = _check(case, chosen)
            if problem is None and hash_symbols and isinstance(case, Decoded):
                problem = _check_symbols(case, hash_symbols)
        except CommandError as error:
            problem = str(error)
        yield Result(case.file, problem)


def _check(case: Decoded | Refused, decode: DecodeFile) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "decoded.png"
        code = decode(case.file, output)
        if not 0 <= code <= _LAST_EXIT_CODE:
            return f"ended by a signal, with exit code {code}"
        if isinstance(case, Refused):
            if code == 0 or output.exists():
                return f"decoded, and must be refused: {case.why}"
            return None
        if code != 0:
            return f"refused, with exit code {code}"
        return compare(case, output)


def _check_symbols(case: Decoded, hash_symbols: HashSymbols) -> str | None:
    if case.symbols is None or case.partial or hash_symbols(case.file) == case.symbols:
        return None
    return "other symbols"


def compare(case: Decoded, output: Path) -> str | None:
    """In which way a decoded PNG is not the picture of ``case``; None where it is."""
    try:
        with Image.open(case.picture) as expected, Image.open(output) as found:
            for key in _METADATA:
                if key in expected.info and found.info.get(key) != expected.info[key]:
                    return f"{key} is missing or another one"
            if found.mode not in _MODES:
                return f"a picture of mode {found.mode}, where 8 bits a sample are expected"
            return _compare_samples(case, _rgba(expected), _rgba(found))
    except (OSError, UnidentifiedImageError) as error:
        return f"no picture: {error}"


def _compare_samples(case: Decoded, expected: Samples, found: Samples) -> str | None:
    if expected.shape != found.shape:
        height, width = found.shape[:2]
        return (
            f"{width} x {height} pixels where there are {expected.shape[1]} x {expected.shape[0]}"
        )
    allowed = np.full_like(expected, case.tolerance)
    allowed[:, :, 3] = 0
    for left, top, width, height in case.exact:
        allowed[top : top + height, left : left + width] = 0
    difference = np.abs(expected - found)
    wrong = np.argwhere(difference > allowed)
    if not len(wrong):
        return None
    row, column, channel = wrong[0].tolist()
    return (
        f"{len(wrong)} samples differ, the first in column {column}, row {row}, {'RGBA'[channel]}: "
        f"{found[row, column, channel]} where {expected[row, column, channel]} is expected"
    )


def _rgba(image: Image.Image) -> Samples:
    return np.asarray(image.convert("RGBA")).astype(np.int16)
