"""Damaged files and files that lie: always an error, soon, and no output."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fuzz.bombs import bombs
from tests.fuzz.honest import honest_files
from vrcodec.bitstream.inspection import check_structure
from vrcodec.bitstream.schema import MAGIC
from vrcodec.codec import Decoder
from vrcodec.errors import CorruptError, FormatError, VrcError

Run = Callable[..., int]
FILES = honest_files()
# Every family, with and without what may go with the rate, and of several blocks.
LARGEST = 1200


def refusal(decoder: Decoder, data: bytes) -> int:
    """Exit code with which ``data`` is refused, by `info` and `decode` alike."""
    with pytest.raises(VrcError) as told:
        check_structure(data)
    with pytest.raises(VrcError) as decoded:
        decoder.decode(data)
    assert told.value.exit_code == decoded.value.exit_code
    return decoded.value.exit_code


@pytest.mark.parametrize("name", [n for n, data in FILES.items() if len(data) < LARGEST])
def test_a_file_cut_off_anywhere_is_refused(name: str, decoder: Decoder) -> None:
    data = FILES[name]
    for length in range(len(data)):
        code = refusal(decoder, data[:length])
        few = length < len(MAGIC)
        assert code == CorruptError.exit_code or (few and code == FormatError.exit_code), length


@pytest.mark.parametrize("name", ["gained-low", "qmap_dot", "qarv_dot", "slim-width8"])
def test_a_command_leaves_nothing_of_a_file_cut_off(name: str, run: Run, tmp_path: Path) -> None:
    data = FILES[name]
    for length in (0, 1, 5, 6, 20, 30, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.vrc").write_bytes(data[:length])
        assert run("decode", "cut.vrc", "-q") == (4 if length < 1 else 5)
        assert [path.name for path in tmp_path.iterdir()] == ["cut.vrc"]


@pytest.mark.parametrize("name", FILES)
def test_every_bit_of_a_header_matters(name: str, decoder: Decoder) -> None:
    data = bytearray(FILES[name])
    for bit in range(8 * (9 + data[8] + 4)):
        data[bit // 8] ^= 1 << bit % 8
        assert refusal(decoder, bytes(data)) in (4, 5)
        data[bit // 8] ^= 1 << bit % 8


def test_random_flips_are_detected(decoder: Decoder) -> None:
    rng, names = random.Random(4), list(FILES)
    for _ in range(2000):
        data = bytearray(FILES[rng.choice(names)])
        for _ in range(rng.choice((1, 1, 2, 5))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        # An even number of flips of one bit is none.
        if bytes(data) not in FILES.values():
            assert refusal(decoder, bytes(data)) in (4, 5, 7)


_BOMB_SCRIPT = """
import resource, sys
from tests.fuzz.bombs import bombs
from vrcodec.codec import Decoder
from vrcodec.engine import Engine
from vrcodec.errors import VrcError
from vrcodec.bitstream.inspection import inspect
decoder = Decoder(Engine("cpu", "float32"))
made = dict(bombs())
for name in made:
    data = made[name]()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for reader in (inspect, decoder.decode):
        try:
            reader(data)
        except VrcError as error:
            assert error.exit_code in (4, 5, 7), (name, error)
        else:
            assert reader is inspect, name
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert grown < 300 << 10, (name, grown)
print(len(made))
"""


def test_bombs_are_refused_with_little_memory(tmp_path: Path) -> None:
    """In a process of its own: peaks of memory do not go down again."""
    script = tmp_path / "bombs.py"
    script.write_text(_BOMB_SCRIPT)
    result = subprocess.run(
        [sys.executable, str(script)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode()[-2000:]
    assert int(result.stdout) == len(list(bombs())) > 30
