"""Targets are met with the fewest probes, and never exceeded, on pictures of every kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st

import vrcodec
from tests.conftest import Pixels
from tests.extent import extent, photographs
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import TargetError, UsageError
from vrcodec.metrics import as_decibels, ms_ssim, psnr, ssimulacra2
from vrcodec.picture.picture import Picture
from vrcodec.rate import BIN_CODE_MAX, BIN_CODE_OCTAVE, RATE_CODE_MAX
from vrcodec.search.rate_axis import derive_axis
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.rate_search import find_rate_code
from vrcodec.search.size_forecast import SizeForecast, total_table_usage
from vrcodec.search.target import (
    BYTES_TOLERANCE,
    POINTS_TOLERANCE,
    QUALITY_TOLERANCE,
    Target,
    TargetBand,
)

# What a search may cost on any smooth curve, and on average on those of photographs.
FEW_PROBES = 9
FEW_PROBES_ON_PHOTOGRAPHS = 3

# A model's file, also where none would be smaller.
search = partial(encode_to_target, lossless="never")


def counted(value: Callable[[int], float]) -> tuple[Callable[[int], float], list[int]]:
    probes: list[int] = []

    def probe(code: int) -> float:
        probes.append(code)
        return value(code)

    return probe, probes


@given(
    st.floats(0.2, 5), st.floats(0.5, 2), st.floats(-0.5, 0.5), st.floats(0.01, 0.99), st.booleans()
)
def test_a_smooth_curve_takes_few_probes(
    offset: float, steepness: float, bend: float, where: float, ceiling: bool
) -> None:
    def value(code: int) -> float:
        r = code / RATE_CODE_MAX
        return math.log(offset) + 3.1 * steepness * (r + bend * r * (1 - r))

    goal = value(round(where * RATE_CODE_MAX))
    low, high = (goal - 0.005, goal) if ceiling else (goal, goal + 0.005)
    probe, probes = counted(value)
    code, met = find_rate_code(probe, TargetBand(low, high, ceiling, 0.0, 3.1))
    assert met
    assert low <= value(code) <= high
    assert len(probes) <= FEW_PROBES


@given(st.data())
def test_any_rising_steps_are_searched_to_the_neighbouring_code(data: st.DataObject) -> None:
    """A small picture's size is a stair."""
    heights = data.draw(st.lists(st.integers(40, 400), min_size=1, max_size=12).map(sorted))
    ceiling = data.draw(st.booleans())
    goal = data.draw(st.floats(30, 500))

    def value(code: int) -> float:
        return float(heights[code * len(heights) // (RATE_CODE_MAX + 1)])

    low, high = (goal - 0.2, goal) if ceiling else (goal, goal + 0.2)
    probe, probes = counted(value)
    code, met = find_rate_code(probe, TargetBand(low, high, ceiling, 60.0, 300.0))
    assert len(probes) <= 60
    if ceiling:
        assert met == (heights[0] <= high)
        allowed = [h for h in heights if h <= high]
        assert value(code) == (max(allowed) if allowed else heights[0])
    else:
        assert met == (heights[-1] >= low)
        assert value(code) == (min(h for h in heights if h >= low) if met else heights[-1])


def test_a_curve_that_falls_ends_all_the_same() -> None:
    for ceiling in (True, False):
        goal = TargetBand(0.4, 0.4001, ceiling, 0.0, 1.0)
        code, _ = find_rate_code(lambda c: 1 - c / RATE_CODE_MAX, goal)
        assert 0 <= code <= RATE_CODE_MAX


@pytest.mark.parametrize("family", ["gained", "qvrf", "qmap"])
def test_the_forecast_of_sizes(family: str) -> None:
    """It begins at what is known, rises, and is corrected by a second file."""
    encoder = Encoder(family)
    picture = Picture.from_array(skimage.data.astronaut()[:200, :300])
    latents = encoder.analyse(picture)
    forecast = SizeForecast(encoder.model)
    bits = {}
    for code in (30_000, 20_000):
        streams = encoder.compress(picture, latents, RateSetting(code))
        bits[code] = 8.0 * len(encoder.assemble(picture, RateSetting(code), streams))
        forecast.add_file(code, bits[code], total_table_usage(streams))
    assert abs(forecast.code_for_bits(20_000, bits[20_000]) - 20_000) <= 1
    assert abs(forecast.code_for_bits(20_000, bits[30_000]) - 30_000) <= 1000
    between = forecast.code_for_bits(20_000, (bits[20_000] + bits[30_000]) / 2)
    assert 20_000 < between < 30_000


def pictures() -> dict[str, Picture]:
    """Photographs, and pictures whose size and quality hardly depend on the rate."""
    random = np.random.default_rng(0)
    arrays: dict[str, Pixels] = {
        "photograph": skimage.data.astronaut()[:200, :300],
        "flat": np.full((200, 170, 3), 77, np.uint8),
        "noise": random.integers(0, 256, (170, 180, 3), np.uint8),
        "dot": np.full((1, 1, 3), 200, np.uint8),
        "tiny": skimage.data.coffee()[:7, :5],
        "grey": skimage.data.camera()[:200, :200],
    }
    return {name: Picture.from_array(array) for name, array in arrays.items()}


PICTURES = pictures()


@pytest.mark.parametrize("family", ["gained", "qvrf", "qmap", "slim", "qarv", "hyperprior"])
@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("share", extent([0.3, 1.0], [0.0, 0.3, 0.8, 1.0]))
def test_size_targets(decoder: Decoder, family: str, name: str, share: float) -> None:
    encoder, picture = Encoder(family), PICTURES[name]
    smallest, largest = (len(encoder.encode(picture, code)) for code in (0, RATE_CODE_MAX))
    limit = round(smallest + share * (largest - smallest))
    found = search(encoder, decoder, picture, Target("size", limit))
    assert found.met
    assert found.achieved == len(found.data) <= limit
    assert decoder.decode(found.data).pixels.shape == picture.pixels.shape
    close = len(found.data) >= limit * (1 - BYTES_TOLERANCE)
    at_the_top = found.code == RATE_CODE_MAX
    assert close or at_the_top or len(encoder.encode(picture, found.code + 1)) > limit


def test_bpp_is_size(encoder: Encoder, decoder: Decoder) -> None:
    picture = PICTURES["photograph"]
    found = search(encoder, decoder, picture, Target("bpp", 0.6))
    assert found.achieved == 8 * len(found.data) / 60000
    assert 0.6 * (1 - BYTES_TOLERANCE) <= found.achieved <= 0.6


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_psnr_targets(encoder: Encoder, decoder: Decoder, share: float) -> None:
    picture = PICTURES["photograph"]
    low, high = (
        psnr(picture.pixels, decoder.decode(encoder.encode(picture, code)).pixels)
        for code in (0, RATE_CODE_MAX)
    )
    wanted = low + share * (high - low)
    found = search(encoder, decoder, picture, Target("psnr", wanted))
    achieved = psnr(picture.pixels, decoder.decode(found.data).pixels)
    assert found.achieved == pytest.approx(achieved)
    assert wanted <= achieved <= wanted + QUALITY_TOLERANCE


def measured(
    metric: Callable[[Pixels, Pixels], float | None],
    picture: Picture,
    decoder: Decoder,
    data: bytes,
) -> float:
    value = metric(picture.pixels, decoder.decode(data).pixels)
    assert value is not None
    return value


@pytest.mark.parametrize("installed", [True, False])
def test_ssim_targets(
    encoder: Encoder, decoder: Decoder, installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there is no PyTorch."""
    if not installed:
        monkeypatch.setattr("vrcodec.metrics.pictures.is_installed", lambda name: False)
    picture = PICTURES["photograph"]

    similarity = partial(measured, ms_ssim, picture, decoder)
    low, high = (similarity(encoder.encode(picture, code)) for code in (0, RATE_CODE_MAX))
    wanted = (low + high) / 2
    found = search(encoder, decoder, picture, Target("ssim", wanted))
    assert found.achieved == pytest.approx(similarity(found.data))
    assert wanted <= found.achieved
    assert as_decibels(found.achieved) <= as_decibels(wanted) + QUALITY_TOLERANCE


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_ssimulacra2_targets(
    encoder: Encoder, decoder: Decoder, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there is no PyTorch."""
    monkeypatch.setattr("vrcodec.metrics.pictures.is_installed", lambda name: False)
    picture = PICTURES["photograph"]

    score = partial(measured, ssimulacra2, picture, decoder)
    low, high = (score(encoder.encode(picture, code)) for code in (0, RATE_CODE_MAX))
    wanted = low + share * (high - low)
    found = search(encoder, decoder, picture, Target("ssimulacra2", wanted))
    assert found.achieved == pytest.approx(score(found.data))
    assert wanted <= found.achieved <= wanted + POINTS_TOLERANCE


def test_ssimulacra2_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The score of the package `ssimulacra2` 0.3.0."""
    monkeypatch.setattr("vrcodec.metrics.pictures.is_installed", lambda name: False)
    cat = skimage.data.chelsea()[40:173, 90:291]
    noise = np.random.default_rng(0).integers(-20, 21, cat.shape)
    noisy = np.clip(cat + noise, 0, 255).astype(np.uint8)
    assert ssimulacra2(cat, noisy) == pytest.approx(24.7417, abs=0.01)
    assert ssimulacra2(cat, cat) == 100


def test_ssim_of_a_small_picture_is_refused(encoder: Encoder, decoder: Decoder) -> None:
    with pytest.raises(UsageError, match="161"):
        search(encoder, decoder, PICTURES["tiny"], Target("ssim", 0.9))


OUT_OF_REACH = [
    (Target("size", 50), "coarsest"),
    (Target("bpp", 0.001), "coarsest"),
    (Target("psnr", 70), "finest"),
    (Target("ssim", 0.99999), "finest"),
]


@pytest.mark.parametrize(("target", "end"), OUT_OF_REACH)
def test_targets_out_of_reach(encoder: Encoder, decoder: Decoder, target: Target, end: str) -> None:
    picture = PICTURES["photograph"]
    found = search(encoder, decoder, picture, target)
    code = {"coarsest": 0, "finest": RATE_CODE_MAX}[end]
    assert (found.code, found.met) == (code, False)
    assert found.data == encoder.encode(picture, code)
    with pytest.raises(TargetError, match=r"the nearest is [\d.e-]+ at rate [01]"):
        search(encoder, decoder, picture, target, strict=True)


@pytest.mark.parametrize(("target", "end"), OUT_OF_REACH)
def test_targets_beyond_all_steps(decoder: Decoder, target: Target, end: str) -> None:
    encoder, picture = Encoder("hyperprior"), PICTURES["photograph"]
    found = search(encoder, decoder, picture, target)
    axis = derive_axis(encoder.model, RateSetting(0))
    assert (found.code, found.met) == ({"coarsest": axis.low, "finest": axis.high}[end], False)
    with pytest.raises(TargetError, match=rf"the nearest is [\d.e-]+ with the {end} steps"):
        search(encoder, decoder, picture, target, strict=True)


@pytest.mark.parametrize(
    ("family", "rate_code", "share"),
    [("qvrf", 0, 0.8), ("hyperprior", 0, 0.8), ("hyperprior", RATE_CODE_MAX, 1.05)],
)
def test_sizes_beyond_the_rates(
    decoder: Decoder, family: str, rate_code: int, share: float
) -> None:
    encoder, picture = Encoder(family), PICTURES["photograph"]
    limit = round(share * len(encoder.encode(picture, rate_code)))
    found = search(encoder, decoder, picture, Target("size", limit))
    assert found.met
    assert limit * (1 - BYTES_TOLERANCE) <= len(found.data) <= limit
    assert decoder.decode(found.data).pixels.shape == picture.pixels.shape
    assert vrcodec.inspect(found.data).bin_size is not None


@pytest.mark.parametrize(("family", "less"), [("qvrf", 0.1), ("hyperprior", 1.0)])
def test_qualities_beyond_the_rates(decoder: Decoder, family: str, less: float) -> None:
    encoder, picture = Encoder(family), PICTURES["photograph"]
    at_rate_0 = encoder.encode(picture, 0)
    wanted = psnr(picture.pixels, decoder.decode(at_rate_0).pixels) - less
    found = search(encoder, decoder, picture, Target("psnr", wanted))
    achieved = psnr(picture.pixels, decoder.decode(found.data).pixels)
    assert found.achieved == pytest.approx(achieved)
    assert wanted <= achieved <= wanted + QUALITY_TOLERANCE
    assert len(found.data) < len(at_rate_0)


def test_steps_go_on_where_those_of_the_rates_end() -> None:
    model = Encoder("hyperprior").model
    axis = derive_axis(model, RateSetting(0))
    assert axis.setting(0) == RateSetting(0)
    assert axis.setting(RATE_CODE_MAX) == RateSetting(RATE_CODE_MAX)
    own, nearest, coarsest = (
        model.bin_code_at(0),
        axis.setting(-1).bin_code,
        axis.setting(axis.low).bin_code,
    )
    assert own is not None
    assert nearest is not None
    assert coarsest is not None
    assert abs(nearest - own) <= 1
    assert coarsest - own == pytest.approx(1.5 * BIN_CODE_OCTAVE, abs=1)
    assert axis.setting(axis.low).rate_code == 0
    # No step is finer than the finest that a file can name.
    assert axis.setting(axis.high) == RateSetting(RATE_CODE_MAX, -BIN_CODE_MAX)


def test_families_without_steps_end_at_the_rates(encoder: Encoder) -> None:
    assert derive_axis(encoder.model, RateSetting(0)).ends == (0, RATE_CODE_MAX)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("size", 0), ("size", -3), ("bpp", math.nan), ("psnr", math.inf), ("ssim", 1), ("ssim", 0)],
)
def test_what_is_no_target(kind: str, value: float) -> None:
    with pytest.raises(UsageError):
        Target(kind, value)  # type: ignore[arg-type]


def test_on_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the shipped weights: few probes, and close."""
    monkeypatch.delenv("VRCODEC_WEIGHTS")
    encoder, decoder = Encoder(), Decoder()
    encoded: list[int] = []
    compress = encoder.compress
    monkeypatch.setattr(encoder, "compress", lambda *a: (encoded.append(1), compress(*a))[1])
    pictures = list(photographs().values())
    chosen = pictures[:: max(1, len(pictures) // 8)]
    for picture in chosen:
        for bpp in (0.3, 1.0):
            found = search(encoder, decoder, picture, Target("bpp", bpp))
            assert bpp * (1 - BYTES_TOLERANCE) <= found.achieved <= bpp
    assert len(encoded) / (2 * len(chosen)) <= FEW_PROBES_ON_PHOTOGRAPHS
