"""What one failure costs when many inputs are coded by several workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.batching import BatchPreparing, Echo, Fragile, make_sources
from vrcodec.batch.pool import run_in_pool
from vrcodec.batch.processor import ItemProcessor


def test_a_worker_that_is_killed_costs_its_picture(tmp_path: Path) -> None:
    contents = {f"{n}": b"fine" for n in range(12)} | {"k": b"deadly", "b": b"bad", "z": b"bug"}
    items = make_sources(tmp_path / "in", contents)
    work = Fragile(folder=tmp_path)
    found = list(run_in_pool(ItemProcessor(work, overwrite=False, resume=False), items, jobs=2))
    assert sorted(o.source for o in found) == sorted(i.source for i in items)
    errors = {Path(o.source).name: o.error for o in found if o.outcome == "failed"}
    assert set(errors) == {"k", "b", "z"}
    assert "SIGKILL" in errors["k"]
    assert "ZeroDivisionError" in errors["z"]
    # Of what the killed one had begun to write, the temporary file may be left.
    written = {path.name for path in (tmp_path / "in" / "out").glob("*.x")}
    assert written == {f"{n}.x" for n in range(12)}


def test_what_a_dead_worker_had_written_is_done(tmp_path: Path) -> None:
    """It died before it could say so: the same result is taken for its own, another is not touched."""
    items = make_sources(tmp_path, {"same": b"fine", "other": b"fine"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "same.x").write_bytes(b"!fine")
    (tmp_path / "out" / "other.x").write_bytes(b"mine!")
    processor = ItemProcessor(Echo(), overwrite=False, resume=False)
    assert [processor.process(item).outcome for item in items] == ["failed", "failed"]
    returned = [replace(item, reassigned=True) for item in items]
    assert [processor.process(item).outcome for item in returned] == ["done", "failed"]
    assert (tmp_path / "out" / "other.x").read_bytes() == b"mine!"


def test_death_among_several_costs_one_picture(tmp_path: Path) -> None:
    """A worker that dies while it prepares a batch: the culprit is found when items are taken one by one."""
    contents = {f"{k}": b"deadly" if k == 3 else b"good" for k in range(8)}
    items = make_sources(tmp_path, contents)
    work = BatchPreparing(folder=tmp_path)
    found = {
        Path(o.source).name: o.outcome
        for o in run_in_pool(ItemProcessor(work, False, False), items, 2)
    }
    assert found == {name: "failed" if name == "3" else "done" for name in contents}


def test_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    items = make_sources(tmp_path / "in", {"k": b"deadly", "a": b"fine"})
    processor = ItemProcessor(Fragile(folder=tmp_path, lives=1), overwrite=False, resume=False)
    found = list(run_in_pool(processor, items, jobs=1, retries=1))
    assert sorted(o.outcome for o in found) == ["done", "done"]


def test_workers_end_with_their_iterator(tmp_path: Path) -> None:
    items = make_sources(tmp_path / "in", {str(n): b"fine" for n in range(50)})
    running = run_in_pool(ItemProcessor(Echo(), overwrite=False, resume=False), items, jobs=2)
    next(running)
    running.close()
    import multiprocessing

    assert not multiprocessing.active_children()
    assert not list((tmp_path / "in").rglob("*.part"))
