"""Weights come from a hub whole and right, or not at all, whatever the server does."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.weights.hub_server import Handler, HubServer, golden_entry, make_hub, serve
from vrcodec import catalog
from vrcodec.catalog import INDEX_NAME, ReleasedFile
from vrcodec.errors import OutputError, WeightsError
from vrcodec.weights import fetch, places, transfer
from vrcodec.weights.mirror import describe_release
from vrcodec.weights.transfer import fetch_file

GAINED, QARV = golden_entry("gained"), golden_entry("qarv")
ID = GAINED.id.hex()
WEIGHTS = GAINED.path.read_bytes()


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_FIRST_PAUSE_SECONDS", 0.001)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    make_hub(tmp_path / "hub", "gained", "qarv")
    with serve(tmp_path / "hub") as server:
        yield server


def leftovers() -> list[str]:
    """Files in the store that do not belong to weights which are there, but for locks."""
    store = catalog.store_folder()
    files = [path for path in store.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return [path.name for path in files if path.parent.parent != store or path.name.startswith(".")]


def test_weights_come_with_encoder_and_card(hub: HubServer) -> None:
    entry = fetch(QARV.id.hex(), hub=hub.address)
    assert entry.id == QARV.id
    assert entry.path.read_bytes() == QARV.path.read_bytes()
    encoder = catalog.encoder_path(entry.path)
    assert encoder.read_bytes() == catalog.encoder_path(QARV.path).read_bytes()
    assert catalog.find_by_id(QARV.id) == entry
    assert leftovers() == []


def test_what_is_here_is_not_fetched_again(hub: HubServer) -> None:
    fetch(ID, hub=hub.address)
    asked = len(hub.requests)
    assert fetch(ID, hub=hub.address).id == GAINED.id
    assert len(hub.requests) == asked


@pytest.mark.parametrize("name", [ID, f"gained-{ID}.safetensors"])
def test_from_every_kind_of_place(hub: HubServer, name: str) -> None:
    places = [hub.address, str(hub.folder), hub.folder.as_uri()]
    for place in places:
        entry = fetch(name, hub=place) if name == ID else fetch(f"{place}/{name}")
        assert entry.path.read_bytes() == WEIGHTS
        assert leftovers() == []
        subprocess.run(["rm", "-r", str(catalog.store_folder())], check=True)


def test_from_what_fsspec_knows(hub: HubServer) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    with pytest.raises(WeightsError, match="is not there"):
        fetch(ID, hub="memory://hub")
    for path in hub.folder.iterdir():
        memory.pipe_file(f"/hub/{path.name}", path.read_bytes())
    assert fetch(ID, hub="memory://hub").path.read_bytes() == WEIGHTS
    with pytest.raises(WeightsError, match="cannot be read"):
        fetch("00" * 8, hub="nonsense://hub")


def test_what_breaks_off_goes_on_where_it_was(hub: HubServer) -> None:
    stops = iter([1000, 50_000])

    def cut(handler: Handler, name: str, data: bytes) -> bool:
        stop = next(stops, None) if name.endswith(".safetensors") else None
        if stop is None:
            return False
        handler.send(data, handler.hub.requests[-1].start, stop)
        return True

    hub.trouble = cut
    assert fetch(ID, hub=hub.address).path.read_bytes() == WEIGHTS
    starts = [request.start for request in hub.requests if request.name.endswith(".safetensors")]
    assert starts == [0, 1000, 50_000]


def test_a_server_without_ranges_begins_anew(hub: HubServer) -> None:
    hub.ranges = False
    first = iter([1000])

    def cut(handler: Handler, name: str, data: bytes) -> bool:
        stop = next(first, None) if name.endswith(".safetensors") else None
        if stop is not None:
            handler.send(data, 0, stop)
        return stop is not None

    hub.trouble = cut
    assert fetch(ID, hub=hub.address).path.read_bytes() == WEIGHTS


def test_a_server_that_always_breaks_off_is_given_up_and_its_part_kept(hub: HubServer) -> None:
    def cut(handler: Handler, name: str, data: bytes) -> bool:
        if not name.endswith(".safetensors"):
            return False
        start = handler.hub.requests[-1].start
        handler.send(data, start, start + 1000)
        return True

    hub.trouble = cut
    with pytest.raises(WeightsError, match=r"ends after|cannot be read"):
        fetch(ID, hub=hub.address)
    asked = len(hub.requests)
    assert 3 <= asked <= 10
    hub.trouble = None
    assert fetch(ID, hub=hub.address).path.read_bytes() == WEIGHTS
    starts = [r.start for r in hub.requests[asked:] if r.name.endswith(".safetensors")]
    assert starts[0] >= 3000


def test_wrong_bytes_are_refused_and_not_kept(hub: HubServer) -> None:
    def corrupt(handler: Handler, name: str, data: bytes) -> bool:
        if name.endswith(".safetensors"):
            handler.send(data[:-1] + bytes([data[-1] ^ 1]))
            return True
        return False

    hub.trouble = corrupt
    with pytest.raises(WeightsError, match="SHA-256"):
        fetch(ID, hub=hub.address)
    assert leftovers() == []
    with pytest.raises(WeightsError):
        catalog.find_by_id(GAINED.id)
    hub.trouble = None
    assert fetch(ID, hub=hub.address).id == GAINED.id


def test_more_than_the_index_says_is_refused_while_it_comes(hub: HubServer) -> None:
    sent: list[int] = []

    def flood(handler: Handler, name: str, data: bytes) -> bool:
        if not name.endswith(".safetensors"):
            return False
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        try:
            for _ in range(2000):
                handler.wfile.write(bytes(1 << 20))
                sent.append(1)
        except OSError:
            pass
        return True

    hub.trouble = flood
    with pytest.raises(WeightsError, match="larger than"):
        fetch(ID, hub=hub.address)
    assert leftovers() == []
    assert len(sent) < 2000


def test_a_file_that_is_not_there_is_not_asked_for_again(hub: HubServer) -> None:
    (hub.folder / f"gained-{ID}.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"404"):
        fetch(ID, hub=hub.address)
    assert len([r for r in hub.requests if r.name.endswith(".safetensors")]) == 1


def test_a_hub_that_is_not_there() -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        fetch(ID, hub="http://127.0.0.1:9")
    with pytest.raises(WeightsError, match="is not there"):
        fetch(ID, hub="/nowhere/at/all")


def test_redirects_are_followed(hub: HubServer) -> None:
    def elsewhere(handler: Handler, name: str, data: bytes) -> bool:
        if name.startswith("there/"):
            handler.send((hub.folder / name.removeprefix("there/")).read_bytes())
        else:
            handler.redirect(f"/there/{name}")
        return True

    hub.trouble = elsewhere
    assert fetch(ID, hub=hub.address).path.read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    "place", ["http://example.org/x", "file:///etc/passwd", "ftp://127.0.0.1/x"]
)
def test_redirects_to_where_nothing_is_fetched_from(hub: HubServer, place: str) -> None:
    def astray(handler: Handler, name: str, data: bytes) -> bool:
        handler.redirect(place)
        return True

    hub.trouble = astray
    with pytest.raises(WeightsError):
        fetch(ID, hub=hub.address)
    assert leftovers() == []


def test_redirects_without_an_end(hub: HubServer) -> None:
    def round_and_round(handler: Handler, name: str, data: bytes) -> bool:
        handler.redirect("/" + name)
        return True

    hub.trouble = round_and_round
    with pytest.raises(WeightsError):
        fetch(ID, hub=hub.address)


@pytest.mark.parametrize("address", ["http://example.org/hub", "http://192.168.0.1/hub"])
def test_http_is_for_this_machine_alone(address: str) -> None:
    with pytest.raises(WeightsError, match="https"):
        fetch(ID, hub=address)
    with pytest.raises(WeightsError, match="https"):
        fetch(f"{address}/x.safetensors")


def test_a_server_that_says_nothing_more(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "STALL_SECONDS", 0.05)

    def stall(handler: Handler, name: str, data: bytes) -> bool:
        if not name.endswith(".safetensors"):
            return False
        handler.promise(data)
        handler.wfile.write(data[:100])
        handler.wfile.flush()
        time.sleep(0.3)
        handler.close_connection = True
        return True

    hub.trouble = stall
    with pytest.raises(WeightsError, match="timed out"):
        fetch(ID, hub=hub.address)


def test_a_slow_server_is_waited_for(hub: HubServer) -> None:
    def drip(handler: Handler, name: str, data: bytes) -> bool:
        if not name.endswith(".safetensors"):
            return False
        handler.promise(data)
        for start in range(0, len(data), 50_000):
            handler.wfile.write(data[start : start + 50_000])
            handler.wfile.flush()
            time.sleep(0.02)
        return True

    hub.trouble = drip
    assert fetch(ID, hub=hub.address).path.read_bytes() == WEIGHTS


def test_an_index_cannot_name_files_elsewhere(hub: HubServer) -> None:
    index = hub.folder / INDEX_NAME
    text = index.read_text()
    for name in ("../evil.json", "/tmp/evil.json", ".hidden", "a/b", "", "a\\\\b"):
        index.write_text(text.replace(f"gained-{ID}.json", name))
        with pytest.raises(WeightsError, match="not an index"):
            fetch(ID, hub=hub.address)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\x00", b'{"format": 1, "weights": [1]}', b"[" * 100_000, b"<html>"],
)
def test_what_is_no_index(hub: HubServer, content: bytes) -> None:
    (hub.folder / INDEX_NAME).write_bytes(content)
    with pytest.raises(WeightsError, match="not an index"):
        fetch(ID, hub=hub.address)


def test_an_index_of_the_future_says_so(hub: HubServer) -> None:
    (hub.folder / INDEX_NAME).write_bytes(b'{"format": 2, "weights": "otherwise"}')
    with pytest.raises(WeightsError, match="later version"):
        fetch(ID, hub=hub.address)


def test_the_index_of_this_version_outweighs_that_of_a_hub(hub: HubServer) -> None:
    """A hub cannot give other weights under an id, or a name, that is known."""
    index = hub.folder / INDEX_NAME
    index.write_text(index.read_text().replace(ID, "f8c00804e1f308f4"))
    with pytest.raises(WeightsError):
        fetch("gained-1", hub=hub.address)
    with pytest.raises(WeightsError):
        fetch("f8c00804e1f308f4", hub=hub.address)
    assert leftovers() == []


def test_weights_with_another_id_than_the_index_says(hub: HubServer) -> None:
    """Their card, size and hash are right: those of other weights."""
    index = hub.folder / INDEX_NAME
    index.write_text(index.read_text().replace(f'"id": "{ID}"', '"id": "0011223344556677"'))
    with pytest.raises(WeightsError, match=f"what came for it are the weights {ID}"):
        fetch("0011223344556677", hub=hub.address)
    assert leftovers() == []
    assert not list(catalog.store_folder().glob("[0-9a-f]*"))


def test_damaged_weights_are_fetched_again(hub: HubServer) -> None:
    entry = fetch(ID, hub=hub.address)
    entry.path.write_bytes(WEIGHTS[:-1])
    assert fetch(ID, hub=hub.address).path.read_bytes() == WEIGHTS


def test_a_part_of_something_else_does_not_stay_in_the_way(hub: HubServer) -> None:
    folder = catalog.store_folder() / ".incoming" / ID
    folder.mkdir(parents=True)
    (folder / f"gained-{ID}.safetensors").write_bytes(b"x" * 1000)
    (folder / "other.safetensors").write_bytes(b"x")
    entry = fetch(ID, hub=hub.address)
    assert entry.path.read_bytes() == WEIGHTS
    assert len(list(entry.path.parent.iterdir())) == 2


def test_a_pickle_is_never_loaded(hub: HubServer, tmp_path: Path) -> None:
    mark = tmp_path / "loaded"
    evil = f"cos\nsystem\n(S'touch {mark}'\ntR.".encode()
    (hub.folder / "evil.safetensors").write_bytes(evil)
    for place in (f"{hub.address}/evil.safetensors", str(hub.folder / "evil.safetensors")):
        with pytest.raises(WeightsError, match="not a weights file"):
            fetch(place)
    assert not mark.exists()
    assert leftovers() == []


def fetch_in_a_process(hub: HubServer, **options: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "VRCODEC_HUB": hub.address, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "vrcodec", "weights", "fetch", ID],
        env=environment,
        stderr=subprocess.PIPE,
        **options,  # type: ignore[call-overload]
    )


def test_two_processes_at_once_fetch_once(hub: HubServer) -> None:
    processes = [fetch_in_a_process(hub) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    for process in processes:
        process.communicate()
    assert len([r for r in hub.requests if r.name.endswith(".safetensors")]) == 1
    assert leftovers() == []


def test_a_full_disk(hub: HubServer) -> None:
    process = fetch_in_a_process(
        hub, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    )
    _, errors = process.communicate(timeout=60)
    assert process.returncode == OutputError.exit_code, errors
    assert b"cannot be written" in errors
    assert leftovers() == []


def test_an_interrupt_leaves_a_part_that_goes_on(hub: HubServer) -> None:
    def hang(handler: Handler, name: str, data: bytes) -> bool:
        if not name.endswith(".safetensors"):
            return False
        handler.promise(data)
        handler.wfile.write(data[:100_000])
        handler.wfile.flush()
        while not any(path.stat().st_size for path in store.rglob("*.safetensors")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.wait(60)
        handler.close_connection = True
        return True

    store = catalog.store_folder()
    hub.trouble = hang
    process = fetch_in_a_process(hub)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors == b"vrcodec: interrupted\n"
    hub.trouble = None
    fetch(ID, hub=hub.address)
    starts = [r.start for r in hub.requests if r.name.endswith(".safetensors")]
    assert starts[0] == 0
    assert 0 < starts[1] <= 100_000


def test_other_places_are_tried_in_their_order(hub: HubServer, tmp_path: Path) -> None:
    file = describe_release(GAINED).files["weights"]
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"x" * file.size)
    target = tmp_path / "target"
    fetch_file([str(wrong), str(tmp_path / "absent"), f"{hub.address}/{file.name}"], file, target)
    assert target.read_bytes() == WEIGHTS


def test_a_part_that_is_longer_than_the_file_is_of_no_use(hub: HubServer, tmp_path: Path) -> None:
    target, data = tmp_path / "target", b"abc"
    (hub.folder / "abc").write_bytes(data)
    file = ReleasedFile("abc", 3, hashlib.sha256(data).hexdigest())
    target.write_bytes(b"0123456789")
    fetch_file([f"{hub.address}/abc"], file, target)
    assert target.read_bytes() == data
