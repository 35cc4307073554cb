"""Widths in files, from the command line, and along the rate."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import vrcodec
from tests.conftest import Command, Pixels, with_chunks
from tests.slimmable import WIDTHS, model_of
from vrcodec.bitstream import schema
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import CorruptError, UsageError
from vrcodec.metrics import psnr
from vrcodec.models import Slim
from vrcodec.picture.picture import Picture
from vrcodec.rate import RATE_CODE_MAX


def width_payload(width: int) -> bytes:
    built: bytes = schema.Width.build(width)
    return built


with_widths = partial(with_chunks, schema.CHUNK_WIDTH)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("rate", [0.0, 0.6, 1.0])
def test_a_chosen_width_is_stored_and_used(width: int, rate: float, photograph: Pixels) -> None:
    data = vrcodec.encode(photograph, rate, width=width, model="slim")
    assert vrcodec.inspect(data).network_width == width
    decoder = Decoder()
    assert decoder.decode(data).to_array().shape == photograph.shape
    (model,) = decoder._models.values()
    assert isinstance(model, Slim)
    assert {w for w, _ in model._networks} == {width}


def test_a_width_has_a_range_of_its_own(slim: Encoder, picture: Picture) -> None:
    """From rate 0 to 1 the file grows and the picture improves, at every width."""
    for width in WIDTHS:
        files = [slim.encode(picture, RateSetting(c, width=width)) for c in (0, 32768, 65535)]
        errors = [-psnr(Decoder().decode(f).pixels, picture.pixels) for f in files]
        assert [len(f) for f in files] == sorted(len(f) for f in files)
        assert errors == sorted(errors, reverse=True)


def test_widths_that_do_not_exist(photograph: Pixels) -> None:
    with pytest.raises(UsageError, match="no width 17; slim has 8, 16, 24"):
        vrcodec.encode(photograph, width=17, model="slim")
    with pytest.raises(UsageError, match="gained has no width"):
        vrcodec.encode(photograph, width=8, model="gained")
    with pytest.raises(UsageError, match="a bin size goes without a map or a width"):
        vrcodec.encode(photograph, width=8, bin_size=1.0, model="slim")


@pytest.mark.parametrize(
    "payloads",
    [(b"",), (b"\x08",), (b"\x08\0\0",), (width_payload(8),) * 2, (width_payload(0),)],
)
def test_hostile_widths(payloads: tuple[bytes, ...], photograph: Pixels, decoder: Decoder) -> None:
    data = with_widths(vrcodec.encode(photograph, model="slim"), *payloads)
    with pytest.raises(CorruptError, match="width"):
        decoder.decode(data)


def test_another_width_than_the_encoders_is_noticed(photograph: Pixels, decoder: Decoder) -> None:
    data = vrcodec.encode(photograph, width=16, model="slim")
    for width in (8, 24):
        with pytest.raises(CorruptError):
            decoder.decode(with_widths(data, width_payload(width)))


def test_command_line(
    run: Callable[..., int], vrcodec: Command, picture_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.vrc"
    chosen = ("--model", "slim", "--width", "16")
    assert run("encode", picture_file, "-o", target, *chosen, "--rate", "0.3") == 0
    assert b"0.3000 of width 16" in vrcodec("info", target).stdout
    assert json.loads(vrcodec("info", "--json", target).stdout)[0]["network_width"] == 16
    assert run("decode", target, "-o", tmp_path / "out.png") == 0
    size = target.stat().st_size
    assert run("encode", picture_file, "-fo", target, *chosen, "--size", str(size)) == 0
    assert 0.99 * size <= target.stat().st_size <= size
    assert run("encode", picture_file, "-fo", target, *chosen, "--roi", "0,0,9,9") == 2
    assert run("encode", picture_file, "-fo", target, "--model", "slim", "--width", "9") == 2
    shown = vrcodec("models").stdout.decode()
    assert all(f"width {width}" in shown for width in WIDTHS)


def test_widths_rise_with_the_rate(slim: Encoder) -> None:
    model = model_of(slim)
    states = [model.rate_parameters(code) for code in range(0, RATE_CODE_MAX + 1, 257)]
    widths = [state.width for state in states]
    assert widths == sorted(widths)
    assert {*widths} <= {*WIDTHS}
    assert all(0 <= state.level <= RATE_CODE_MAX for state in states)
    rates = model.scheduled_rates()
    assert list(rates) == list(WIDTHS)
    assert rates[WIDTHS[0]][0] == 0
    assert rates[WIDTHS[-1]][1] == 1


# What a small decoder can afford.


@pytest.mark.parametrize("limit", [8, 16, 23])
def test_a_limit_of_the_width_holds_at_every_rate(
    limit: int, slim: Encoder, picture: Picture
) -> None:
    """As far as the rate's own width is within it, files are the same; beyond, they still grow and improve."""
    model, decoder = model_of(slim), Decoder()
    widest = max(width for width in WIDTHS if width <= limit)
    end = model.scheduled_rates()[widest][1]
    codes = [round(RATE_CODE_MAX * r) for r in (0, end / 2, end - 0.001, end + 0.05, 0.7, 1)]
    files = [slim.encode(picture, RateSetting(code, max_width=limit)) for code in codes]
    assert files[:3] == [slim.encode(picture, code) for code in codes[:3]]
    assert [vrcodec.inspect(data).network_width for data in files[3:]] == [widest] * 3
    assert [len(data) for data in files] == sorted(len(data) for data in files)
    quality = [psnr(decoder.decode(data).pixels, picture.pixels) for data in files]
    assert quality == sorted(quality)
    assert files[-1] == slim.encode(picture, RateSetting(RATE_CODE_MAX, width=widest))


