"""`encode --verify`: what does not decode to the picture is not written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vrcodec
from tests.conftest import Pixels
from tests.golden.make_sides import METADATA
from vrcodec.bitstream import latent_stream
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import CorruptError, LimitError
from vrcodec.limits import Limits
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.picture import Picture
from vrcodec.search.verification import verify_encoding

Run = Callable[..., int]


@pytest.fixture
def picture(photograph: Pixels) -> Picture:
    alpha = np.zeros(photograph.shape[:2], np.uint8)
    alpha[20:90, 30:170] = 200
    return Picture(photograph, "RGB", alpha, METADATA)


@pytest.mark.parametrize("family", ["gained", "qvrf", "qmap", "slim", "qarv", "hyperprior"])
@pytest.mark.parametrize("code", [0, 65535])
def test_what_is_right_passes(picture: Picture, family: str, code: int) -> None:
    verify_encoding(Encoder(family).encode(picture, code), picture, Decoder())


def test_strange_pictures_pass(encoder: Encoder, decoder: Decoder) -> None:
    y, x = np.mgrid[0:90, 0:110]
    checkerboard = ((x + y) % 2 * 255).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (90, 110, 3), dtype=np.uint8)
    one = np.full((1, 1), 255, np.uint8)
    for array in (checkerboard, noise, noise[:, :1], one, checkerboard > 0):
        made = Picture.from_array(array)
        for code in (0, 65535):
            verify_encoding(encoder.encode(made, code), made, decoder)


def test_bins_of_any_size_pass(decoder: Decoder, photograph: Pixels) -> None:
    encoder, made = Encoder("qvrf"), Picture(photograph)
    verify_encoding(encoder.encode(made, encoder.bin_setting(64)), made, decoder)


@pytest.mark.parametrize(
    ("what", "wrong"),
    [
        ("size", lambda p: Picture(p.pixels[:-1])),
        ("mode", lambda p: replace(p, mode="L")),
        ("alpha", lambda p: replace(p, alpha=None)),
        ("alpha", lambda p: replace(p, alpha=p.alpha ^ 1)),
        ("metadata", lambda p: replace(p, metadata=Metadata(xmp=b"x"))),
        ("look like", lambda p: replace(p, pixels=255 - p.pixels)),
        ("look like", lambda p: replace(p, pixels=with_a_black_corner(p.pixels))),
    ],
)
def test_what_is_wrong_is_noticed(
    encoder: Encoder,
    decoder: Decoder,
    picture: Picture,
    what: str,
    wrong: Callable[[Picture], Picture],
) -> None:
    data = encoder.encode(wrong(picture), 40_000)
    with pytest.raises(CorruptError, match=f"{what}.*nothing is written"):
        verify_encoding(data, picture, decoder)


def with_a_black_corner(pixels: Pixels) -> Pixels:
    """Part of one cell or another."""
    changed = pixels.copy()
    changed[20:60, 30:70] = 255 * (pixels[20:60, 30:70].mean() < 128)
    return changed


def test_one_sample_counts_without_a_model(
    encoder: Encoder, decoder: Decoder, picture: Picture
) -> None:
    changed = picture.pixels.copy()
    changed[0, 0, 0] ^= 1
    data = encoder.encode_lossless(replace(picture, pixels=changed))
    with pytest.raises(CorruptError, match="pixels"):
        verify_encoding(data, picture, decoder)


def test_a_file_that_does_not_decode(encoder: Encoder, decoder: Decoder, picture: Picture) -> None:
    with pytest.raises(CorruptError, match=r"does not decode .*truncated.*nothing is written"):
        verify_encoding(encoder.encode(picture, 0)[:-5], picture, decoder)


def test_limits_are_not_called_faults(encoder: Encoder, picture: Picture) -> None:
    with pytest.raises(LimitError):
        verify_encoding(encoder.encode(picture, 0), picture, Decoder(limits=Limits(max_pixels=9)))


def test_nothing_is_written_when_memory_fails(
    run: Run,
    picture_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bit of a stream turns over after it has been coded."""
    target = picture_file.with_suffix(".vrc")
    target.write_bytes(b"precious")
    right = latent_stream.build_stream

    def flipped(stream: latent_stream.Stream) -> bytes:
        data = stream.data[:9] + bytes([stream.data[9] ^ 4]) + stream.data[10:]
        return right(replace(stream, data=data))

    monkeypatch.setattr(latent_stream, "build_stream", flipped)
    assert run("encode", "picture.png", "-f", "--verify") == 5
    assert "nothing is written" in capsys.readouterr().err
    assert target.read_bytes() == b"precious"
    with pytest.raises(CorruptError):
        vrcodec.encode(picture_file, verify=True)
    assert run("encode", "picture.png", "-f") == 0
    assert target.read_bytes() != b"precious"


def test_options_of_the_command(
    run: Run, picture_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    assert run("encode", "picture.png", "--verify", "--json") == 0
    found = json.loads(capsys.readouterr().out)[0]
    assert (found["verified"], found["lossless"]) == (True, False)
    Image.new("RGB", (90, 70), (3, 200, 9)).save(picture_file.with_name("flat.png"))
    assert run("encode", "flat.png", "--lossless-fallback", "--verify", "--json") == 0
    said = capsys.readouterr()
    found = json.loads(said.out)[0]
    assert "lossless" in said.err
    assert (found["model"], found["lossless"], found["rate"]) == ("lossless", True, None)
    assert run("info", "flat.vrc") == 0
    assert "without loss" in capsys.readouterr().out
    assert run("verify", "--full", "flat.vrc") == 0
    assert run("decode", "flat.vrc", "-o", "again.png") == 0
    with Image.open(picture_file.with_name("again.png")) as image:
        assert image.getcolors() == [(90 * 70, (3, 200, 9))]


@pytest.mark.parametrize("model", ["qvrf", "gained", "slim"])
def test_a_thin_cell_at_the_edge_says_little(model: str) -> None:
    """A dot in a cell of one pixel is not what breaks a model."""
    pixels = np.full((49, 65, 3), 255, np.uint8)
    pixels[-1, -1] = 0
    for rate in (0.0, 0.2):
        vrcodec.encode(pixels, rate, model=model, lossless="never", verify=True)
