"""What comes out: every output format holds what the file holds, or says what it cannot."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import GOLDEN, Pixels
from tests.golden.make_sides import METADATA
from vrcodec.errors import InputError, UsageError
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.output_formats import WriteOptions
from vrcodec.picture.picture import Picture
from vrcodec.picture.writing import serialise_picture, unsupported_metadata

Run = Callable[..., int]
SIDES = GOLDEN / "sides"
ALPHA = np.arange(150 * 200).reshape(150, 200).astype(np.uint8)


def arrays(photograph: Pixels) -> dict[str, np.ndarray]:
    """Pillow's mode -> an array of that kind."""
    grey = photograph[:, :, 1]
    return {
        "1": grey > 100,
        "L": grey,
        "LA": np.dstack([grey, ALPHA]),
        "RGB": photograph,
        "RGBA": np.dstack([photograph, ALPHA]),
    }


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
def test_arrays_and_files_are_the_same(photograph: Pixels, mode: str) -> None:
    array = arrays(photograph)[mode]
    picture = Picture.from_array(array)
    assert picture.to_array().dtype == array.dtype
    assert (picture.to_array() == array).all()
    for output in ("png", "npy") if "A" in mode else ("png", "npy", "ppm"):
        content = serialise_picture(picture, WriteOptions(output))
        if output == "npy":
            assert (np.load(io.BytesIO(content)) == array).all()
            continue
        with Image.open(io.BytesIO(content)) as image:
            assert image.mode == mode
            assert (np.asarray(image) == array).all()


def test_netpbm_has_a_format_for_each_mode(photograph: Pixels) -> None:
    magics = [
        serialise_picture(Picture.from_array(arrays(photograph)[mode]), WriteOptions("ppm"))[:2]
        for mode in ("1", "L", "RGB")
    ]
    assert magics == [b"P4", b"P5", b"P6"]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_not_dropped_for_a_ppm(photograph: Pixels, mode: str) -> None:
    with pytest.raises(UsageError, match=r"alpha.*\.png"):
        serialise_picture(Picture.from_array(arrays(photograph)[mode]), WriteOptions("ppm"))


def test_bilevel_with_alpha_is_as_grey(photograph: Pixels) -> None:
    picture = Picture.from_array(arrays(photograph)["1"])
    with_alpha = Picture(picture.pixels, "1", ALPHA)
    assert with_alpha.to_image().mode == "LA"
    assert set(np.unique(with_alpha.to_array()[:, :, 0])) == {0, 255}


@pytest.mark.parametrize("shape", [(5, 4, 1), (5, 4, 5), (5,), (0, 4, 4)])
def test_other_arrays_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        Picture.from_array(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
def test_png_has_all_metadata(photograph: Pixels, mode: str) -> None:
    own = Metadata(METADATA.icc, METADATA.exif, b"\xff\xfe< not all of XMP is UTF-8")
    base = Picture.from_array(arrays(photograph)[mode])
    picture = Picture(base.pixels, base.mode, base.alpha, own)
    with Image.open(io.BytesIO(serialise_picture(picture))) as image:
        image.load()
        assert image.info["icc_profile"] == own.icc
        assert image.info["exif"] == b"Exif\0\0" + (own.exif or b"")
        assert image.info["xmp"] == own.xmp
    assert unsupported_metadata(picture, "png") == []
    lost = ["an ICC profile", "EXIF data", "XMP data"]
    assert unsupported_metadata(picture, "npy") == unsupported_metadata(picture, "ppm") == lost
    assert unsupported_metadata(base, "npy") == []


def test_a_plain_png_has_nothing_else(photograph: Pixels) -> None:
    content = serialise_picture(Picture(photograph))
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert not set(image.info) & {"icc_profile", "exif", "xmp", "gamma"}


def test_the_command_says_what_is_lost(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("decode", SIDES / "metadata.vrc", "-o", "a.ppm") == 0
    said = capsys.readouterr().err
    assert "warning" in said
    assert all(word in said for word in ("ICC", "EXIF", "XMP"))
    assert run("decode", SIDES / "metadata.vrc", "-o", "a.png") == 0
    assert "warning" not in capsys.readouterr().err
    assert run("decode", SIDES / "rgba.vrc", "-o", "b.ppm") == 2
    assert "rgba.vrc" in capsys.readouterr().err
    assert not (tmp_path / "b.ppm").exists()
    assert run("decode", SIDES / "bilevel.vrc", "-o", "c.pbm", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["alpha"] is False
    assert (tmp_path / "c.pbm").read_bytes().startswith(b"P4")


def test_info_lists_what_stands_beside_the_picture(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [SIDES / f"{name}.vrc" for name in ("rgba", "metadata", "lossless_rgb")]
    assert run("info", *names) == 0
    words = capsys.readouterr().out
    for expected in ("RGB with alpha", "alpha:", "ICC ", "EXIF ", "XMP ", "stored without loss"):
        assert expected in words
    assert run("info", "--json", *names) == 0
    rgba, metadata, lossless = json.loads(capsys.readouterr().out)
    assert rgba["alpha_bytes"] > 100
    assert (metadata["alpha_bytes"], list(metadata["metadata_bytes"])) == (
        None,
        ["icc", "exif", "xmp"],
    )
    assert (lossless["lossless"], lossless["rate"], rgba["lossless"]) == (True, None, False)
    assert run("verify", *names, SIDES / "two_blocks.vrc") == 0
