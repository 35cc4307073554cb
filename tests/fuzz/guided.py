"""Mutations guided by what code they reach (atheris, which is libFuzzer for Python).

    python -m tests.fuzz.guided [-max_total_time=600] [more options of libFuzzer] [FOLDER]

Starts with the corpus, stops at a violation, and leaves the file that brought it about in the present folder.
What leads to new places is kept in FOLDER.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from pathlib import Path

import atheris

# What is to be guided by must be instrumented while it is imported.
with atheris.instrument_imports(include=["vrcodec"], enable_loader_override=False):
    from tests.conftest import GOLDEN
    from tests.fuzz.honest import corpus
    from tests.fuzz.judge import Judge
    from tests.fuzz.mutations import mutate

_LARGEST = 1 << 16
# Of every so many mutations one is libFuzzer's own, blind to structure.
_BLIND_SHARE = 0.1


def main() -> None:
    """Fuzz until libFuzzer has enough."""
    os.environ["VRCODEC_WEIGHTS"] = str(GOLDEN)
    judge, files = Judge(), corpus()

    def test(data: bytes) -> None:
        judge.judge(data)

    def mutator(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < _BLIND_SHARE:
            return bytes(atheris.Mutate(data, max_size))
        return mutate(data, rng, files)[:max_size]

    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(files):
            Path(folder, str(number)).write_bytes(data)
        options = [
            f"-max_len={_LARGEST}",
            "-timeout=20",
            "-rss_limit_mb=3000",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *options, *sys.argv[1:], folder], test, custom_mutator=mutator)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
