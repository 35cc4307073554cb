"""`vrcodec weights` and `decode --fetch`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import GOLDEN, ROOT
from tests.weights.hub_server import HubServer, golden_entry, make_hub, serve
from vrcodec import catalog
from vrcodec.catalog import INDEX_NAME, parse_index
from vrcodec.codec import Decoder
from vrcodec.engine import Engine
from vrcodec.errors import OutputError, WeightsError

Run = Callable[..., int]
Captured = pytest.CaptureFixture[str]
GAINED = golden_entry("gained")
ID = GAINED.id.hex()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    make_hub(tmp_path / "hub", "gained", "qarv")
    with serve(tmp_path / "hub") as server:
        monkeypatch.setenv("VRCODEC_HUB", server.address)
        yield server


def test_decode_fetches_when_asked(
    run: Run, vrc_file: Path, tmp_path: Path, hub: HubServer, capsys: Captured
) -> None:
    assert run("decode", vrc_file) == WeightsError.exit_code
    assert f"vrcodec weights fetch {ID}" in capsys.readouterr().err
    assert hub.requests == []
    assert run("decode", vrc_file, "--fetch") == 0
    decoded = np.asarray(Image.open(tmp_path / "photograph.png")).astype(int)
    assert np.abs(decoded - np.asarray(Image.open(GOLDEN / "photograph.png"))).max() <= 1
    asked = len(hub.requests)
    assert run("decode", vrc_file, "-f") == 0
    assert len(hub.requests) == asked


def test_a_setting_fetches_for_every_command(
    run: Run, vrc_file: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VRCODEC_FETCH", "0")
    assert run("decode", vrc_file, "-o", "-") == WeightsError.exit_code
    monkeypatch.setenv("VRCODEC_FETCH", "1")
    with pytest.raises(WeightsError):
        Decoder(Engine(fetch=False)).decode(vrc_file.read_bytes())
    assert hub.requests == []
    assert run("verify", "--full", vrc_file) == 0
    assert hub.requests


def test_workers_fetch_once(run: Run, tmp_path: Path, hub: HubServer) -> None:
    for number in range(6):
        (tmp_path / f"{number}.vrc").write_bytes((GOLDEN / "photograph.vrc").read_bytes())
    names = [f"{number}.vrc" for number in range(6)]
    assert run("decode", "--fetch", "--jobs", "2", *names, "-o", ".") == 0
    assert len([r for r in hub.requests if r.name.endswith(".safetensors")]) == 1


def test_info_tells_whether_weights_are_here(
    run: Run, vrc_file: Path, hub: HubServer, capsys: Captured
) -> None:
    old = ROOT / "tests" / "generations" / "gained-1.vrc"
    assert run("info", old) == 0
    assert (
        "f8c00804e1f308f4 (gained-1), which are not here: vrcodec weights fetch"
        in capsys.readouterr().out
    )
    assert run("weights", "fetch", ID) == 0
    capsys.readouterr()
    assert run("info", "--json", vrc_file, old) == 0
    one, other = json.loads(capsys.readouterr().out)
    assert (one["weights_name"], one["weights_here"]) == ("gained", True)
    assert (other["weights_name"], other["weights_here"]) == ("gained-1", False)


def test_from_fetch_to_removal(run: Run, hub: HubServer, capsys: Captured) -> None:
    assert run("weights", "fetch", ID, "qarv@999") == 1
    assert "qarv@999: no such weights" in capsys.readouterr().err
    assert run("weights", "path", ID) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert folder == catalog.store_folder() / ID
    assert (folder / f"gained-{ID}.safetensors").is_file()
    assert run("weights", "show", ID) == 0
    assert str(folder) in capsys.readouterr().out
    assert run("weights", "remove", ID) == 0
    assert not folder.exists()
    assert run("weights", "remove", ID) == WeightsError.exit_code
    assert run("weights", "remove", "gained") == WeightsError.exit_code
    assert catalog.find_by_family("gained").path.is_file()


def test_the_list_has_what_is_here_and_what_is_not(
    run: Run, hub: HubServer, capsys: Captured
) -> None:
    assert run("weights", "list", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["gained-1"]["path"] is None
    assert rows["gained-4"]["path"]
    assert hub.requests == []
    assert run("weights", "list", "--hub", hub.address, "--json") == 0
    assert ID in {row["id"] for row in json.loads(capsys.readouterr().out)}
    assert run("weights", "list", "--here") == 0
    assert "gained-1" not in capsys.readouterr().out


def test_what_a_lab_exports_another_adds(
    run: Run, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("weights", "add", GAINED.path, golden_entry("slim").path) == 0
    assert run("weights", "export", ID, golden_entry("slim").id.hex(), "-o", "mirror") == 0
    index = parse_index((tmp_path / "mirror" / INDEX_NAME).read_bytes(), "index")
    assert {release.family for release in index} == {"gained", "slim"}
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "other"))
    with serve(tmp_path / "mirror") as server:
        assert run("weights", "fetch", golden_entry("slim").id.hex(), "--hub", server.address) == 0
    assert run("weights", "add", tmp_path / "mirror") == 0
    capsys.readouterr()
    assert run("weights", "list", "--here", "--json") == 0
    assert ID in {row["id"] for row in json.loads(capsys.readouterr().out)}


def test_two_of_one_generation_get_files_of_their_own(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as two networks of one's own, of which neither knows of the other."""
    names = []
    for family in ("gained", "slim"):
        entry = golden_entry(family)
        folder = tmp_path / family
        folder.mkdir()
        shutil.copy(entry.path, folder / "mine.safetensors")
        card = {**entry.card, "name": "mine", "version": 2}
        (folder / "mine.json").write_text(json.dumps(card))
        assert run("weights", "add", folder) == 0
        names.append(entry.id.hex())
    assert run("weights", "export", *names, "-o", "mirror") == 0
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "other"))
    with serve(tmp_path / "mirror") as server:
        for name in names:
            assert run("weights", "fetch", name, "--hub", server.address) == 0


