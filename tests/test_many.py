"""Many inputs at once: what is found, where it goes, what is skipped, and what one failure costs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.batching import BatchPreparing, Echo, Fragile, encode_work, is_whole, make_photographs
from tests.conftest import GOLDEN, ROOT
from vrcodec.batch.inputs import ENCODE_SUFFIXES, find_inputs, parse_list, relative_output_path
from vrcodec.batch.items import Item, Outcome
from vrcodec.batch.log import Log, read_last_results
from vrcodec.batch.output_paths import choose_targets
from vrcodec.batch.pool import run_in_pool
from vrcodec.batch.processor import ItemProcessor
from vrcodec.cli.shared.many_files import LOG_NAME, hash_settings
from vrcodec.errors import InputError, UsageError
from vrcodec.models.base import Latents, VariableRateModel

Run = Callable[..., int]


def tree(folder: Path) -> dict[str, bytes]:
    """The .vrc files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.vrc")}


def log_lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / LOG_NAME).read_text().splitlines()]


# What is found.


def test_a_folder_is_walked(tmp_path: Path) -> None:
    for name in ("a.png", "deep/er/b.JPG", ".hidden.png", ".hidden/c.png", "notes.txt", "d.vrc"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    found = find_inputs([str(tmp_path)], [], ENCODE_SUFFIXES)
    assert sorted(map(str, found.sources.values())) == ["a.png", "deep/er/b.JPG"]
    assert found.ignored == 2
    named = find_inputs([str(tmp_path / "notes.txt")], [], ENCODE_SUFFIXES)
    assert list(named.sources.values()) == [PurePosixPath("notes.txt")]


def test_patterns_that_the_shell_left(tmp_path: Path) -> None:
    for name in ("a.png", "x/b.png", "x/y/c.png", "real[1].png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    below = find_inputs([f"{tmp_path}/**/*.png"], [], ENCODE_SUFFIXES).sources.values()
    assert sorted(map(str, below)) == ["a.png", "real[1].png", "x/b.png", "x/y/c.png"]
    assert len(find_inputs([f"{tmp_path}/real[1].png"], [], ENCODE_SUFFIXES).sources) == 1
    with pytest.raises(InputError, match="nothing"):
        find_inputs([f"{tmp_path}/*.gif"], [], ENCODE_SUFFIXES)


def test_lists() -> None:
    assert parse_list(b"a b.png\r\n\nc.png", null=False) == ["a b.png", "c.png"]
    assert parse_list(b"a\nb.png\0c.png\0", null=True) == ["a\nb.png", "c.png"]
    with pytest.raises(UsageError, match="--null"):
        parse_list(b"a\0b", null=False)


@pytest.mark.parametrize(
    ("source", "below"),
    [
        ("x/a.png", "x/a.png"),
        ("./x/a.png", "x/a.png"),
        ("/photos/a.png", "photos/a.png"),
        ("s3://bucket/key/a.png", "bucket/key/a.png"),
        ("file:///photos/a.png", "photos/a.png"),
    ],
)
def test_where_listed_files_go(source: str, below: str) -> None:
    assert str(relative_output_path(source)) == below


@pytest.mark.parametrize("source", ["../a.png", "x/../../a.png", "s3://bucket/../a.png", "/", ""])
def test_nothing_leaves_the_output_folder(source: str) -> None:
    with pytest.raises(InputError):
        relative_output_path(source)


# Where it goes.

_names = st.builds(
    lambda stem, suffix: stem + suffix,
    st.sampled_from(["a", "b", "a.png", "x/a"]),
    st.sampled_from([".png", ".jpg", ".jpeg"]),
)


@given(st.sets(_names, min_size=1))
def test_no_two_inputs_share_a_target(names: set[str]) -> None:
    try:
        found = choose_targets(
            {f"/in/{n}": PurePosixPath(n) for n in sorted(names)}, "/out", ".vrc"
        )
    except UsageError:
        # a.png.jpg leaves no name for the second of a.png and a.jpg.
        assert any(name.count(".") > 1 for name in names)
        return
    assert len(set(found.values())) == len(names)
    for name in names:
        target = found[f"/in/{name}"]
        assert target in (f"/out/{PurePosixPath(name).with_suffix('.vrc')}", f"/out/{name}.vrc")


def test_the_second_of_two_keeps_its_suffix() -> None:
    sources = {"in/a.png": PurePosixPath("a.png"), "in/a.jpg": PurePosixPath("a.jpg")}
    found = choose_targets(sources, "out", ".vrc")
    assert found == {"in/a.png": "out/a.png.vrc", "in/a.jpg": "out/a.vrc"}
    with pytest.raises(UsageError, match="one of the inputs"):
        choose_targets({"a.vrc": PurePosixPath("a.vrc")}, None, ".vrc")


def test_settings_are_told_apart(tmp_path: Path) -> None:
    shape = tmp_path / "map.npy"
    shape.write_bytes(b"one")
    key = hash_settings({"rate": 0.5, "map_file": shape, "threads": 1})
    assert key == hash_settings({"rate": 0.5, "map_file": shape, "threads": 8})
    assert key != hash_settings({"rate": 0.6, "map_file": shape})
    shape.write_bytes(b"two")
    assert key != hash_settings({"rate": 0.5, "map_file": shape})


# What one failure costs.


def make_sources(folder: Path, contents: dict[str, bytes]) -> list[Item]:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [Item(str(folder / n), str(folder / "out" / f"{n}.x")) for n in contents]


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


# What is skipped.


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


# The commands.


def test_folders_there_and_back(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_photographs(tmp_path / "in", 4)
    (tmp_path / "in" / "broken.png").write_bytes(b"nothing")
    encode = ("encode", "in", "--model", "gained")
    assert run(*encode, "-o", "one", "--jobs", "1") == 1
    assert run(*encode, "-o", "two", "--jobs", "2", "--json") == 1
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 4
    assert "broken.png" in captured.err
    assert "4 encoded, 0 up to date, 1 failed" in captured.err
    # Whatever the number of workers.
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert len(tree(tmp_path / "one")) == 4
    assert run("decode", "two", "-o", "back") == 0
    back = sorted(str(p.relative_to(tmp_path / "back")) for p in tmp_path.glob("back/*/*"))
    assert back == ["left/001.png", "left/003.png", "right/000.png", "right/002.png"]


def test_pictures_of_one_size_are_analysed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, with the same files in the end."""
    small = make_photographs(tmp_path / "in" / "small", 5)
    large = make_photographs(tmp_path / "in" / "large", 2, side=96)
    bad = tmp_path / "in" / "broken.png"
    bad.write_bytes(b"nothing")
    sources = [small[0], large[0], bad, *small[1:], large[1]]
    analyse_batch = VariableRateModel.analyse_batch
    batches: list[int] = []

    def counted(model: VariableRateModel, x: torch.Tensor) -> list[Latents]:
        batches.append(len(x))
        return analyse_batch(model, x)

    monkeypatch.setattr(VariableRateModel, "analyse_batch", counted)

    def files(together: int) -> list[bytes]:
        processor = ItemProcessor(
            replace(encode_work("gained"), chosen_batch_size=together), False, False
        )
        folder = tmp_path / str(together)
        folder.mkdir()
        items = [Item(str(p), str(folder / f"{k}.vrc")) for k, p in enumerate(sources)]
        found = list(processor.process_all(items))
        assert [o.outcome == "failed" for o in found] == [p == bad for p in sources]
        return [Path(i.target).read_bytes() for i in items if i.source != str(bad)]

    assert files(8) == files(1)
    assert batches == [5, 2, *[1] * 7]


@pytest.mark.parametrize("option", [("--model", "qmap"), ("--model", "gained", "--bpp", "1")])
def test_what_cannot_be_analysed_in_batches_is_coded_all_the_same(
    option: tuple[str, ...], tmp_path: Path
) -> None:
    pictures = make_photographs(tmp_path, 2)
    processor = ItemProcessor(replace(encode_work(*option[1:]), chosen_batch_size=2), False, False)
    items = [Item(str(p), f"{p}.vrc") for p in pictures]
    assert [o.outcome for o in processor.process_all(items)] == ["done", "done"]


def test_a_device_that_is_not_there(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_photographs(tmp_path / "in", 2)
    assert run("encode", "in", "-o", "out", "--device", "cuda:9") == 1
    said = capsys.readouterr().err
    assert said.count("no device 'cuda:9'") == 2
    assert "0 encoded, 0 up to date, 2 failed" in said


def test_resume(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = make_photographs(tmp_path / "in", 3)
    options = ("-o", "out", "--model", "gained", "--resume", "--jobs", "1")
    assert run("encode", "in", *options) == 0
    before = tree(tmp_path / "out")
    shutil.copy(pictures[0], pictures[1])
    assert run("encode", "in", *options) == 0
    assert "1 encoded, 2 up to date, 0 failed" in capsys.readouterr().err
    after = tree(tmp_path / "out")
    assert after["left/001.vrc"] == after["right/000.vrc"] == before["right/000.vrc"]
    assert run("encode", "in", *options, "--rate", "0.2") == 0
    assert "3 encoded" in capsys.readouterr().err
    assert run("encode", "in", "-o", "out", "--model", "gained", "--jobs", "1") == 1
    kinds = [line["outcome"] for line in log_lines(tmp_path / "out")]
    assert [kinds.count(kind) for kind in ("done", "skipped", "failed")] == [7, 2, 3]


def test_warnings_of_workers_are_said(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    names = [GOLDEN / "sides" / "metadata.vrc", GOLDEN / "dot.vrc"]
    assert run("decode", *names, "-o", "out", "--format", "ppm", "--jobs", "1") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "no place" in line]
    assert len(said) == 1
    assert "metadata.vrc" in said[0]


def test_a_list_from_stdin(vrcodec, tmp_path: Path) -> None:
    make_photographs(tmp_path / "in", 2)
    names = b"in/left/001.png\0in/right/000.png\0"
    result = vrcodec(
        "encode", "--files-from", "-", "-0", "-o", "out", "--model", "gained", input=names
    )
    assert result.returncode == 0, result.stderr
    assert sorted(tree(tmp_path / "out")) == ["in/left/001.vrc", "in/right/000.vrc"]


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ["encode"]),
        (2, ["encode", "--files-from", "absent.txt", "-o", "-"]),
        (2, ["encode", "in", "--resume", "--log", "x", "-o", "taken.txt"]),
        (2, ["encode", "in/left/001.png", "--resume"]),
        (2, ["encode", "in", "-o", "out", "--effort", "1", "--keep-partial"]),
        (3, ["encode", "in"]),
        (3, ["encode", "--files-from", "absent.txt", "-o", "out"]),
        (3, ["encode", "empty", "-o", "out"]),
        (3, ["encode", "in/*.gif", "-o", "out"]),
        (6, ["encode", "in", "-o", "out", "--model", "absent"]),
    ],
)
def test_what_cannot_be_begun(run: Run, tmp_path: Path, code: int, arguments: list[str]) -> None:
    make_photographs(tmp_path / "in", 2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken.txt").touch()
    assert run(*arguments) == code
    assert not list(tmp_path.rglob("*.vrc"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_and_resumed(tmp_path: Path, number: int, code: int, vrcodec) -> None:
    pictures = make_photographs(tmp_path / "in", 12, side=200)
    arguments = ["encode", "in", "-o", "out", "--model", "gained", "--resume", "--jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vrcodec", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/*/*.vrc")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(60) == code
    assert not list(tmp_path.rglob("*.part"))
    assert all(is_whole(path) for path in tmp_path.glob("out/*/*.vrc"))
    assert vrcodec(*arguments).returncode == 0
    assert len(tree(tmp_path / "out")) == len(pictures)
