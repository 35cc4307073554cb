"""`vrcodec bench --resume`: what was measured is kept and taken up, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.bench.conftest import Measure
from tests.bench.reports import FEW, document
from tests.conftest import ROOT
from vrcodec.bench.cache import Cache
from vrcodec.bench.codecs import Codec
from vrcodec.bench.measure import RoundTrip, Sample
from vrcodec.errors import OutputError
from vrcodec.picture.picture import Picture

Run = Callable[..., int]


def test_resuming_measures_only_what_is_missing(
    run: Run, folder: Path, tmp_path: Path, measured: list[int]
) -> None:
    assert run("bench", folder, *FEW, "--json", "first.json") == 0
    assert len(measured) == 6
    measured.clear()
    assert run("bench", folder, *FEW, "--resume", "--json", "second.json") == 0
    assert measured == []
    first, second = document(tmp_path / "first.json"), document(tmp_path / "second.json")
    assert first["curves"] == second["curves"]
    assert run("bench", folder, "--rates", "0:1:0.125", "--rivals", "none", "--resume") == 0
    assert measured == [4, 4, 4]
    measured.clear()
    assert run("bench", folder, *FEW) == 0
    assert len(measured) == 6, "without --resume nothing is taken from earlier runs"


def test_other_weights_are_measured_anew(
    run: Run, folder: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("bench", folder, "--rates", "0", "--rivals", "none", "--resume")
    assert run(*arguments) == 0
    monkeypatch.delenv("VRCODEC_WEIGHTS")
    assert run(*arguments) == 0
    assert measured == [1] * 6


def test_a_torn_cache_is_no_obstacle(run: Run, folder: Path, tmp_path: Path) -> None:
    arguments = ("bench", folder, *FEW, "--resume", "--cache", "kept")
    assert run(*arguments) == 0
    kept = tmp_path / "kept" / "results.jsonl"
    kept.write_bytes(kept.read_bytes()[:-40] + b'\n[["x"], 3]\nnull\n')
    assert run(*arguments) == 0


def test_fewer_metrics_are_taken_from_more(
    run: Run, folder: Path, tmp_path: Path, measured: list[int]
) -> None:
    arguments = ("bench", folder / "grey.png", "--rates", "0", "--rivals", "none", "--resume")
    assert run(*arguments, "--metrics", "psnr,ms-ssim") == 0
    assert run(*arguments, "--rates", "0,1", "--metrics", "psnr", "--json", "out.json") == 0
    assert measured == [1, 1]
    assert "ms-ssim" not in document(tmp_path / "out.json")["results"]


def test_a_result_is_not_joined_to_half_a_line(
    run: Run, folder: Path, tmp_path: Path, measured: list[int]
) -> None:
    arguments = ("bench", folder / "grey.png", "--rivals", "none", "--resume", "--cache", "kept")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "results.jsonl").write_text('[["gai')
    for _ in range(2):
        assert run(*arguments, "--rates", "0") == 0
    assert measured == [1]


def test_an_interrupt_keeps_what_was_finished(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Measure = RoundTrip.measure
    calls = 0

    def measure(
        self: RoundTrip, codec: Codec, picture: Picture, points: Sequence[float]
    ) -> Iterator[Sample]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return original(self, codec, picture, points)

    monkeypatch.setattr(RoundTrip, "measure", measure)
    assert run("bench", folder, *FEW, "--json", "out.json") == 130
    found = document(tmp_path / "out.json")
    assert found["interrupted"]
    assert [picture["name"] for picture in found["pictures"]] == ["astronaut.png"]
    assert run("bench", folder, *FEW, "--json", "out.json", "-f", "--resume") == 0
    # Three were there, three were not.
    assert calls == 4 + 3
    assert len(document(tmp_path / "out.json")["pictures"]) == 3


def test_results_count_where_none_can_be_kept(
    run: Run,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The disk runs full behind the first result."""
    original = Cache.put
    calls = 0

    def put(self: Cache, *rest: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OutputError("results.jsonl: cannot be written: No space left on device")
        original(self, *rest)

    monkeypatch.setattr(Cache, "put", put)
    assert run("bench", folder, *FEW, "--json", "out.json") == 1
    assert capsys.readouterr().err.count("No space left") == 1
    assert len(document(tmp_path / "out.json")["pictures"]) == 3


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups")
def test_the_processes_of_a_killed_run_end(folder: Path, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "vrcodec", "bench", str(folder), "--rivals", "none")
    process = subprocess.Popen(
        (*command, "--jobs", "2", "--cache", "kept"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    kept = tmp_path / "kept" / "results.jsonl"
    assert wait_until(lambda: kept.exists() and kept.stat().st_size > 0)
    process.kill()
    process.wait()
    assert wait_until(lambda: not group_exists(process.pid))


def wait_until(holds: Callable[[], bool]) -> bool:
    """Whether it holds within a minute and a half."""
    end = time.monotonic() + 90
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
