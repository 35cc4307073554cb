"""`vrcodec batch`: shards, places that are not paths, reports."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.batching import Echo, is_whole, make_photographs
from vrcodec.batch import storage
from vrcodec.batch.inputs import ENCODE_SUFFIXES
from vrcodec.batch.items import Item, Outcome
from vrcodec.batch.log import Log, read_last_results
from vrcodec.batch.manifest import Manifest, Shard, read_shard_lines
from vrcodec.batch.processor import ItemProcessor
from vrcodec.batch.totals import merge_logs
from vrcodec.cli.shared import output
from vrcodec.errors import InputError, OutputError, UsageError

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def empty_memory() -> None:
    fsspec.filesystem("memory").store.clear()


# Shards.


@given(st.lists(st.text("ab\u00e9", max_size=9)), st.integers(1, 12), st.booleans())
def test_every_line_is_in_one_shard(content: list[str], count: int, ended: bool) -> None:
    text = "\n".join(content) + ("\n" if ended else "")
    storage.write("memory://list", text.encode(), overwrite=True)
    found = [
        line
        for i in range(count)
        for line in read_shard_lines("memory://list", Shard(i + 1, count))
    ]
    assert b"".join(found).decode() == text


def test_long_lists_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("vrcodec.batch.manifest._CHUNK_BYTES", 7)
    path = tmp_path / "list"
    path.write_text("".join(f"picture {n}\n" for n in range(100)))
    read: list[int] = []
    own = storage.read_range

    def counted(place: str, start: int, end: int) -> bytes:
        data = own(place, start, end)
        read.append(len(data))
        return data

    monkeypatch.setattr(storage, "read_range", counted)
    found = b"".join(
        line for i in range(10) for line in read_shard_lines(str(path), Shard(i + 1, 10))
    )
    assert found == path.read_bytes()
    assert sum(read) < 1.5 * path.stat().st_size


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/", "a/b", "-1/3", "1/0"])
def test_shards_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        Shard.parse(text)


def manifest(
    tmp_path: Path, text: str, suffix: str = ".vrc", out: str = "out"
) -> list[Item | Outcome]:
    path = tmp_path / "list"
    path.write_text(text)
    return list(Manifest(str(path), out, suffix, ENCODE_SUFFIXES).items(Shard()))


def test_lines_of_a_manifest(tmp_path: Path) -> None:
    text = "x/a.png\nx/a.jpg\n/b.png\tmine.vrc\n\nx/a.png\n../c.png\nd.png\tmine.vrc\r\n"
    found = manifest(tmp_path, text)
    work = [(i.source, i.target) for i in found if isinstance(i, Item)]
    assert work == [
        ("x/a.png", "out/x/a.png.vrc"),
        ("x/a.jpg", "out/x/a.jpg.vrc"),
        ("/b.png", "out/mine.vrc"),
    ]
    failed = [o.source for o in found if isinstance(o, Outcome)]
    assert failed == ["../c.png", "d.png"]
    (item,) = manifest(tmp_path, "x/a.png.vrc\n", ".png")
    assert item.target == "out/x/a.png.png"


def test_a_manifest_as_windows_writes_it(tmp_path: Path) -> None:
    (item,) = manifest(tmp_path, "\ufeffa.png\r\n")
    assert (item.source, item.target) == ("a.png", "out/a.png.vrc")
    path = tmp_path / "list"
    path.write_text("a.png\n", encoding="utf-16")
    for shard in (Shard(), Shard(1, 2), Shard(2, 2)):
        with pytest.raises(UsageError, match="UTF-16"):
            list(Manifest(str(path), "out", ".vrc", ENCODE_SUFFIXES).items(shard))


def test_a_manifest_from_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    listed = Manifest(str(pipe), "out", ".vrc", ENCODE_SUFFIXES)
    with ThreadPoolExecutor(1) as writer:
        writer.submit(pipe.write_text, "a.png\nb.png\n")
        assert [item.source for item in listed.items(Shard())] == ["a.png", "b.png"]
    with pytest.raises(UsageError, match="pipe"):
        list(listed.items(Shard(1, 2)))


def test_a_manifest_overwrites_no_source(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.touch()
    (found,) = manifest(tmp_path, f"{source}\ta.png", out=str(tmp_path))
    assert isinstance(found, Outcome)
    assert "overwritten" in found.error
    other = tmp_path / "b.png"
    found, item = manifest(tmp_path, f"{other}\ta.png\n{source}\tc.vrc\n", out=str(tmp_path))
    assert isinstance(found, Outcome)
    assert "in the list itself" in found.error
    assert isinstance(item, Item)


def test_every_line_of_a_manifest_has_an_outcome(tmp_path: Path) -> None:
    """Also one that is what another line is written to, or that names its target in another way."""
    text = "a.png\tx/b.png\nout/x/b.png\nc.png\tx/./b.png\n \t\n"
    found = manifest(tmp_path, text)
    assert [(type(one), one.source) for one in found] == [
        (Outcome, "a.png"),
        (Item, "out/x/b.png"),
        (Outcome, "c.png"),
    ]
    first, second = manifest(tmp_path, "a.png\tx/b.vrc\nc.png\tx/./b.vrc\n")
    assert isinstance(first, Item)
    assert isinstance(second, Outcome)
    assert "as a.png" in second.error


@pytest.mark.parametrize("target", ["../a.vrc", "x/../../a.vrc", "/a.vrc", "s3://b/a.vrc", "x/"])
def test_targets_stay_below_the_output_folder(tmp_path: Path, target: str) -> None:
    (found,) = manifest(tmp_path, f"a.png\t{target}\n")
    assert isinstance(found, Outcome)
    assert "below the output folder" in found.error


def test_a_manifest_that_becomes_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vrcodec.batch.manifest._CHUNK_BYTES", 7)
    path = tmp_path / "list"
    path.write_text("picture\n" * 9)
    lines = read_shard_lines(str(path), Shard())
    next(lines)
    path.write_text("picture\n")
    with pytest.raises(InputError, match="shorter"):
        list(lines)


# Places.


def test_places_are_alike(tmp_path: Path) -> None:
    for root in (str(tmp_path), f"file://{tmp_path}/b", "memory://bucket"):
        place = storage.join(root, "deep/er/a.bin")
        assert storage.size(place) is None
        with pytest.raises(InputError, match="cannot be read: No such file"):
            storage.read(place)
        storage.write(place, b"0123456789", overwrite=False)
        assert storage.size(place) == 10
        assert storage.read(place) == b"0123456789"
        assert storage.read_range(place, 3, 5) == b"34"
        assert storage.read_range(place, 8, 99) == b"89"
        with pytest.raises(OutputError, match="exists already"):
            storage.write(place, b"", overwrite=False)
        storage.write(place, b"new", overwrite=True)
        assert storage.read(place) == b"new"


def test_places_that_nobody_knows() -> None:
    for place in ("nonsense://x/y", "s3nothing://bucket/key"):
        with pytest.raises(UsageError):
            storage.read(place)
    assert not storage.is_url("C:/a.png")
    assert not storage.is_url("a:b.png")


def test_work_in_memory_and_its_log() -> None:
    storage.write("memory://in/a", b"one", overwrite=False)
    item = Item("memory://in/a", "memory://out/a")
    processor = ItemProcessor(Echo(), overwrite=False, resume=True)
    outcome = processor.process(item)
    assert storage.read("memory://out/a") == b"!one"
    for _ in range(2):
        log = Log("memory://out/log.jsonl")
        log.add(outcome)
        log.close()
    assert len(storage.read("memory://out/log.jsonl").splitlines()) == 2
    known = read_last_results("memory://out/log.jsonl")
    assert (
        processor.process(Item(item.source, item.target, known[item.target])).outcome == "skipped"
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An HTTP server of ``tmp_path``."""
    pytest.importorskip("aiohttp")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

    serving = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))
    )
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    serving.server_close()


