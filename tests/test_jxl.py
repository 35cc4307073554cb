"""JPEG XL pictures, made by the package that reads them, and headers made by hand."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import vrcodec
from tests.conftest import ROOT
from tests.pictures import exif_with, gradients, stored
from vrcodec import extras
from vrcodec.errors import InputError, LimitError
from vrcodec.limits import Limits
from vrcodec.picture.intake.embedded_metadata import MAX_METADATA_BYTES
from vrcodec.picture.intake.jxl_header import JxlHeader, read_jxl_header
from vrcodec.picture.intake.read_options import ReadOptions
from vrcodec.picture.reading import open_image, picture_from_image, read_picture

pillow_jxl = pytest.importorskip("pillow_jxl", reason="needs vrcodec[jxl]")
brotli = pytest.importorskip("brotli", reason="needs vrcodec[jxl]")

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta tiff:Orientation="6" a:b="c"/>'
LOSSLESS = {"lossless": True, "effort": 1}


def jpeg_in_jxl(tmp_path: Path) -> tuple[bytes, io.BytesIO]:
    """A JPEG with orientation 6, and the file that it was packed into without loss."""
    path = tmp_path / "photograph.jpg"
    gradients().save(path, exif=exif_with(6), xmp=XMP, icc_profile=SRGB)
    with Image.open(path) as image:
        return path.read_bytes(), stored(image, "JXL", lossless_jpeg=True)


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def header(bits: str) -> bytes:
    """A codestream of 8x8 pixels (a side in eighths, and a ratio) that goes on with ``bits``."""
    digits = ("1 00000 100 0" + bits).replace(" ", "")
    return b"\xff\x0a" + int(digits[::-1], 2).to_bytes(len(digits) // 8 + 20, "little")


# No extra fields, samples of 8 bits; and no channels beside the colours.
PLAIN, NO_CHANNELS = "0 000 1", "00"
ANIMATED = "1 000 0 0 1"
# One channel: alpha that colours are multiplied by, with a name of two letters; black.
PREMULTIPLIED = "10 0 00 000 00 10 0100" + 16 * "0" + "1"
BLACK = "10 0 01 0100 000 00 00"
XYB, SRGB_COLOURS = "1", "1"
TEN_BITS = "0 0 10 1"


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_samples(mode: str) -> None:
    image = gradients(mode)
    picture = read_picture(stored(image, "JXL", **LOSSLESS), "x")
    assert picture.mode == mode[: len(mode.removesuffix("A"))]
    expected = np.asarray(image.convert("RGBA"))
    assert (picture.pixels == expected[..., :3]).all()
    assert (picture.alpha is not None) == mode.endswith("A")
    if picture.alpha is not None:
        assert (picture.alpha == expected[..., 3]).all()
    # The decoder makes a profile for sRGB, too; it would cost bytes, and say nothing.
    assert picture.metadata.icc is None


def test_grey_of_16_bits() -> None:
    samples = np.random.default_rng(3).integers(0, 65536, (48, 64), dtype=np.uint16)
    source = stored(Image.fromarray(samples), "JXL", **LOSSLESS)
    with pytest.raises(InputError, match=r"more than 8 bits .*--reduce-depth"):
        read_picture(source, "x")
    picture = read_picture(source, "x", options=ReadOptions(reduce_depth=True))
    assert (picture.pixels[..., 0] == np.floor(samples / 257 + 0.5)).all()
    # The package writes such samples as linear light, and they are kept as that.
    assert picture.metadata.icc is not None
    floating = stored(Image.fromarray(samples.astype(np.float32)), "JXL", **LOSSLESS)
    with pytest.raises(InputError, match="floating-point"):
        read_picture(floating, "x", options=ReadOptions(reduce_depth=True))


@pytest.mark.parametrize("compressed", [False, True])
def test_metadata(compressed: bool) -> None:
    """Also packed by Brotli. The decoder has turned the samples: EXIF and XMP say so."""
    source = stored(
        gradients(), "JXL", exif=exif_with(6), xmp=XMP, compress_metadata=compressed, **LOSSLESS
    )
    assert (b"brob" in source.getvalue()) == compressed
    picture = read_picture(source, "x")
    assert (picture.pixels == np.asarray(gradients())).all()
    assert picture.metadata.exif == exif_with(1)[6:]
    assert picture.metadata.xmp == XMP.replace(b'"6"', b'"1"')
    stripped = read_picture(source, "x", options=ReadOptions(strip=frozenset(("exif", "xmp"))))
    assert (stripped.metadata.exif, stripped.metadata.xmp) == (None, None)


def test_metadata_that_unpack_to_too_much() -> None:
    data = stored(gradients(), "JXL", use_container=True, **LOSSLESS).getvalue()
    for content, error in (
        (brotli.compress(bytes(2 * MAX_METADATA_BYTES)), LimitError),
        (brotli.compress(bytes(1000))[:-3], InputError),
        (b"no stream", InputError),
    ):
        with pytest.raises(error):
            read_picture(io.BytesIO(data + box(b"brob", b"xml " + content)), "x")


def test_a_jpeg_packed_without_loss_is_read_as_that_jpeg(tmp_path: Path) -> None:
    jpeg, source = jpeg_in_jxl(tmp_path)
    picture, expected = read_picture(source, "x"), read_picture(io.BytesIO(jpeg), "x")
    assert (picture.pixels == expected.pixels).all()
    assert picture.pixels.shape == (64, 48, 3)
    assert picture.metadata == expected.metadata
    assert picture.metadata.icc == SRGB


def test_images_that_the_caller_has_opened(tmp_path: Path) -> None:
    """Of a packed JPEG, the plugin gives samples that are not turned; others are."""
    jpeg, packed = jpeg_in_jxl(tmp_path)
    plain = stored(gradients(), "JXL", exif=exif_with(6), **LOSSLESS)
    with Image.open(packed) as image:
        expected = read_picture(io.BytesIO(jpeg), "x")
        assert (picture_from_image(image).pixels == expected.pixels).all()
    with Image.open(plain) as image:
        assert (picture_from_image(image).pixels == np.asarray(gradients())).all()


def test_the_caller_s_pillow_is_as_before(tmp_path: Path) -> None:
    """Nothing is registered; whoever imports the package later has it registered."""
    path = tmp_path / "a.jxl"
    gradients().save(path, **LOSSLESS)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from PIL import Image\n"
        "from vrcodec.picture.reading import open_picture\n"
        "assert not {'pillow_jxl', 'pillow_heif', 'brotli'} & set(sys.modules)\n"
        "Image.init()\n"
        "tables = [Image.ID, Image.OPEN, Image.SAVE, Image.EXTENSION, Image.MIME]\n"
        "before = [table.copy() for table in tables]\n"
        f"path = {str(path)!r}\n"
        "for _ in range(2):\n"
        "    assert open_picture(Path(path)).pixels.shape == (48, 64, 3)\n"
        "assert tables == before\n"
        "import pillow_jxl\n"
        "assert Image.open(path).load()[0, 0] == (0, 0, 0)\n"
        "assert open_picture(Path(path)).pixels.shape == (48, 64, 3)\n"
        "assert 'JXL' in Image.OPEN\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (300, 200), (1000, 7), (2000, 1), (64, 48)])
@pytest.mark.parametrize("container", [False, True])
def test_the_size_in_headers(size: tuple[int, int], container: bool) -> None:
    image = Image.new("L", size)
    options = {"xmp": XMP} if container else {}
    found = read_jxl_header(stored(image, "JXL", effort=1, **options).getvalue())
    assert (found.width, found.height) == size


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (ANIMATED, {"animated": True}),
        # Turned; a preview of 65x65 pixels; 10 bits; primaries of DCI P3, PQ.
        (
            "1 101 0 1 0 10 00000000 100 0" + "0 10 1 00 1" + "0 0 00 10 01 1001 0 01 0111",
            {"depth": 10, "cicp": (11, 16)},
        ),
        (
            PLAIN + PREMULTIPLIED + XYB + SRGB_COLOURS,
            {"channels": (0,), "premultiplied": True, "cicp": (1, 13)},
        ),
        # Beside an ICC profile.
        (PLAIN + BLACK + XYB + "0 1 00", {"channels": (4,)}),
        # Grey, of a white of its own, by a gamma.
        (
            PLAIN + NO_CHANNELS + XYB + "0 0 10 01 0000 00" + 19 * "0" + "10" + 19 * "1" + "1",
            {"grey": True},
        ),
        # BT.2100, HLG.
        (PLAIN + NO_CHANNELS + XYB + "0 0 00 10 01 1110 0 11 000000", {"cicp": (9, 18)}),
    ],
)
def test_what_headers_say(bits: str, expected: dict[str, object]) -> None:
    assert read_jxl_header(header(bits)) == JxlHeader(8, 8, **expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (ANIMATED, "is an animation"),
        (PLAIN + PREMULTIPLIED + XYB + SRGB_COLOURS, "premultiplied alpha"),
        (PLAIN + BLACK + XYB + SRGB_COLOURS, "channels beside its colours"),
        (TEN_BITS + NO_CHANNELS + XYB + SRGB_COLOURS, "more than 8 bits"),
        # Nothing follows.
        (PLAIN + NO_CHANNELS + XYB + SRGB_COLOURS, "a damaged one"),
    ],
)
def test_what_is_refused(bits: str, words: str) -> None:
    options = ReadOptions(reduce_depth=True, frame=0)
    with pytest.raises(InputError, match=words):
        read_picture(io.BytesIO(header(bits)), "x", options=options)


def test_damage_is_an_input_error(tmp_path: Path) -> None:
    plain = stored(gradients(), "JXL", exif=exif_with(6)).getvalue()
    packed = jpeg_in_jxl(tmp_path)[1].getvalue()
    for data in (plain, packed):
        for part in (0.0, 0.02, 0.1, 0.3, 0.6, 0.9, 0.99):
            with pytest.raises(InputError):
                read_picture(io.BytesIO(data[: max(12, int(part * len(data)))]), "x")
    for data in (b"\xff\x0a", b"\xff\x0a" + bytes(60), b"\xff\x0a" + b"\xff" * 60):
        with pytest.raises((InputError, LimitError)):
            read_picture(io.BytesIO(data), "x")


def test_the_limit_holds_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    source = stored(gradients(), "JXL", **LOSSLESS)
    monkeypatch.setattr("vrcodec.picture.intake.jxl._load_decoder", None)
    with pytest.raises(LimitError, match="64x48"):
        read_picture(source, "x", options=ReadOptions(limits=Limits(max_pixels=3000)))


def test_packed_metadata_without_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    source = stored(gradients(), "JXL", exif=exif_with(6), compress_metadata=True, **LOSSLESS)
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "brotli")
    with pytest.raises(InputError, match=r"needs the package brotli: .*vrcodec\[jxl\]"):
        read_picture(source, "x")


def test_as_a_quality_map_and_from_python(tmp_path: Path, run: Callable[..., int]) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(stored(gradients("L"), "JXL", **LOSSLESS).getvalue())
    with path.open("rb") as file, open_image(file, "x", Limits()) as image:
        assert (np.asarray(image) == np.asarray(gradients("L"))).all()
    assert vrcodec.decode(vrcodec.encode(path)).size == (64, 48)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "b.JXL").write_bytes(path.read_bytes())
    assert run("encode", folder, "-o", tmp_path / "out", "--jobs", "1") == 0
    assert (tmp_path / "out" / "b.vrc").exists()
