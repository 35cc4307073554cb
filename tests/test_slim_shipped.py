"""What widths promise, with the shipped weights: no step back at a switch, less work at low rates."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from tests.conftest import ROOT
from tests.extent import photographs
from vrcodec.codec import Decoder, Encoder
from vrcodec.metrics import psnr
from vrcodec.models import Slim
from vrcodec.rate import RATE_CODE_MAX


@pytest.fixture(autouse=True)
def shipped_weights(tiny_weights: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VRCODEC_WEIGHTS")


def test_no_picture_steps_back_at_a_switch() -> None:
    """Nor from end to end of what a width serves."""
    encoder, decoder = Encoder("slim"), Decoder()
    assert isinstance(encoder.model, Slim)
    firsts = encoder.model.schedule[:, 0].tolist()
    codes = sorted({0, *firsts, *(code - 1 for code in firsts[1:]), RATE_CODE_MAX})
    assert len({encoder.model.rate_parameters(code).width for code in codes}) == len(firsts)
    for picture in photographs().values():
        files = [encoder.encode(picture, code) for code in codes]
        quality = [psnr(picture.pixels, decoder.decode(data).pixels) for data in files]
        assert all(len(b) > len(a) for a, b in pairwise(files))
        assert all(b > a for a, b in pairwise(quality))


def test_the_card_knows_of_no_step_back() -> None:
    card = json.loads((ROOT / "weights" / "slim.json").read_text())
    assert card["not_monotone"] == {"bytes": [], "psnr": []}
    assert [point["bpp"] for point in card["curve"]] == sorted(p["bpp"] for p in card["curve"])
