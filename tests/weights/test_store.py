"""The user's store: what comes in is checked, and which weights encode stays what it was."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import GOLDEN
from tests.weights.hub_server import golden_entry
from vrcodec import catalog
from vrcodec.catalog import WeightsEntry, find_by_family, find_by_id, store_folder
from vrcodec.errors import UsageError, WeightsError
from vrcodec.models import FAMILIES
from vrcodec.weights import add, fetch, remove


def copy(entry: WeightsEntry, folder: Path, *suffixes: str) -> Path:
    """The files of an entry with these suffixes, in a folder; returns the path of the weights."""
    folder.mkdir(exist_ok=True)
    for suffix in suffixes:
        shutil.copy(entry.path.with_suffix(suffix), folder)
    return folder / entry.path.name


def test_a_file_needs_no_card(tmp_path: Path) -> None:
    entry = golden_entry("qarv")
    path = copy(entry, tmp_path / "x", ".safetensors", ".encoder.safetensors")
    (added,) = add(path)
    assert (added.id, added.family, added.encoder_id) == (entry.id, "qarv", entry.encoder_id)
    assert find_by_id(entry.id) == added
    assert add(path) == [added]
    assert fetch(str(path)) == added


def test_a_folder_is_added_whole() -> None:
    added = add(GOLDEN)
    assert {entry.model for entry in added} == {*FAMILIES, "scale_hyperprior"}
    for entry in added:
        assert entry.path.parent == store_folder() / entry.id.hex()


@pytest.mark.parametrize("family", ["gained", "slim"])
def test_damaged_weights_are_not_added(tmp_path: Path, family: str) -> None:
    path = copy(golden_entry(family), tmp_path / "x", ".safetensors", ".json")
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=f"^{re.escape(str(path))}: "):
        add(path)
    assert not list(store_folder().glob("[0-9a-f]*"))
    assert not [
        path for path in store_folder().rglob("*") if path.is_dir() and path.name != ".incoming"
    ]


@pytest.mark.parametrize(
    "change",
    [
        *({"family": "qvrf"}, {"family": "unheard"}, {"name": "qvrf"}, {"name": 5}),
        *({"id": "00" * 8}, {"id": 5}, {"id": "x"}),
    ],
)
def test_a_card_of_other_weights(tmp_path: Path, change: dict[str, object]) -> None:
    path = copy(golden_entry("gained"), tmp_path / "x", ".safetensors", ".json")
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**card, **change}))
    with pytest.raises(WeightsError):
        add(path)
    assert not list(store_folder().glob("[0-9a-f]*"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04]", b"\xff" * 100])
def test_what_are_no_weights(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        add(path)
    with pytest.raises(WeightsError, match="no weights"):
        add(GOLDEN.parent / "fuzz")


def test_only_what_is_in_the_store_is_removed() -> None:
    (entry,) = add(golden_entry("gained").path)
    remove(entry)
    with pytest.raises(WeightsError):
        find_by_id(entry.id)
    with pytest.raises(UsageError, match="not in the store"):
        remove(find_by_family("gained"))


def test_the_store_by_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (entry,) = add(golden_entry("gained").path)
    (tmp_path / "link").symlink_to(store_folder())
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(tmp_path / "link"))
    assert find_by_id(entry.id).id == entry.id
    remove(find_by_id(entry.id))
    assert not list(store_folder().glob("[0-9a-f]*"))


def test_an_older_generation_that_was_fetched_does_not_encode() -> None:
    """Somebody gets it for old files; new ones are made as before."""
    newest = find_by_family("gained")
    (old,) = add(golden_entry("gained").path)
    assert find_by_id(old.id) == old
    assert find_by_family("gained") == newest


def test_a_newer_generation_that_was_fetched_encodes(tmp_path: Path) -> None:
    shipped = find_by_family("gained")
    path = copy(golden_entry("gained"), tmp_path / "x", ".safetensors", ".json")
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**card, "version": shipped.version + 1}))
    (newer,) = add(path)
    assert find_by_family("gained") == newer
    assert newer.name == f"gained-{shipped.version + 1}"


def test_weights_of_the_store_encode_where_their_folder_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (own,) = add(golden_entry("gained").path)
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(own.path.parent))
    assert find_by_family("gained").id == own.id


def test_missing_weights_say_what_they_are_called_and_how_to_get_them() -> None:
    with pytest.raises(WeightsError, match="weights fetch f8c00804e1f308f4") as caught:
        find_by_id(bytes.fromhex("f8c00804e1f308f4"))
    assert caught.value.id == "f8c00804e1f308f4"
    assert "gained-1" in str(caught.value)
    # As it comes from another process.
    assert pickle.loads(pickle.dumps(caught.value)).id == "f8c00804e1f308f4"
    with pytest.raises(WeightsError, match="does not know") as caught:
        find_by_id(bytes(8))
    assert caught.value.id == "00" * 8


@pytest.mark.parametrize("name", ["", "Qvrf", "qvrf@", "qvrf@x", "12", "a b", "qvrf@1234567", "-1"])
def test_what_is_no_name_of_weights(name: str) -> None:
    with pytest.raises(WeightsError, match="no name"):
        catalog.Wanted.parse(name)
