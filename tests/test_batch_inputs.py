"""Which inputs a folder, a pattern or a list names, and the output path that each of them gets."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import Pixels, close_folder
from vrcodec.batch import storage
from vrcodec.batch.inputs import (
    DECODE_SUFFIXES,
    ENCODE_SUFFIXES,
    find_inputs,
    is_pattern,
    parse_list,
    relative_output_path,
)
from vrcodec.batch.items import Outcome
from vrcodec.batch.manifest import Manifest, Shard
from vrcodec.batch.output_paths import choose_targets
from vrcodec.errors import InputError, UsageError

Run = Callable[..., int]

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
    kinds = {Path(path).name: kind for path, kind in found.left_out.items()}
    assert kinds == {
        "notes.txt": ".txt",
        "d.vrc": ".vrc",
        "gone.png": "broken link",
        "pipe.png": "special file",
    }
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


def test_folders_that_cannot_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, photograph: Pixels
) -> None:
    """What is in them must not be taken for done."""
    closed = tmp_path / "in" / "closed"
    closed.mkdir(parents=True)
    Image.fromarray(photograph[:20, :30]).save(tmp_path / "in" / "a.png")
    close_folder(closed, monkeypatch)
    found = find_inputs([str(tmp_path / "in")], [], ENCODE_SUFFIXES)
    assert found.unreadable == {str(closed): "cannot be listed: Permission denied"}
    assert run("encode", "in", "-o", "out", "--model", "gained", "--jobs", 1) == 1
    assert (tmp_path / "out" / "a.vrc").exists()
    items = list(Manifest(str(tmp_path / "in"), "out", ".vrc", ENCODE_SUFFIXES).items(Shard()))
    assert [item.source for item in items if isinstance(item, Outcome)] == [str(closed)]


def test_a_log_of_an_earlier_run_is_no_file_to_leave_out(tmp_path: Path) -> None:
    for name in ("a.vrc", "vrcodec-log.jsonl", "other.jsonl"):
        (tmp_path / name).touch()
    found = find_inputs([str(tmp_path)], [], DECODE_SUFFIXES)
    assert [Path(name).name for name in (*found.sources, *found.left_out)] == [
        "a.vrc",
        "other.jsonl",
    ]


def test_a_folder_that_goes_during_the_search_is_one_that_cannot_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "in" / "gone"
    gone.mkdir(parents=True)
    walk = os.walk

    def walk_and_lose(
        *arguments: object, **options: object
    ) -> Iterator[tuple[str, list[str], list[str]]]:
        for found in walk(*arguments, **options):  # type: ignore[call-overload]
            if Path(found[0]) == gone:
                gone.rmdir()
            yield found

    monkeypatch.setattr(os, "walk", walk_and_lose)
    found = find_inputs([str(tmp_path / "in")], [], ENCODE_SUFFIXES)
    assert found.unreadable == {str(gone): "cannot be listed: No such file or directory"}


def test_files_that_cannot_be_looked_at_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading them says why not; a link that leads nowhere is something else."""
    (tmp_path / "a.png").touch()
    look = os.stat

    def refuse(path: str, *rest: object, **options: object) -> os.stat_result:
        if str(path).endswith("a.png"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return look(path, *rest, **options)

    monkeypatch.setattr(os, "stat", refuse)
    found = find_inputs([str(tmp_path)], [], ENCODE_SUFFIXES)
    assert [Path(source).name for source in found.sources] == ["a.png"]
    assert not found.left_out


def test_what_looks_like_a_url() -> None:
    assert storage.is_url("simplecache::s3://bucket/a.png")
    assert not storage.is_url("std::vec.png")
    assert not is_pattern("https://host/a.png?signed=1")


def test_lists() -> None:
    assert parse_list(b"a b.png\r\n\nc.png", null=False) == ["a b.png", "c.png"]
    assert parse_list(b"a\nb.png\0c.png\0", null=True) == ["a\nb.png", "c.png"]
    with pytest.raises(UsageError, match="--null"):
        parse_list(b"a\0b", null=False)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("null", [False, True])
def test_lists_as_windows_writes_them(encoding: str, null: bool) -> None:
    names = ["café.png", "b c.png"]
    text = ("\0" if null else "\r\n").join([*names, ""])
    data = ("\ufeff" * (encoding == "utf-16-be") + text).encode(encoding)
    assert parse_list(data, null=null) == names
    with pytest.raises(UsageError, match="UTF-16"):
        parse_list("\ufeffa".encode("utf-16-le") + b"!", null=null)


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


def test_a_target_stays_with_its_picture() -> None:
    """As an earlier run has chosen it: no other picture gets its place, nor another name it."""
    sources = {f"in/a.{kind}": PurePosixPath(f"a.{kind}") for kind in ("png", "bmp")}
    previous = {"out/a.vrc": "/elsewhere/in/a.png"}
    found = choose_targets(sources, "out", ".vrc", previous)
    assert found == {"in/a.png": "out/a.vrc", "in/a.bmp": "out/a.bmp.vrc"}
    del sources["in/a.png"]
    assert choose_targets(sources, "out", ".vrc", previous) == {"in/a.bmp": "out/a.bmp.vrc"}
    previous["out/a.bmp.vrc"] = "in/a.gif"
    assert choose_targets(sources, "out", ".vrc", previous) == {"in/a.bmp": "out/a.vrc"}


def test_the_second_of_two_keeps_its_suffix() -> None:
    sources = {"in/a.png": PurePosixPath("a.png"), "in/a.jpg": PurePosixPath("a.jpg")}
    found = choose_targets(sources, "out", ".vrc")
    assert found == {"in/a.png": "out/a.png.vrc", "in/a.jpg": "out/a.vrc"}
    apart = {"a/x.png": PurePosixPath("x.png"), "b/x.png": PurePosixPath("x.png")}
    assert choose_targets(apart, None, ".vrc") == {"a/x.png": "a/x.vrc", "b/x.png": "b/x.vrc"}
    with pytest.raises(UsageError, match="two inputs"):
        choose_targets(apart, "out", ".vrc")
    with pytest.raises(UsageError, match="one of the inputs"):
        choose_targets({"a.vrc": PurePosixPath("a.vrc")}, None, ".vrc")