# The command.


def batch(run: Run, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict]:
    code = run("batch", *arguments)
    return code, json.loads(capsys.readouterr().out)


def test_shards_of_pictures_from_a_server(
    run: Run, tmp_path: Path, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = make_photographs(tmp_path / "in", 6)
    sources = [f"{server}/in/{p.parent.name}/{p.name}\t{p.stem}.vrc\n" for p in pictures]
    (tmp_path / "list").write_text("".join(sources) + f"{server}/absent.png\n")
    options = ("--out", "out", "--model", "gained", "--jobs", "1", "--retries", "1")
    done = 0
    for shard in ("1/2", "2/2"):
        code, report = batch(
            run, capsys, "encode", "--manifest", f"{server}/list", "--shard", shard, *options
        )
        done += report["done"]
        assert code == (1 if report["failed"] else 0)
        assert report["shard"] == shard
    assert done == 6
    assert report["failed_by_kind"] == {"InputError": 1}
    made = sorted((tmp_path / "out").glob("*.vrc"))
    assert [p.stem for p in made] == [p.stem for p in pictures]
    assert all(map(is_whole, made))
    logs = sorted((tmp_path / "out" / "vrcodec-logs").iterdir())
    assert [p.name for p in logs] == ["00001-of-00002.jsonl", "00002-of-00002.jsonl"]
    code, merged = batch(run, capsys, "report", *logs)
    assert (code, merged["done"], merged["failed"], merged["logs"]) == (1, 6, 1, 2)
    assert merged["megapixels"] == round(6 * 64 * 64 / 1e6, 6)


def test_a_shard_that_is_started_again_does_nothing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_photographs(tmp_path / "in", 3)
    options = ("--manifest", "in", "--out", "out", "--jobs", "1", "--report", "report.json")
    encode = ("encode", *options, "--model", "gained")
    assert batch(run, capsys, *encode)[1]["done"] == 3
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.vrc")}
    assert len(before) == 3
    code, report = batch(run, capsys, *encode)
    assert (code, report["done"], report["skipped"]) == (0, 0, 3)
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.vrc")}
    decode = ("decode", "--manifest", "out", "--out", "back", "--jobs", "1")
    assert batch(run, capsys, *decode)[1]["done"] == 3
    assert sorted(p.name for p in (tmp_path / "back").rglob("*.png")) == [
        "000.png.png",
        "001.png.png",
        "002.png.png",
    ]


@pytest.mark.parametrize("manifest", ["nowhere", "memory://nowhere"])
def test_without_a_list_nothing_is_made(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], manifest: str
) -> None:
    options = ("--out", "out", "--model", "gained")
    assert run("batch", "encode", "--manifest", manifest, *options) == 3
    assert f"{manifest}: cannot be read: no such file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_written_though_nobody_reads(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*words: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(output, "print_json", fail)
    (tmp_path / "list").write_text("nothing.png\n")
    options = ("--out", "out", "--model", "gained", "--jobs", "1", "--report", "report.json")
    assert run("batch", "encode", "--manifest", "list", *options) != 0
    assert json.loads((tmp_path / "report.json").read_text())["failed"] == 1


