"""What a file is, by its first bytes: a sentence for what cannot be read, and for what an extra reads."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from tests.conftest import GOLDEN
from tests.pictures import stored
from vrcodec import extras
from vrcodec.batch.inputs import ENCODE_SUFFIXES, find_inputs
from vrcodec.bitstream.schema import MAGIC
from vrcodec.errors import InputError
from vrcodec.limits import Limits
from vrcodec.picture.intake.file_kind import find_extra_format
from vrcodec.picture.reading import READABLE, open_image, read_picture

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(4000)
AVIF_IN_GENERAL_BRAND = b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif" + bytes(4000)


@pytest.fixture
def without_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (HEIC, r"is a HEIC picture, .*'vrcodec\[heif\]', or convert it"),
        (b"\xff\x0a" + bytes(9), r"is a JPEG XL picture, .*'vrcodec\[jxl\]', or convert it"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(9), "is a JPEG XL picture"),
    ],
)
@pytest.mark.usefixtures("without_extras")
def test_what_an_extra_would_read(
    tmp_path: Path,
    run: Callable[..., int],
    capfd: pytest.CaptureFixture[str],
    data: bytes,
    words: str,
) -> None:
    with pytest.raises(InputError, match=rf"IMG_1\.jpg: {words}"):
        read_picture(io.BytesIO(data), "IMG_1.jpg")
    (tmp_path / "IMG_1.jpg").write_bytes(data)
    assert run("encode", "IMG_1.jpg") == 3
    assert capfd.readouterr().err.count("pip install") == 1


@pytest.mark.usefixtures("without_extras")
def test_folders_say_which_extra_is_missing(
    tmp_path: Path, run: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.HEIC", "b.heic", "c.jxl", "d.psd"):
        (folder / name).write_bytes(b"x")
    kinds = sorted(find_inputs([str(folder)], [], ENCODE_SUFFIXES).left_out.values())
    heic, jxl = ".heic without vrcodec[heif]", ".jxl without vrcodec[jxl]"
    assert kinds == [heic, heic, jxl, ".psd"]
    (folder / "e.png").write_bytes((GOLDEN / "photograph.png").read_bytes())
    assert run("encode", folder, "-o", tmp_path / "out", "--jobs", "1", "--model", "gained") == 0
    assert f"4 left out (2 {heic}, 1 {jxl}, 1 .psd)" in capfd.readouterr().err
    # A file that is named itself is tried.
    assert run("encode", folder / "a.HEIC", "-o", tmp_path / "a.vrc") == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (MAGIC + bytes(90), r"is a \.vrc file already; decode it first"),
        (gzip.compress(b"x", mtime=0), "is gzip-compressed; unpack it"),
        (b"\n <!DOCTYPE HTML><title>404</title>", "is a web page"),
        (b"<html>", "is a web page"),
        (b'\xef\xbb\xbf<?xml version="1.0"?><!-- x --><svg xmlns="x"/>', "is an SVG drawing"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"8BPS\0\1", "is a Photoshop document"),
        (b"\x76\x2f\x31\x01\2\0\0\0", "is an OpenEXR picture"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "is a JPEG 2000 picture"),
        (b"P7\nWIDTH 1\n", "is a PAM picture"),
        (b"PK\3\4", "is a ZIP archive"),
        (b"II*\0\x10\0\0\0CR\2\0", "is a camera raw picture"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "is a camera raw picture"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "is a video"),
        (b"RIFF\0\0\1\0AVI LIST", "is a video"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"a letter", r"not a picture that can be read \(PNG, .*HEIC, JPEG XL\)"),
    ],
)
def test_what_cannot_be_read(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=f"^x.png: {words}"):
        read_picture(io.BytesIO(data), "x.png")


@pytest.mark.parametrize("file_format", READABLE)
def test_what_pillow_reads_is_left_to_it(file_format: str) -> None:
    source = stored(Image.new("RGB", (40, 30)), file_format)
    assert find_extra_format(source, "x") is None
    assert source.tell() == 0
    assert read_picture(source, "x").pixels.shape == (30, 40, 3)


def test_avif_of_a_general_brand_is_no_heic() -> None:
    assert find_extra_format(io.BytesIO(AVIF_IN_GENERAL_BRAND), "x") is None


def tiff(**tags: object) -> io.BytesIO:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[int(tag.removeprefix("t"))] = value
    directory.tagtype[50706] = 1
    return stored(Image.fromarray(np.zeros((12, 16, 3), np.uint8)), "TIFF", tiffinfo=directory)


@pytest.mark.parametrize("tags", [{"t50706": b"\1\4\0\0"}, {"t254": 1, "t330": 8}])
def test_camera_raw_is_not_taken_for_its_preview(tags: dict[str, object]) -> None:
    with pytest.raises(InputError, match="camera raw picture, of which only a preview"):
        read_picture(tiff(**tags), "x")
    # A small copy that is all there is.
    assert read_picture(tiff(t254=1), "x").pixels.shape == (12, 16, 3)


def test_quality_maps_are_told_the_same() -> None:
    source = io.BytesIO(b"%PDF-1.7")
    with pytest.raises(InputError, match="is a PDF document"), open_image(source, "x", Limits()):
        pass