@pytest.mark.parametrize(
    "change", [{"version": 3, "name": "../escaped"}, {"tune": "my tune!"}, {"replaces": "zz"}]
)
def test_a_card_that_no_index_can_have_is_not_exported(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    folder = tmp_path / "named"
    folder.mkdir()
    shutil.copy(GAINED.path, folder)
    (folder / "gained.json").write_text(json.dumps({**GAINED.card, **change}))
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(folder))
    assert run("weights", "export", ID, "-o", tmp_path / "hub" / "in") == WeightsError.exit_code
    assert not [p for p in (tmp_path / "hub").rglob("*") if p.is_file()]


def test_names_in_a_list_are_shown_as_they_are(
    run: Run, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "w[bold][" / ("x]" + 180 * "y")
    folder.mkdir(parents=True)
    for suffix in (".safetensors", ".json"):
        shutil.copy(GAINED.path.with_suffix(suffix), folder)
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(folder))
    assert run("weights", "list", "--here") == 0
    assert str(folder) in capsys.readouterr().out


def test_a_hub_keeps_what_others_have_put_there(run: Run, tmp_path: Path) -> None:
    """The same again is no news; another file of such a name stays, unless --force is given."""
    assert run("weights", "add", GAINED.path) == 0
    for _ in range(2):
        assert run("weights", "export", ID, "-o", "mirror") == 0
    (file,) = (tmp_path / "mirror").glob("*.safetensors")
    file.write_bytes(b"precious")
    assert run("weights", "export", ID, "-o", "mirror") == OutputError.exit_code
    assert file.read_bytes() == b"precious"
    assert run("weights", "export", ID, "-o", "mirror", "-f") == 0
    assert file.read_bytes() == GAINED.path.read_bytes()
