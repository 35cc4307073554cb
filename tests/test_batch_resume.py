"""What is skipped, renewed or left alone when many inputs are coded again, and the log that tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.batching import Echo, make_sources
from vrcodec.batch.items import Item, Outcome
from vrcodec.batch.log import Log, read_last_results
from vrcodec.batch.processor import ItemProcessor
from vrcodec.cli.shared.many_files import hash_settings


def test_settings_are_told_apart(tmp_path: Path) -> None:
    shape = tmp_path / "map.npy"
    shape.write_bytes(b"one")
    key = hash_settings({"rate": 0.5, "map_file": shape, "threads": 1})
    assert key == hash_settings({"rate": 0.5, "map_file": shape, "threads": 8})
    assert key != hash_settings({"rate": 0.6, "map_file": shape})
    shape.write_bytes(b"two")
    assert key != hash_settings({"rate": 0.5, "map_file": shape})


@pytest.fixture
def one(tmp_path: Path) -> Item:
    (item,) = make_sources(tmp_path / "in", {"a": b"one"})
    return item


def again(item: Item, known: Outcome | None, work: Echo | None = None) -> Outcome:
    processor = ItemProcessor(work or Echo(), overwrite=False, resume=True)
    return processor.process(Item(item.source, item.target, known))


def test_up_to_date_is_skipped(one: Item) -> None:
    first = again(one, None)
    assert first.outcome == "done"
    assert again(one, first).outcome == "skipped"


@pytest.mark.parametrize("change", ["source", "settings", "weights", "target", "gone"])
def test_what_has_changed_is_renewed(one: Item, change: str) -> None:
    first = again(one, None)
    work = Echo()
    if change == "source":
        Path(one.source).write_bytes(b"other")
    elif change == "gone":
        Path(one.target).unlink()
    elif change == "target":
        Path(one.target).write_bytes(b"cut")
    else:
        work = Echo(**{change: "new"})
    second = again(one, first, work)
    if change == "target":
        # Not what we left there: somebody's own.
        assert second.outcome == "failed"
        assert Path(one.target).read_bytes() == b"cut"
        return
    assert second.outcome == "done"
    assert Path(one.target).read_bytes() == b"!" + Path(one.source).read_bytes()


def test_what_was_written_before_the_log_is_recognised(one: Item) -> None:
    again(one, None)
    before = Path(one.target).stat().st_mtime_ns
    assert again(one, None).outcome == "done"
    assert Path(one.target).stat().st_mtime_ns == before


def test_nothing_of_others_is_overwritten(one: Item) -> None:
    Path(one.target).parent.mkdir()
    Path(one.target).write_bytes(b"precious")
    for resume in (False, True):
        outcome = ItemProcessor(Echo(), overwrite=False, resume=resume).process(one)
        assert outcome.error_class == "OutputError"
    assert Path(one.target).read_bytes() == b"precious"
    assert ItemProcessor(Echo(), overwrite=True, resume=False).process(one).outcome == "done"


def test_the_result_of_another_picture_is_not_renewed(one: Item) -> None:
    first = again(one, None)
    written = Path(one.target).read_bytes()
    other = Path(one.source).with_name("other")
    other.write_bytes(b"another picture")
    second = again(Item(str(other), one.target), first)
    assert second.error_class == "OutputError"
    assert Path(one.target).read_bytes() == written


def test_a_log_outlives_its_writer(tmp_path: Path) -> None:
    place = str(tmp_path / "deep" / "log.jsonl")
    log = Log(place)
    log.add(Outcome("a", "a.vrc", "done", bytes=1))
    log.close()
    with open(place, "ab") as file:
        file.write(b'{"source": "b", "targ')
    log = Log(place)
    log.add(Outcome("c", "c.vrc", "done", bytes=2))
    log.add(Outcome("a", "a.vrc", "failed"))
    log.close()
    assert {k: v.bytes for k, v in read_last_results(place).items()} == {"a.vrc": 1, "c.vrc": 2}
