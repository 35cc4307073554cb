"""Mutated files: no traceback, no hang, no memory, no wrong picture (tests/fuzz)."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import GOLDEN, ROOT
from tests.extent import extent
from tests.fuzz.honest import corpus, honest_files
from tests.fuzz.judge import Judge, ViolationError, claims, forgiving
from tests.fuzz.mutations import MUTATIONS, mutate
from tests.fuzz.sketch import take_apart
from vrcodec.codec import Decoder
from vrcodec.errors import CorruptError

# Far above what any of them takes: a machine that does other things must not fail the test.
PATIENCE = 20.0


@pytest.fixture
def files() -> dict[str, bytes]:
    return honest_files()


def test_what_is_kept_decodes_or_is_refused() -> None:
    judge = Judge(PATIENCE)
    for data in corpus():
        judge.judge(data)
    for name, data in honest_files().items():
        assert judge.judge(data, data).code == 0, name


def test_the_corpus_stays_small() -> None:
    assert sum(map(len, corpus())) < 300_000


def test_files_are_taken_apart_and_put_together_again(files: dict[str, bytes]) -> None:
    for name, data in files.items():
        sketch = take_apart(data)
        assert sketch is not None
        assert sketch.build() == data, name


def test_mutated_files(files: dict[str, bytes]) -> None:
    rng, judge = random.Random(1), Judge(PATIENCE)
    names, others = list(files), list(files.values())
    for _ in range(count := extent(750, 3000)):
        name = rng.choice(names)
        mutant = mutate(files[name], rng, others)
        judge.judge(mutant, files[name])
    # Every way to end is met, and most mutants are not refused at the door.
    assert set(judge.counts) == {0, 4, 5, 6, 7}
    assert judge.counts[0] > count // 20


def test_mutated_files_whose_symbols_pass_for_right(files: dict[str, bytes]) -> None:
    """Whatever numbers reach the networks, a picture comes out, or an error of ours."""
    rng, judge = random.Random(2), Judge(PATIENCE)
    names, others = list(files), list(files.values())
    with forgiving():
        for _ in range(count := extent(500, 2000)):
            judge.judge(mutate(files[rng.choice(names)], rng, others))
    assert judge.counts[0] > count // 14


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_every_mutation_changes_something(mutation: object, files: dict[str, bytes]) -> None:
    rng = random.Random(3)
    for _ in range(200):
        data = rng.choice(list(files.values()))
        sketch = take_apart(data)
        assert sketch is not None
        mutation(sketch, rng)  # type: ignore[operator]
        if sketch.build() != data:
            return
    pytest.fail("changed nothing")


def violation(judge: Judge, data: bytes, original: bytes) -> str:
    """What the judge has to say against a file."""
    try:
        judge.judge(data, original)
    except ViolationError as error:
        return str(error)
    return ""


def test_the_judge_notices(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    judge, data = Judge(PATIENCE), files["photograph"]
    with pytest.raises(ViolationError, match="took"):
        Judge(0.0).judge(data)
    sketch = take_apart(data)
    assert sketch is not None
    own = sketch.parts[0].payload
    damaged = []
    # The first coded words are what is read last: few symbols change.
    for place in range(6, 60):
        changed = bytes([own[place] ^ 0x10])
        sketch.parts[0].payload = own[:place] + changed + own[place + 1 :]
        damaged.append(sketch.build())
        assert claims(damaged[-1]) == claims(data)
        assert judge.judge(damaged[-1], data).code == CorruptError.exit_code
    with forgiving():
        assert any("another picture" in violation(judge, one, data) for one in damaged)

    def broken(*arguments: object, **options: object) -> None:
        raise KeyError(1)

    monkeypatch.setattr(Decoder, "reconstruct", broken)
    with pytest.raises(ViolationError, match="KeyError"):
        judge.judge(data)


def test_forgiving_ends(files: dict[str, bytes]) -> None:
    with forgiving():
        pass
    damaged = take_apart(files["dot"])
    assert damaged is not None
    damaged.parts[0].payload = (
        bytes([damaged.parts[0].payload[0] ^ 1]) + damaged.parts[0].payload[1:]
    )
    with pytest.raises(CorruptError):
        Decoder().decode(damaged.build())
    assert np.asarray(Decoder().decode(files["dot"]).pixels).shape == (1, 1, 3)


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs atheris")
def test_a_guided_run_finds_nothing(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", f"-runs={extent(1000, 4000)}", "-seed=1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "VRCODEC_WEIGHTS": str(GOLDEN)},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode()[-2000:]
    assert list(tmp_path.iterdir()) == []