def test_reports_count_each_picture_once(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"))
    for kind in ("failed", "done", "skipped"):
        log.add(Outcome("a", "a.vrc", kind, bytes_in=10, bytes=1, pixels=1000000))
    log.add(Outcome("b", "b.vrc", "failed", error_class="InputError"))
    log.close()
    report = merge_logs([str(tmp_path / "log")])
    assert (report["pictures"], report["done"], report["failed"]) == (2, 1, 1)
    assert report["megapixels"] == 1


@pytest.mark.parametrize(
    "damage",
    [
        {"bytes": "x"},
        {"bytes": None},
        {"pixels": float("inf")},
        {"seconds": float("nan")},
        {"error_class": ["x"]},
        {"outcome": "lost"},
        {"outcome": ["done"]},
        {"warnings": "x"},
        {"source": 5},
        "[" * 100_000,
        "null",
    ],
)
def test_damaged_lines_of_a_log_are_left_out(tmp_path: Path, damage: dict | str) -> None:
    place = tmp_path / "log"
    good = Outcome("a", "a.vrc", "done", bytes_in=10, bytes=1, pixels=1000000)
    bad = damage if isinstance(damage, str) else json.dumps({**good.as_record(), **damage})
    place.write_text(json.dumps(good.as_record()) + "\n" + bad + "\n")
    assert merge_logs([str(place)])["done"] == 1
    assert read_last_results(str(place)) == {"a.vrc": good}


def test_what_batch_refuses(run: Run, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a.png\n")
    assert run("batch", "encode", "--manifest", "absent", "--out", "out") == 3
    assert run("batch", "encode", "--manifest", "list", "--out", "out", "--shard", "2/1") == 2
    assert run("batch", "encode", "--manifest", "list", "--out", "o", "--model", "absent") == 6
    assert run("batch", "decode", "--manifest", "list", "--out", "o", "--format", "gif") == 2