def test_a_limit_that_nothing_is_over_changes_nothing(photograph: Pixels) -> None:
    data = vrcodec.encode(photograph, 0.9, model="slim")
    assert data == vrcodec.encode(photograph, 0.9, max_width=24, model="slim")
    assert data == vrcodec.encode(photograph, 0.9, max_kmac=99, model="slim")


def test_work_is_a_limit_of_the_width(photograph: Pixels) -> None:
    """Of the tiny model, by its card: 0.03, 0.09 and 0.16 kMAC a pixel."""
    for kmac, width in ((0.03, 8), (0.1, 16)):
        data = vrcodec.encode(photograph, 0.9, max_kmac=kmac, model="slim")
        assert vrcodec.inspect(data).network_width == width
        assert data == vrcodec.encode(photograph, 0.9, max_width=width, model="slim")


def test_limits_that_cannot_be_met(photograph: Pixels) -> None:
    for model, limit, message in (
        ("slim", {"max_width": 7}, "no width of slim is 7 or less; the narrowest is 8"),
        (
            "slim",
            {"max_kmac": 0.01},
            "decodes with 0.01 kMAC a pixel; the narrowest, 8, takes 0.03",
        ),
        ("gained", {"max_width": 8}, "gained has no width"),
        ("gained", {"max_kmac": 8}, "gained has no width"),
        ("slim", {"width": 8, "max_width": 8}, "one of width"),
        ("slim", {"bin_size": 1.0, "max_width": 8}, "a bin size goes without"),
    ):
        with pytest.raises(UsageError, match=message):
            vrcodec.encode(photograph, model=model, **limit)  # type: ignore[arg-type]


def test_a_target_is_met_within_a_limit(
    run: Callable[..., int], picture_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ("--model", "slim", "--lossless", "never", "-fo", "out.vrc", "--json")
    for target, limit in (
        (("--bpp", 0.5), ("--max-width", 8)),
        (("--psnr", 20), ("--max-kmac", 0.09)),
    ):
        assert run("encode", picture_file, *chosen, *target, *limit) == 0
        (result,) = json.loads(capsys.readouterr().out)
        assert result["target_met"]
        assert (result["network_width"] or 0) <= 16
    assert run("encode", picture_file, *chosen, "--bpp", 9, "--max-width", 8) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["network_width"] == 8
    assert result["rate"] == 1
    assert run("encode", picture_file, "-fo", "out.vrc", *chosen[:2], "--max-width", 7) == 2
    assert run("encode", picture_file, *chosen, "--width", 8, "--max-width", 8) == 2


def test_many_files_within_a_limit(
    run: Callable[..., int], picture_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "list").write_text(f"{picture_file}\n")
    batch = (
        "batch",
        "encode",
        "--manifest",
        "list",
        "--out",
        "out",
        "--model",
        "slim",
        "--rate",
        0.9,
    )
    assert run(*batch, "--max-width", 16) == 0
    (coded,) = (tmp_path / "out").rglob("*.vrc")
    assert vrcodec.inspect(coded.read_bytes()).network_width == 16
