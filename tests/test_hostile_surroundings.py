"""Every command in hostile surroundings: it does its work, or says in a sentence why not; no mess is left."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.extent import THOROUGH
from tests.surroundings import COMMANDS, SURROUNDINGS, Command, Ended, Surroundings, run_in
from vrcodec.bitstream.inspection import check_structure
from vrcodec.catalog import WEIGHTS_VARIABLE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

# In this every command is tried in any case: it breaks what all commands share.
_WORST = "all closed"


def cells() -> Iterator[tuple[str, str]]:
    """All pairs; or each of the surroundings with the next quick command, and all commands in the worst."""
    names = list(SURROUNDINGS)
    quick = [name for name, command in COMMANDS.items() if command.quick]
    sample = {(name, quick[number % len(quick)]) for number, name in enumerate(names)}
    sample |= {(_WORST, command) for command in COMMANDS}
    for surroundings in names:
        for command in COMMANDS:
            if THOROUGH or (surroundings, command) in sample:
                yield surroundings, command


@cache
def usually(command: str) -> Ended:
    """How a command ends where nothing is unusual."""
    with TemporaryDirectory() as folder:
        return run_in(Path(folder), SURROUNDINGS["usual"], COMMANDS[command])


@pytest.mark.parametrize(("surroundings", "name"), cells())
def test_every_command_everywhere(tmp_path: Path, surroundings: str, name: str) -> None:
    place, command = SURROUNDINGS[surroundings], COMMANDS[name]
    ended = run_in(tmp_path, place, command)
    codes = {command.code, *place.codes} | ({1} if command.several and place.codes else set())
    assert ended.code in codes, ended.errors
    for word in ("Traceback", "internal error", "Exception ignored", "Warning"):
        assert word not in ended.errors, ended.errors
    assert not [path for path in ended.files if Path(path).name.startswith(".")]
    assert not ended.code or place.mute or has_sentences(ended.errors, command), ended.errors
    if command.output is not None:
        assert set(ended.files) <= {command.output}
        assert ended.code or ended.files
        check_result(ended, name, place)


def has_sentences(errors: str, command: Command) -> bool:
    """Whether one line is an error of ours, or of click's on its use; of several files, one at least."""
    told = [line for line in errors.splitlines() if line.startswith(("vrcodec: ", "Error: "))]
    return len(told) == 1 or (command.several and len(told) > 1)


def check_result(ended: Ended, name: str, place: Surroundings) -> None:
    """What was written is as in usual surroundings, or can be read at least."""
    for path, content in ended.files.items():
        if WEIGHTS_VARIABLE in place.environment and path.endswith(".vrc"):
            # By the weights of the package.
            check_structure(content)
        elif COMMANDS[name].repeatable:
            assert content == usually(name).files[path]
        else:
            json.loads(content)
