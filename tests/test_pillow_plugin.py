"""Pillow opens and saves .vrc files once the plugin is imported."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

import vrcodec
import vrcodec.pillow_plugin
from tests.conftest import GOLDEN, ROOT, Pixels
from tests.pictures import stored
from vrcodec import api
from vrcodec.picture.intake.icc_profile import rgb_profile
from vrcodec.picture.intake.orientation import rotate_upright


def test_opening_reads_the_header_and_loading_decodes(vrc_file: Path) -> None:
    data = vrc_file.read_bytes()
    with Image.open(vrc_file) as image:
        assert (image.format, image.mode) == ("VRC", "RGB")
        assert image.size == vrcodec.decode(data).size
        assert image.info["vrc"]["bytes"] == len(data)
        assert (np.asarray(image) == np.asarray(vrcodec.decode(data))).all()
        # Loaded once; the file is not needed any more.
        assert image.convert("L").size == image.size


def test_opening_needs_no_networks(tmp_path: Path) -> None:
    code = (
        "import sys, vrcodec.pillow_plugin; from PIL import Image\n"
        f"assert Image.open({str(GOLDEN / 'grey.vrc')!r}).mode == 'L'\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
def test_saving_keeps_the_mode(photograph: Pixels, tmp_path: Path, mode: str) -> None:
    source = Image.fromarray(photograph).convert(mode)
    source.save(tmp_path / "x.vrc", rate=0.3, model="gained")
    with Image.open(tmp_path / "x.vrc") as image:
        assert (image.mode, image.size) == (mode, source.size)
        image.load()
        assert image.mode == mode


def test_parameters_are_those_of_encode(photograph: Pixels) -> None:
    image, sizes = Image.fromarray(photograph), []
    for rate in (0.0, 1.0):
        buffer = io.BytesIO()
        image.save(buffer, "VRC", rate=rate, model="gained")
        assert buffer.getvalue() == vrcodec.encode(image, rate, model="gained")
        sizes.append(len(buffer.getvalue()))
    assert sizes[0] < sizes[1]


def test_wrong_parameters_leave_no_file(photograph: Pixels, tmp_path: Path) -> None:
    image, path = Image.fromarray(photograph), tmp_path / "x.vrc"
    for wrong, message in (
        (
            {"quality": 90, "rate": 0.3, "dpi": (9, 9)},
            "not parameters of a .vrc file: dpi, quality$",
        ),
        ({"rate": 7}, "rate"),
        ({"strip": "gps"}, "cannot strip 'gps'"),
        ({"image": 3}, "not parameters of a .vrc file: image$"),
    ):
        with pytest.raises(ValueError, match=message):
            image.save(path, **wrong)
        assert not path.exists()


@pytest.mark.parametrize("mode", ["F", "I", "I;16", "CMYK", "LAB", "HSV", "La", "RGBa"])
def test_other_modes_are_not_written(mode: str, tmp_path: Path) -> None:
    with pytest.raises(
        OSError, match=f"^cannot write mode {mode} as VRC: image: (has|is) .* first"
    ):
        Image.new(mode, (9, 7)).save(tmp_path / "x.vrc")
    assert not (tmp_path / "x.vrc").exists()


def test_deep_samples_are_rounded_on_request(photograph: Pixels) -> None:
    deep = Image.fromarray(photograph[..., 0].astype(np.uint16) * 257)
    with Image.open(stored(deep, "VRC", reduce_depth=True, lossless="always")) as image:
        assert (np.asarray(image) == photograph[..., 0]).all()


@pytest.mark.parametrize("mode", ["P", "PA", "YCbCr", "RGBX"])
def test_modes_that_have_no_place_of_their_own_are_converted(photograph: Pixels, mode: str) -> None:
    image = Image.fromarray(photograph).convert("P" if mode == "PA" else mode)
    image = image.convert(mode)
    with Image.open(stored(image, "VRC", lossless="always")) as written:
        assert written.mode == ("RGBA" if mode == "PA" else "RGB")
        assert (np.asarray(written) == np.asarray(image.convert(written.mode))).all()


PROFILE = rgb_profile((2.2,), (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06))


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = orientation, "a description"
    return exif


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_metadata_can_be_given(photograph: Pixels, orientation: int, as_bytes: bool) -> None:
    """As for JPEG, EXIF that is given says how the pixels are to be turned."""
    exif = turned(orientation)
    given = {"exif": exif.tobytes() if as_bytes else exif, "icc_profile": PROFILE, "xmp": b"<x/>"}
    source = Image.fromarray(photograph)
    with Image.open(stored(source, "VRC", lossless="always", **given)) as image:
        assert dict(image.getexif()) == {0x0112: 1, 0x010E: "a description"}
        assert (image.info["icc_profile"], image.info["xmp"]) == (PROFILE, b"<x/>")
        assert (np.asarray(image) == rotate_upright(photograph, orientation)).all()
    # The image of the caller is as it was.
    assert source.info == {}


def test_metadata_can_be_left_out_one_by_one(photograph: Pixels) -> None:
    given = {"exif": turned(6), "icc_profile": PROFILE, "quality": 95}
    source = stored(Image.fromarray(photograph), "JPEG", **given)
    for left_out in (None, b""):
        image = Image.open(source)
        with Image.open(stored(image, "VRC", model="gained", icc_profile=left_out)) as written:
            # What its file says of it still counts.
            assert (written.size, written.getexif()[0x010E]) == ((150, 200), "a description")
            assert "icc_profile" not in written.info
        with Image.open(stored(image, "VRC", model="gained", exif=left_out)) as written:
            assert (written.size, len(written.getexif())) == ((200, 150), 0)
            assert written.info["icc_profile"] == PROFILE
        # Turned by the caller.
        upright = image.transpose(Image.Transpose.ROTATE_270)
        with Image.open(stored(upright, "VRC", model="gained", icc_profile=left_out)) as written:
            assert written.size == upright.size


def test_the_current_frame_is_written(photograph: Pixels, tmp_path: Path) -> None:
    frames = [Image.fromarray(p) for p in (photograph, 255 - photograph)]
    with Image.open(stored(frames[0], "TIFF", save_all=True, append_images=frames[1:])) as pages:
        for number, frame in enumerate(frames):
            pages.seek(number)
            with Image.open(stored(pages, "VRC", lossless="always")) as written:
                assert written.tobytes() == frame.tobytes()
        with pytest.raises(OSError, match="one picture"):
            pages.save(tmp_path / "x.vrc", save_all=True)
    with pytest.raises(OSError, match="one picture"):
        frames[0].save(tmp_path / "x.vrc", save_all=True, append_images=frames[1:])
    assert not (tmp_path / "x.vrc").exists()
    frames[0].save(tmp_path / "x.vrc", save_all=True, model="gained")
    assert (tmp_path / "x.vrc").exists()


def test_exif_that_is_none_is_what_pillow_expects(photograph: Pixels) -> None:
    with pytest.raises(OSError, match="exif: not a TIFF file"):
        Image.fromarray(photograph).save(io.BytesIO(), "VRC", exif=b"garbage")


def test_info_is_the_callers_to_clear(vrc_file: Path) -> None:
    expected = Image.open(vrc_file).convert("RGB").tobytes()
    image = Image.open(vrc_file)
    image.info.clear()
    image.load()
    image = Image.open(vrc_file)
    image.info = {}
    assert image.convert("RGB").tobytes() == expected


def test_damage_is_what_pillow_calls_it(vrc_file: Path) -> None:
    data = vrc_file.read_bytes()
    for damaged in (data[:-3], data[:40], data[:20] + b"x" + data[21:]):
        with pytest.raises(OSError, match=r"truncated|damaged"):
            Image.open(io.BytesIO(damaged))
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(b"x" + data))


def test_a_file_of_other_weights_opens_and_does_not_load(
    vrc_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What an earlier test has decoded is still in memory.
    api._load_decoder.cache_clear()
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(tmp_path))
    with Image.open(vrc_file) as image, pytest.raises(OSError, match="not installed"):
        image.load()


def test_imageio_reads_and_writes(photograph: Pixels, tmp_path: Path) -> None:
    imageio = pytest.importorskip("imageio.v3")
    path = tmp_path / "x.vrc"
    imageio.imwrite(path, photograph, plugin="pillow", model="gained")
    assert imageio.imread(path, plugin="pillow").shape == photograph.shape
