"""Quantisation steps chosen apart from the rate."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import vrcodec
from tests.conftest import Command, Pixels, with_chunks
from vrcodec.bitstream import schema
from vrcodec.bitstream.container import parse_container
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import CorruptError, UsageError
from vrcodec.picture.picture import Picture
from vrcodec.rate import BIN_CODE_MAX, bin_size_from_code, code_from_bin_size

# From far finer to far coarser than any rate of any weights.
SIZES = [1 / 64, 0.05, 0.5, 3.0, 12.0, 64.0]
# Of the chunk that a step takes.
CHUNK_BYTES = 8


def payload(code: int) -> bytes:
    built: bytes = schema.BinSize.build(code)
    return built


with_bins = partial(with_chunks, schema.CHUNK_BIN_SIZE)


@pytest.mark.parametrize("size", SIZES)
def test_any_size_round_trips(size: float, photograph: Pixels, decoder: Decoder) -> None:
    data = vrcodec.encode(photograph, bin_size=size, model="qvrf")
    assert decoder.decode(data).to_array().shape == photograph.shape
    found = vrcodec.inspect(data).bin_size
    assert found is not None
    assert abs(math.log2(found / size)) <= 0.5 / 2048


def test_finer_bins_mean_more_bytes_and_a_smaller_error(
    photograph: Pixels, decoder: Decoder
) -> None:
    files = [vrcodec.encode(photograph, bin_size=size, model="qvrf") for size in SIZES]
    lengths = [len(data) for data in files]
    assert lengths == sorted(lengths, reverse=True)
    errors = [
        float(np.square(decoder.decode(data).to_array() - photograph.astype(float)).mean())
        for data in files
    ]
    assert errors[0] < errors[-2] < errors[-1]


@pytest.mark.parametrize("rate_code", [0, 12_345, 40_000])
def test_a_rates_own_step_gives_the_rates_own_picture(
    rate_code: int, photograph: Pixels, decoder: Decoder
) -> None:
    """But for the rounding of the step to its code, and for the chunk that has it."""
    encoder = Encoder("qvrf")
    picture = Picture.from_array(photograph)
    state = encoder.model.rate_parameters(rate_code)
    step = float(state.gains.inverse_gain.item())  # type: ignore[attr-defined]
    chosen = encoder.encode(picture, encoder.bin_setting(step))
    assert abs(parse_container(chosen).header.rate_code - rate_code) <= 8
    plain = encoder.encode(picture, rate_code)
    assert 0.99 * len(plain) < len(chosen) - CHUNK_BYTES < 1.01 * len(plain)


@pytest.mark.parametrize("size", [0.0, -1.0, 1 / 65, 64.1, math.inf, math.nan])
def test_sizes_out_of_range_are_refused(size: float) -> None:
    with pytest.raises(UsageError, match="between 1/64 and 64"):
        code_from_bin_size(size)


def test_the_ends_of_the_range_belong_to_it() -> None:
    assert code_from_bin_size(1 / 64) == -BIN_CODE_MAX
    assert code_from_bin_size(64) == BIN_CODE_MAX
    assert bin_size_from_code(0) == 1


def test_a_family_without_the_step_says_so(photograph: Pixels) -> None:
    with pytest.raises(UsageError, match="gained has no bin size"):
        vrcodec.encode(photograph, bin_size=1.0, model="gained")


def test_another_step_than_the_encoders_is_noticed_or_shown(
    photograph: Pixels, decoder: Decoder
) -> None:
    """The step chooses tables: with another one the symbols' checksum does not fit."""
    data = vrcodec.encode(photograph, bin_size=12.0, model="qvrf")
    with pytest.raises(CorruptError):
        decoder.decode(with_bins(data, payload(300)))
    # By the step of the rate, which goes no further than 5.
    with pytest.raises(CorruptError):
        decoder.decode(with_bins(data))


@pytest.mark.parametrize(
    "payloads",
    [
        (b"",),
        (b"\0",),
        (b"\0\0\0",),
        (b"\0\0", b"\0\0"),
        (payload(BIN_CODE_MAX + 1),),
        (payload(-BIN_CODE_MAX - 1),),
        (payload(-32768),),
    ],
)
def test_hostile_values(payloads: tuple[bytes, ...], photograph: Pixels, decoder: Decoder) -> None:
    data = with_bins(vrcodec.encode(photograph, bin_size=1.0, model="qvrf"), *payloads)
    for use in (decoder.decode, vrcodec.inspect):
        with pytest.raises(CorruptError, match="bin size"):
            use(data)


def test_command_line(
    run: Callable[..., int], vrcodec: Command, picture_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.vrc"
    assert run("encode", picture_file, "-o", target, "--model", "qvrf", "--bin-size", "0.3") == 0
    shown = vrcodec("info", target)
    assert b"bins of size 0.3" in shown.stdout
    assert json.loads(vrcodec("info", "--json", target).stdout)[0]["bin_size"] == pytest.approx(
        0.3, rel=1e-3
    )
    assert run("decode", target, "-o", tmp_path / "out.png") == 0


def test_a_target_beyond_the_rates_says_its_steps(
    run: Callable[..., int], picture_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smallest = tmp_path / "smallest.vrc"
    options = ("--model", "qvrf", "--lossless", "never")
    assert run("encode", picture_file, "-o", smallest, "--rate", "0", *options) == 0
    size = round(0.8 * smallest.stat().st_size)
    target = tmp_path / "out.vrc"
    capsys.readouterr()
    assert run("encode", picture_file, "-o", target, "--size", size, "--json", *options) == 0
    shown = capsys.readouterr()
    bin_size = vrcodec.inspect(target.read_bytes()).bin_size
    assert bin_size is not None
    assert json.loads(shown.out)[0]["bin_size"] == bin_size
    assert f"with bins of size {bin_size:.5g}" in shown.err


@pytest.mark.parametrize("other", [["--rate", "0.5"], ["--bpp", "1"], ["--psnr", "30"]])
def test_one_way_of_choosing_at_a_time(
    run: Callable[..., int], picture_file: Path, other: list[str]
) -> None:
    arguments = ["encode", picture_file, "-o", "x.vrc", "--model", "qvrf", "--bin-size", "1"]
    assert run(*arguments, *other) == 2
    assert not Path("x.vrc").exists()
