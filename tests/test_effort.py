"""The search for better latents: files that are never worse, decode as ever, and are whole or not there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import vrcodec
from tests.conftest import ROOT, Pixels, random_map
from tests.extent import examples, extent
from tests.test_codec import gradient
from vrcodec.bitstream.information_content import symbol_bits
from vrcodec.bitstream.rans import CodingTables
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.bitstream.tables import gaussian_tables
from vrcodec.codec import Decoder, Encoder, Engine, derive_rate_parameters
from vrcodec.errors import UsageError
from vrcodec.metrics import ms_ssim, psnr
from vrcodec.models.coding.entropy import round_with_dead_zone
from vrcodec.picture.picture import Picture
from vrcodec.refinement import descent, rounding
from vrcodec.refinement.bit_cost import BitCostTables
from vrcodec.refinement.descent import LatentOptimiser, StepBudget
from vrcodec.refinement.distortion import Original, SquaredError
from vrcodec.refinement.effort import MAX_EFFORT, STEPS, Effort, SearchMonitor
from vrcodec.refinement.refine import create_surrogate
from vrcodec.refinement.surrogate import Surrogate
from vrcodec.regions.grid import Block
from vrcodec.regions.window import crop_to
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import Target

FAMILIES = ("gained", "qvrf", "qmap", "slim", "qarv")
CODE = 40_000
CPU = torch.device("cpu")


def surrogate(
    family: str, pixels: Pixels, code: int = CODE, precision: str = "float32"
) -> tuple[Encoder, RateSetting, Surrogate]:
    encoder = Encoder(family, Engine(precision=precision))
    picture = Picture.from_array(pixels)
    setting = RateSetting(code, qmap=random_map(picture) if family == "qmap" else None)
    rate = derive_rate_parameters(encoder.model, setting, picture.width, picture.height)
    return encoder, setting, create_surrogate(encoder.model, encoder.analyse(picture), rate)


def cost(encoder: Encoder, picture: Picture, setting: RateSetting, data: bytes) -> float:
    """What the search minimises, of a real file."""
    rate = derive_rate_parameters(encoder.model, setting, picture.width, picture.height)
    levels = create_surrogate(encoder.model, encoder.analyse(picture), rate).levels
    distortion = SquaredError(Original(picture.pixels, CPU), levels)
    return 8 * len(data) + distortion.of_picture(Decoder().decode(data).pixels)


# --- files ---


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
    assert found.code == 0


# --- the surrogate says what the coder does ---


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [(200, 150), (1, 1), (1100, 70), (40, 1040)])
def test_a_surrogate_that_rounds_is_the_decoder(family: str, size: tuple[int, int]) -> None:
    encoder, setting, own = surrogate(family, gradient(*size))
    whole = torch.zeros(1, encoder.model.size.latent, own.grid.height, own.grid.width)
    bits = 0.0
    for block in own.blocks:
        y_hat, own_bits = own.decode(block, own.variables(block), rounding.round_residual)
        whole = whole[:, : y_hat.shape[1]]
        crop_to(whole, block).copy_(y_hat)
        bits += float(own_bits)
    everything = Block(0, own.grid.height, 0, own.grid.width)
    x_hat = own.synthesise(whole, everything)[0, :, : size[1], : size[0]]
    pixels = (x_hat * 255).round().clamp(0, 255).permute(1, 2, 0).numpy()
    streams = own.streams()
    rate = derive_rate_parameters(encoder.model, setting, *size)
    decoded = encoder.model.decompress(streams, rate, *size)
    assert np.abs(pixels - decoded.astype(np.float32)).max() <= 1
    written = 8 * sum(len(stream.data) for stream in streams)
    # A stream ends with whole words and begins with the state of the coder.
    assert abs(written - bits) < 0.03 * bits + 96 * len(streams)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_found_at_one_rate_is_where_another_begins(
    family: str, photograph: Pixels
) -> None:
    encoder, setting, own = surrogate(family, photograph)
    picture = Picture.from_array(photograph)
    rate = derive_rate_parameters(encoder.model, setting, picture.width, picture.height)
    again = create_surrogate(
        encoder.model, encoder.analyse(picture), rate, own.continuous_latents()
    )
    for one, other in zip(
        own.variables(own.blocks[0]), again.variables(own.blocks[0]), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-4)


@given(st.integers(-1500, 1500), st.integers(0, 63))
def test_bit_costs_at_integers_are_those_of_the_tables(symbol: int, table: int) -> None:
    tables = CodingTables(gaussian_tables())
    kept = max(-1024, min(symbol, 1024))
    wanted = symbol_bits(np.array([kept], np.int32), np.array([table]), tables)[0]
    found = BitCostTables(tables, CPU).total_bits(
        torch.tensor([float(symbol)]), torch.tensor([float(table)])
    )
    assert float(found) == pytest.approx(wanted, rel=1e-2, abs=1e-3)


def test_gradients_of_bit_costs_are_their_slopes() -> None:
    costs = BitCostTables(CodingTables(gaussian_tables()), CPU)
    symbols = torch.tensor([0.3, -2.6, 7.2, 0.0], dtype=torch.float64, requires_grad=True)
    table = torch.tensor([5.4, 20.7, 33.1, 12.5], dtype=torch.float64, requires_grad=True)
    costs.total_bits(symbols, table).backward()
    for x in (symbols, table):
        for k in range(len(x)):
            values = []
            for step in (1e-3, 0.0):
                moved = x.detach().clone()
                moved[k] += step
                pair = (moved, table.detach()) if x is symbols else (symbols.detach(), moved)
                values.append(float(costs.total_bits(*pair)))
            assert float(x.grad[k]) == pytest.approx(
                (values[0] - values[1]) / 1e-3, rel=0.02, abs=0.02
            )


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20), st.floats(-4, 4))
def test_rounding_lies_between_integers_and_ends_as_the_coder_rounds(
    values: list[float], log2_scale: float
) -> None:
    residual, scale = torch.tensor(values), torch.tensor(log2_scale)
    annealed = rounding.AnnealedRounding(CPU, 24)
    annealed.set_progress(0.5)
    found = annealed(residual, scale)
    coder = round_with_dead_zone(residual, scale)
    assert (rounding.round_residual(residual, scale) == coder).all()
    assert ((found - coder).abs() <= 1 + 1e-5).all()


# --- blocks and strips ---


def distortion_gradient(pixels: Pixels, own: Surrogate) -> torch.Tensor:
    """The gradient of the distortion towards what the synthesis gets of the first block."""
    distortion = SquaredError(Original(pixels, CPU), own.levels)
    optimiser = LatentOptimiser(own, distortion, halo=4)
    block = own.blocks[0]
    optimiser.run(StepBudget(steps=0), lambda share: None)
    y_hat, _ = own.decode(block, own.variables(block), rounding.round_residual)
    return optimiser._distortion_gradient(block, y_hat.detach())


@pytest.mark.parametrize("size", [(190, 300), (1200, 90)])
def test_strips_do_not_change_gradients(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    pixels = gradient(*size)
    _, _, own = surrogate("qvrf", pixels)
    whole = distortion_gradient(pixels, own)
    monkeypatch.setattr(descent, "_STRIP_PIXELS", 16 * size[0] * 2)
    assert torch.allclose(
        distortion_gradient(pixels, own), whole, rtol=1e-3, atol=1e-3 * float(whole.abs().max())
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_are_refined_each_beside_the_others(family: str) -> None:
    pixels = gradient(1060, 40)
    encoder, picture = Encoder(family), Picture.from_array(pixels)
    shares: list[float] = []
    data = encoder.encode(picture, CODE, effort=Effort(4), monitor=SearchMonitor(shares.append))
    assert shares == sorted(shares)
    assert 0.0 <= shares[0] < 0.5 < shares[-1] <= 1.0
    setting = RateSetting(CODE)
    plain = encoder.encode(picture, CODE)
    assert cost(encoder, picture, setting, data) < cost(encoder, picture, setting, plain)


def test_the_coder_is_left_as_it_was(photograph: Pixels) -> None:
    encoder, picture = Encoder("gained"), Picture.from_array(photograph)
    before = encoder.encode(picture, CODE)
    encoder.encode(picture, CODE, effort=Effort(1))
    assert encoder.encode(picture, CODE) == before


# --- time ---


def test_steps_double() -> None:
    assert STEPS[0] == 0
    assert all(1.5 <= b / a <= 2 for a, b in pairwise(STEPS[1:]))


def test_a_budget_of_time_is_shared_by_blocks_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(descent.time, "monotonic", lambda: clock[0])
    budget = StepBudget(deadline=110.0)
    for block in range(4):
        began = clock[0]
        for share in budget.progress(block, 4):
            assert 0 <= share < 1
            clock[0] += 0.3
        assert 2.1 <= clock[0] - began <= 2.8
    assert clock[0] <= 110.3
    assert list(budget.progress(3, 4)) == []


def test_a_budget_that_is_spent_before_it_begins_gives_the_plain_file(photograph: Pixels) -> None:
    encoder, picture = Encoder("qvrf"), Picture.from_array(photograph)
    found = encoder.encode(picture, CODE, effort=Effort(seconds=1e-6))
    assert Decoder().decode(found).pixels.shape == photograph.shape


@pytest.mark.parametrize(
    "arguments",
    [
        {"level": MAX_EFFORT + 1},
        {"level": -1},
        {"seconds": 0.0},
        {"seconds": float("inf")},
        {"tune": "vmaf"},
    ],
)
def test_nonsense_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Effort(**arguments)  # type: ignore[arg-type]


# --- interrupted ---


class Interrupting(SearchMonitor):
    def __init__(self, keep_partial: bool) -> None:
        super().__init__(self._interrupt, keep_partial)

    @staticmethod
    def _interrupt(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt


@pytest.mark.parametrize("family", FAMILIES)
def test_an_interrupt_keeps_what_was_found_if_asked_to(family: str, photograph: Pixels) -> None:
    encoder, picture = Encoder(family), Picture.from_array(photograph)
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(picture, CODE, effort=Effort(6), monitor=Interrupting(keep_partial=False))
    monitor = Interrupting(keep_partial=True)
    found = encoder.encode(picture, CODE, effort=Effort(6), monitor=monitor)
    assert monitor.interrupted
    plain = encoder.encode(picture, CODE)
    setting = RateSetting(CODE)
    assert cost(encoder, picture, setting, found) < cost(encoder, picture, setting, plain)


# The command, which says when its search has begun. Whoever runs tests in the background may have switched
# Ctrl-C off for all that they start.
_SEARCHING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from vrcodec.cli import main
from vrcodec.cli.shared import output
output.part_done = lambda share: print("searching", file=sys.stderr, flush=True)
main.main()
"""


