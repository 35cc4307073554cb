"""`vrcodec batch --engine ray` on a Ray of this machine; needs the extra 'ray'."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.batching import DeadlyEncoding, encode_work, is_whole, make_photographs
from tests.extent import thorough_only
from vrcodec.batch.inputs import ENCODE_SUFFIXES
from vrcodec.batch.log import read_log
from vrcodec.batch.manifest import Manifest, Shard
from vrcodec.batch.processor import ItemProcessor
from vrcodec.batch.shard_run import ShardRun
from vrcodec.cli.shared.many_files import track_outcomes

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A Ray of three processors, for all tests."""
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@thorough_only
def test_a_killed_worker_loses_and_doubles_nothing(tmp_path: Path) -> None:
    pictures = make_photographs(tmp_path / "in", 20)
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    manifest = tmp_path / "list.txt"
    listed = [*pictures, tmp_path / "in" / "broken.png"]
    manifest.write_text("".join(f"{p}\t{p.stem}.vrc\n" for p in listed))
    out = tmp_path / "out"
    deadly = DeadlyEncoding(encode_work("gained"), "005.png", tmp_path)
    log = str(tmp_path / "log.jsonl")
    share = ShardRun(
        Manifest(str(manifest), str(out), ".vrc", ENCODE_SUFFIXES),
        Shard(),
        ItemProcessor(deadly, overwrite=False, resume=True),
        engine="ray",
        jobs=2,
        retries=2,
        gpus=0.0,
        log=log,
    )
    totals, interrupted = track_outcomes(share.outcomes(), None, log)
    assert (tmp_path / "killed").exists()
    assert not interrupted
    assert (totals.done, totals.failed) == (20, 1)
    outcomes = list(read_log(log))
    assert sorted(o.source for o in outcomes) == sorted(map(str, listed))
    assert sorted(p.stem for p in out.iterdir()) == [p.stem for p in pictures]
    assert all(is_whole(path) for path in out.iterdir())
    again, _ = track_outcomes(share.outcomes(), None, log)
    assert (again.done, again.skipped, again.failed) == (0, 20, 1)


@pytest.mark.long
def test_the_command(run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_photographs(tmp_path / "in", 4)
    options = ("--out", "out", "--model", "gained", "--jobs", "1")
    assert run("batch", "encode", "--manifest", "in", *options, "--engine", "ray") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["done"], report["engine"]) == (4, "ray")
    ray_made = {p.name: p.read_bytes() for p in (tmp_path / "out").rglob("*.vrc")}
    options = ("--out", "local", "--model", "gained", "--jobs", "1")
    assert run("batch", "encode", "--manifest", "in", *options) == 0
    assert ray_made == {p.name: p.read_bytes() for p in (tmp_path / "local").rglob("*.vrc")}
