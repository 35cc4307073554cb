"""The layout of the Hugging Face hub, read back by the libraries of those who made it, and by ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.numpy

from tests.conftest import file_names
from tests.weights.hub_server import golden_entry
from vrcodec.catalog import encoder_path, find_by_family
from vrcodec.errors import OutputError, UsageError, WeightsError
from vrcodec.weights import add, fetch, hugging_face

Run = Callable[..., int]


@pytest.mark.parametrize("family", ["gained", "qarv", "slim"])
def test_what_is_exported_can_be_added(family: str, tmp_path: Path) -> None:
    entry = golden_entry(family)
    folder = tmp_path / "export"
    hugging_face.export(entry, folder, overwrite=False)
    names = {"README.md", "config.json", "model.safetensors"}
    assert set(file_names(folder)) - {"model.encoder.safetensors"} == names
    assert safetensors.numpy.load_file(folder / "model.safetensors").keys()
    assert json.loads((folder / "config.json").read_text()) == entry.card
    (added,) = add(folder)
    assert (added.id, added.encoder_id) == (entry.id, entry.encoder_id)
    assert added.path.read_bytes() == entry.path.read_bytes()
    if entry.encoder_id:
        assert encoder_path(added.path).read_bytes() == encoder_path(entry.path).read_bytes()
    with pytest.raises(OutputError, match="exists"):
        hugging_face.export(entry, folder, overwrite=False)
    hugging_face.export(entry, folder, overwrite=True)
    others = tmp_path / "others"
    others.mkdir()
    (others / "README.md").write_text("theirs")
    with pytest.raises(OutputError, match="exists"):
        hugging_face.export(entry, others, overwrite=False)
    assert file_names(others) == ["README.md"]


def test_the_model_card_has_the_figures_of_ours(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    entry = find_by_family("qvrf")
    hugging_face.export(entry, tmp_path / "x", overwrite=False)
    card = hub.ModelCard.load(tmp_path / "x" / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "vrcodec"
    point = entry.card["curve"][3]
    assert f"| {point['setting']} | {point['bpp']:.3f} | {point['psnr']:.4g} |" in card.text
    for rates in entry.card["bd_rate_percent_by_metric"].values():
        assert f"{rates['avif']:+.1f}" in card.text
    assert entry.id.hex() in card.text


def test_what_is_fetched_from_there_is_what_huggingface_hub_puts_into_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    entry = golden_entry("qarv")
    hugging_face.export(entry, tmp_path / "x", overwrite=False)
    asked: list[tuple[str, str | None]] = []

    def snapshot(repository: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision))
        return str(tmp_path / "x")

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    assert fetch("hf://somebody/weights@v1").id == entry.id
    assert fetch("hf://somebody/weights").id == entry.id
    assert asked == [("somebody/weights", "v1"), ("somebody/weights", None)]


def test_without_the_network_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="cannot be fetched"):
        fetch("hf://somebody/weights")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vrcodec.extras.is_installed", lambda module: False)
    with pytest.raises(UsageError, match=r"vrcodec\[hub\]"):
        fetch("hf://somebody/weights")
    with pytest.raises(UsageError, match="must be hf://"):
        fetch("hf://somebody")


def test_the_command(run: Run, tmp_path: Path) -> None:
    assert run("weights", "export", "slim", "--hub", "-o", "x") == 0
    assert run("weights", "export", "slim", "--hub", "-o", "x") == OutputError.exit_code
    assert run("weights", "export", "slim", "--hub", "-o", "x", "-f") == 0
    assert run("weights", "export", "slim", "qarv", "--hub", "-o", "y") == UsageError.exit_code
    assert not (tmp_path / "y").exists()