@pytest.mark.parametrize("keep", [False, True])
def test_ctrl_c_leaves_a_whole_file_or_none(tmp_path: Path, picture_file: Path, keep: bool) -> None:
    target = tmp_path / "found.vrc"
    flags = ["--keep-partial"] if keep else []
    command = [sys.executable, "-c", _SEARCHING, "encode", str(picture_file), "-o", str(target)]
    process = subprocess.Popen(
        [*command, "--time-budget", "60", *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == b"searching\n"
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"interrupted" in messages
    assert sorted(p.name for p in tmp_path.iterdir()) == ["found.vrc"] * keep + ["picture.png"]
    if keep:
        assert vrcodec.open(target).size == (200, 150)


# --- the command ---


def test_the_command_says_what_it_did(
    run: Callable[..., int], picture_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("encode", picture_file, "--effort", 1, "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert (result["effort"], result["tune"]) == (1, "psnr")
    assert run("encode", picture_file, "-f", "--time-budget", 0.5, "--json", "-r", 0.2) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["time_budget"] == 0.5
    assert "effort" not in result


@pytest.mark.parametrize(
    "flags",
    [
        ("--effort", 3, "--time-budget", 2),
        ("--effort", 10),
        ("--time-budget", 0),
        ("--tune", "msssim"),
        ("--keep-partial",),
        ("--effort", 1, "--tune", "msssim"),
    ],
)
def test_flags_that_do_not_go_together(
    run: Callable[..., int], picture_file: Path, flags: tuple[object, ...]
) -> None:
    assert run("encode", picture_file, *flags) == 2
    assert not picture_file.with_suffix(".vrc").exists()


def test_effort_in_python(photograph: Pixels) -> None:
    assert len(vrcodec.encode(photograph, 0.5, effort=2)) > 0
    assert len(vrcodec.encode(photograph, 0.5, time_budget=0.2, model="qarv")) > 0
    with pytest.raises(UsageError):
        vrcodec.encode(photograph, 0.5, effort=2, time_budget=1)
