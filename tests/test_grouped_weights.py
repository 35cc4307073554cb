"""Weights files that are read in part: as much as a width needs, and damage in it is noticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest
import torch

from tests.conftest import GOLDEN
from tests.slimmable import WIDTHS, model_of
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.catalog import find_by_family, weights_id
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import WeightsError
from vrcodec.models import Slim
from vrcodec.models.grouped_weights import GroupedWeights, group_name
from vrcodec.models.learning.passes import run_narrow
from vrcodec.models.learning.trainable import load_trainable
from vrcodec.models.weights import pack_model, unpack_model
from vrcodec.picture.picture import Picture


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Tensors that were read from weights files, and their bytes."""
    found: dict[str, int] = {}
    read = GroupedWeights.__getitem__

    def noted(file: GroupedWeights, name: str) -> npt.NDArray[Any]:
        tensor = read(file, name)
        found[name] = tensor.nbytes
        return tensor

    monkeypatch.setattr(GroupedWeights, "__getitem__", noted)
    return found


def test_a_decoder_reads_what_its_width_needs(
    slim: Encoder, picture: Picture, asked: dict[str, int]
) -> None:
    files = {w: slim.encode(picture, RateSetting(30_000, width=w)) for w in WIDTHS}
    taken = {}
    for width, data in files.items():
        asked.clear()
        Decoder().decode(data)
        taken[width] = sum(asked.values())
        assert {*map(group_name, asked)} == {
            "schedule",
            f"widths.{width}",
            *(f"synthesis_net.{w}" for w in WIDTHS if w <= width),
        }
    assert taken[8] < taken[16] < taken[24] < find_by_family("slim").path.stat().st_size


def copied_weights(folder: Path, change: Callable[[bytearray], None]) -> Path:
    """A folder with the tiny weights, changed."""
    folder.mkdir()
    data = bytearray((GOLDEN / "slim.safetensors").read_bytes())
    change(data)
    (folder / "slim.safetensors").write_bytes(data)
    shutil.copy(GOLDEN / "slim.json", folder)
    return folder


def test_damage_is_noticed_by_whom_it_concerns(
    slim: Encoder, picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {w: slim.encode(picture, RateSetting(30_000, width=w)) for w in WIDTHS}
    header = json.loads((GOLDEN / "slim.safetensors").read_bytes()[8 : 8 + _header_length()])
    begin, end = header["synthesis_net.24.1.mix.weight"]["data_offsets"]

    def damage(data: bytearray) -> None:
        data[8 + _header_length() + (begin + end) // 2] ^= 1

    monkeypatch.setenv("VRCODEC_WEIGHTS", str(copied_weights(tmp_path / "part", damage)))
    assert Decoder().decode(files[8]).pixels.shape == picture.pixels.shape
    with pytest.raises(WeightsError, match="damaged; install"):
        Decoder().decode(files[24])

    for place in (_header_length(), 1, 7):
        folder = copied_weights(
            tmp_path / str(place), lambda data, n=place: data.__setitem__(n, data[n] ^ 1)
        )
        monkeypatch.setenv("VRCODEC_WEIGHTS", str(folder))
        with pytest.raises(WeightsError, match="but their card says"):
            Decoder().decode(files[8])


def _header_length() -> int:
    return int.from_bytes((GOLDEN / "slim.safetensors").read_bytes()[:8], "little")


def test_the_header_tells_the_id() -> None:
    data = (GOLDEN / "slim.safetensors").read_bytes()
    assert weights_id(data) == weights_id(data[: 8 + _header_length()]) == find_by_family("slim").id
    assert pack_model(unpack_model(data, "copy")) == data


def test_files_cut_short(
    tmp_path: Path, slim: Encoder, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = slim.encode(picture, 0)
    for length in (0, 5, 100, _header_length() + 7, _header_length() + 5000):
        folder = copied_weights(
            tmp_path / str(length), lambda d, n=length: d.__delitem__(slice(n, None))
        )
        monkeypatch.setenv("VRCODEC_WEIGHTS", str(folder))
        with pytest.raises(WeightsError):
            Decoder().decode(data)


def test_both_ways_of_loading_give_the_same(slim: Encoder, picture: Picture) -> None:
    """In part, as the coder does; and whole, with gradients, as a trainer does."""
    model = load_trainable(find_by_family("slim"))
    assert isinstance(model, Slim)
    pixels = picture.pixels[:144, :192]
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    ours = model_of(slim)
    for width in WIDTHS:
        y = ours.analyse_at_width(ours.analyse(pixels), width)
        with torch.no_grad():
            own = model.all_widths()[width]
            theirs = run_narrow(model, own, "analysis_net", x - 0.5)
        assert torch.allclose(y, theirs, atol=2e-3)
