"""Starting is cheap: what each use of the package loads, read in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import GOLDEN, ROOT

HEAVY = ("torch", "compressai", "numpy", "rich.table")


def loaded_by(code: str, folder: Path) -> set[str]:
    """Those of `HEAVY` that are loaded after running ``code``."""
    script = f"{code}\nimport sys, json; print('\\n' + json.dumps(list(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    modules = json.loads(result.stdout.splitlines()[-1])
    return set(HEAVY) & set(modules)


def command(*arguments: str) -> str:
    return f"from vrcodec.cli.main import run; assert run({list(arguments)!r}) == 0"


PHOTOGRAPH = str(GOLDEN / "photograph.vrc")


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import vrcodec", set()),
        (command("--help"), set()),
        (command("encode", "--help"), set()),
        (command("bench", "--help"), set()),
        (command("view", "--help"), set()),
        (command("doctor", "--help"), set()),
        (command("info", PHOTOGRAPH), set()),
        (command("info", "--json", PHOTOGRAPH), set()),
        (f"import vrcodec; vrcodec.inspect(open({PHOTOGRAPH!r}, 'rb').read())", set()),
        (command("verify", PHOTOGRAPH), {"numpy"}),
        (command("models", "--json"), set()),
        (command("decode", PHOTOGRAPH, "-o", "out.png"), {"numpy"}),
        (command("decode", "--threads", "1", PHOTOGRAPH, "-o", "out.png"), {"numpy"}),
        (command("encode", str(GOLDEN / "photograph.png"), "-o", "out.vrc"), {"numpy"}),
    ],
)
def test_loads_no_more_than_it_needs(tmp_path: Path, code: str, allowed: set[str]) -> None:
    assert loaded_by(code, tmp_path) <= allowed


def test_coding_does_not_load_the_compiler(tmp_path: Path) -> None:
    code = command("decode", PHOTOGRAPH, "-o", "out.png")
    script = f"{code}\nimport sys; assert 'torch._dynamo' not in sys.modules"
    subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )


def test_threads_are_counted_before_pytorch_is_loaded(tmp_path: Path) -> None:
    code = (
        "from vrcodec.models.backends import get_threads, set_threads\n"
        "set_threads(1)\n"
        "import sys; assert 'torch' not in sys.modules\n"
        "assert get_threads() == 1\n"
    )
    loaded_by(code, tmp_path)
