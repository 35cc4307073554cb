"""Files that were searched for: ordinary files, and better than those that were not."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vrcodec
from tests.conftest import ROOT, Pixels, random_map
from tests.extent import examples, extent
from tests.surrogates import CODE, FAMILIES, cost
from tests.test_codec import gradient
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import UsageError
from vrcodec.metrics import ms_ssim, psnr
from vrcodec.models.hyperprior import GainParameters, HyperpriorModel
from vrcodec.picture.picture import Picture
from vrcodec.rate import BIN_CODE_OCTAVE
from vrcodec.refinement import descent
from vrcodec.refinement.effort import Effort
from vrcodec.search.rate_axis import derive_axis
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import Target


@pytest.mark.parametrize("family", FAMILIES)
def test_a_searched_file_is_an_ordinary_file_and_better(family: str, photograph: Pixels) -> None:
    encoder, picture = Encoder(family), Picture.from_array(photograph)
    qmap = random_map(picture) if family == "qmap" else None
    setting = RateSetting(CODE, qmap=qmap)
    plain, found = (encoder.encode(picture, setting, effort=Effort(level)) for level in (0, 5))
    assert plain == encoder.encode(picture, setting)
    assert found == encoder.encode(picture, setting, effort=Effort(5))
    costs = [cost(encoder, picture, setting, data) for data in (plain, found)]
    assert costs[1] < costs[0]
    plain_info, info = vrcodec.inspect(plain), vrcodec.inspect(found)
    assert (info.rate, info.model, info.width) == (plain_info.rate, plain_info.model, picture.width)


@examples(25)
@given(
    st.sampled_from(FAMILIES),
    st.integers(1, 90),
    st.integers(1, 90),
    st.booleans(),
    st.integers(0, 65535),
)
def test_any_picture_at_any_rate_comes_back_and_is_not_worse(
    family: str, width: int, height: int, grey: bool, code: int
) -> None:
    os.environ["VRCODEC_WEIGHTS"] = str(ROOT / "tests" / "golden")
    pixels = gradient(width, height)
    picture = Picture.from_array(pixels[..., 0].copy() if grey else pixels)
    encoder, setting = Encoder(family), RateSetting(code)
    plain, found = (encoder.encode(picture, setting, effort=Effort(level)) for level in (0, 2))
    decoded = Decoder().decode(found)
    assert (decoded.mode, decoded.pixels.shape) == (picture.mode, picture.pixels.shape)
    assert cost(encoder, picture, setting, found) <= cost(encoder, picture, setting, plain)


def test_a_search_that_finds_nothing_better_leaves_the_plain_file(
    monkeypatch: pytest.MonkeyPatch, photograph: Pixels
) -> None:
    monkeypatch.setattr(descent, "_LEARNING_RATE", 50.0)
    monkeypatch.setattr(descent, "_LONGEST_STEP", 50.0)
    encoder, picture = Encoder("qvrf"), Picture.from_array(photograph)
    assert encoder.encode(picture, CODE, effort=Effort(3)) == encoder.encode(picture, CODE)


def test_tuning_for_ms_ssim_raises_ms_ssim(photograph: Pixels) -> None:
    pixels = np.tile(photograph, (2, 1, 1))[:170]
    encoder, picture = Encoder("qvrf"), Picture.from_array(pixels)
    files = [encoder.encode(picture, CODE, effort=Effort(6, tune=t)) for t in ("psnr", "msssim")]
    decoded = [Decoder().decode(data).pixels for data in files]
    similar = [ms_ssim(pixels, own) for own in decoded]
    assert similar[1] > similar[0]
    assert psnr(pixels, decoded[1]) < psnr(pixels, decoded[0])


def test_ms_ssim_of_a_small_picture_is_refused(photograph: Pixels) -> None:
    with pytest.raises(UsageError, match="MS-SSIM"):
        vrcodec.encode(photograph, effort=1, tune="msssim")


@pytest.mark.parametrize("family", extent(["qvrf"], ["qvrf", "qarv"]))
def test_targets_are_met_with_better_files(
    monkeypatch: pytest.MonkeyPatch, family: str, photograph: Pixels
) -> None:
    # The tiny models hardly get better as the rate rises.
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(ROOT / "weights"))
    encoder, decoder, picture = Encoder(family), Decoder(), Picture.from_array(photograph)
    quality = 31.0
    target = Target("psnr", quality)
    plain = encode_to_target(encoder, decoder, picture, target)
    found = encode_to_target(encoder, decoder, picture, target, effort=Effort(5))
    assert found.met
    assert found.achieved == psnr(photograph, decoder.decode(found.data).pixels) >= quality
    assert len(found.data) < len(plain.data)
    limit = len(plain.data)
    found = encode_to_target(encoder, decoder, picture, Target("size", limit), effort=Effort(5))
    assert found.met
    assert len(found.data) == found.achieved <= limit
    better, usual = (psnr(photograph, decoder.decode(f.data).pixels) for f in (found, plain))
    assert better > usual


def test_a_target_out_of_reach_is_still_the_nearest(photograph: Pixels) -> None:
    encoder, decoder, picture = Encoder("qvrf"), Decoder(), Picture.from_array(photograph)
    found = encode_to_target(encoder, decoder, picture, Target("size", 10), effort=Effort(2))
    assert not found.met
    assert found.code == derive_axis(encoder.model, RateSetting(0)).low


def test_a_search_beyond_the_rates(photograph: Pixels) -> None:
    """A bit is worth more there than at any rate: or the search would only make files larger."""
    encoder, decoder, picture = Encoder("hyperprior"), Decoder(), Picture.from_array(photograph)
    target = Target("size", round(0.8 * len(encoder.encode(picture, 0))))
    plain, found = (
        encode_to_target(encoder, decoder, picture, target, effort=Effort(level))
        for level in (0, 3)
    )
    assert found.met
    better, usual = (psnr(photograph, decoder.decode(f.data).pixels) for f in (found, plain))
    assert better > usual


def test_lambda_falls_with_the_square_of_coarser_steps() -> None:
    model = Encoder("hyperprior").model
    step = model.bin_code_at(0)
    assert isinstance(model, HyperpriorModel)
    assert step is not None
    for bin_code, level in (
        (step, 0.0),
        (step + BIN_CODE_OCTAVE, -2 / math.log2(400)),
        (step - 99, 0.0),
    ):
        rate = model.with_bin_size(model.rate_parameters(0), bin_code)
        assert isinstance(rate, GainParameters)
        assert float(model.trade_off_levels(rate.gains)[0]) == pytest.approx(level, abs=1e-3)


def test_the_coder_is_left_as_it_was(photograph: Pixels) -> None:
    encoder, picture = Encoder("gained"), Picture.from_array(photograph)
    before = encoder.encode(picture, CODE)
    encoder.encode(picture, CODE, effort=Effort(1))
    assert encoder.encode(picture, CODE) == before
