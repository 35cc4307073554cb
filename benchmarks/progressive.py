"""The levels of `qarv` beside a progressive JPEG and a JPEG XL file, cut at the same bytes.

    python -m benchmarks.progressive /path/to/kodak [--pictures 8]

Writes tables of docs/QARV.md. The JPEG is the largest of Pillow's that is no larger than the whole .vrc file,
the JPEG XL file the best of `cjxl`. Without `cjxl` and `djxl` (Debian: libjxl-tools) it has no columns.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from benchmarks.documents import replace_blocks
from benchmarks.jxl_passes import JxlTools, find_jxl_tools
from benchmarks.qarv import DOCUMENT, RATES, level_ends
from vrcodec.bench.summary import Table, markdown
from vrcodec.catalog import find_by_family
from vrcodec.cli.shared.output import progress_bar
from vrcodec.codec import Decoder, Encoder
from vrcodec.metrics import psnr, ssimulacra2
from vrcodec.picture.folders import read_folder
from vrcodec.picture.picture import Picture
from vrcodec.rate import code_from_rate

_MAX_QUALITY = 95
# Start of scan.
_SCAN_MARKER = b"\xff\xda"

# PSNR and SSIMULACRA 2 as they are printed; which figure says whether there is something of the JPEG XL.
_SCORES, _SHOWN = ("{:.2f} dB", "{:.0f}"), 6

Pixels = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=8, help="of the folder, evenly")
    arguments = parser.parse_args()
    pictures = list(read_folder(arguments.folder).values())
    pictures = pictures[:: max(1, len(pictures) // arguments.pictures)]
    encoder, decoder, jxl = Encoder("qarv"), Decoder(), find_jxl_tools()
    blocks = {}
    with progress_bar(len(RATES) * len(pictures)) as step:
        for rate in RATES:
            ladders = []
            for picture in pictures:
                data = encoder.encode(picture, code_from_rate(rate))
                ladders.append(measure_ladder(decoder, data, picture, jxl))
                step()
            blocks[f"arriving {rate}"] = markdown(ladder_table(ladders))
    weights = find_by_family("qarv").id.hex()
    blocks["arriving weights"] = (
        f"Means of {len(pictures)} pictures, by the default weights (`{weights}`). {_describe(jxl)}"
    )
    DOCUMENT.write_text(replace_blocks(DOCUMENT.read_text(), blocks))


def _describe(jxl: JxlTools | None) -> str:
    if jxl is None:
        return "JPEG XL is left out: `cjxl` and `djxl` are not installed."
    return (
        f"JPEG XL by `cjxl --progressive` {jxl.version} and `djxl --allow_partial_files`; "
        "*shown*: of how many of the pictures there is something to show."
    )


def measure_ladder(decoder: Decoder, data: bytes, picture: Picture, jxl: JxlTools | None) -> Reals:
    """(levels, 6), or with ``jxl`` (levels, 9): bits a pixel up to the level, PSNR and SSIMULACRA 2.

    Then of the JPEG cut there how many of its scans are whole, and the same two; of the JPEG XL file whether
    there is something to show, and the same two.
    """
    coded, ends = decoder.read(data), level_ends(data)
    jpeg = encode_jpeg(picture.pixels, ends[-1])
    jxl_data = jxl.encode_within(picture.pixels, ends[-1]) if jxl else b""
    rows = []
    for level, end in enumerate(ends, 1):
        ours = decoder.reconstruct(coded, level).pixels
        cut = decode_start(jpeg[:end], picture.pixels.shape)
        row = [
            8 * end / (picture.width * picture.height),
            *_compare(picture.pixels, ours),
            max(0, jpeg[:end].count(_SCAN_MARKER) - (end < len(jpeg))),
            *_compare(picture.pixels, cut),
        ]
        if jxl:
            start = jxl.decode_start(jxl_data[:end])
            row += [start is not None, *_compare(picture.pixels, _or_grey(start, picture))]
        rows.append(row)
    return np.array(rows, float)


def _or_grey(pixels: Pixels | None, picture: Picture) -> Pixels:
    return np.full(picture.pixels.shape, 128, np.uint8) if pixels is None else pixels


def _compare(original: Pixels, decoded: Pixels) -> tuple[float, float]:
    score = ssimulacra2(original, decoded)
    assert score is not None
    return float(psnr(original, decoded)), score


def encode_jpeg(pixels: Pixels, limit: int) -> bytes:
    """The best progressive JPEG of at most ``limit`` bytes; the smallest there is where none is so small."""
    best = _encode_jpeg(pixels, 1)
    low, high = 2, _MAX_QUALITY
    while low <= high:
        quality = (low + high) // 2
        data = _encode_jpeg(pixels, quality)
        if len(data) <= limit:
            best, low = data, quality + 1
        else:
            high = quality - 1
    return best


def _encode_jpeg(pixels: Pixels, quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, progressive=True, optimize=True)
    return file.getvalue()


def decode_start(data: bytes, shape: tuple[int, ...]) -> Pixels:
    """What a viewer shows of a JPEG that ends early; grey, while its header is incomplete."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except OSError:
        return np.full(shape, 128, np.uint8)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def ladder_table(ladders: Sequence[Reals]) -> Table:
    """One row a level, means over the pictures."""
    forms = ["{:.4f} bpp", *_SCORES, "{:.1f}", *_SCORES, "{:.0f}", *_SCORES]
    columns = ["level", "up to there", "PSNR", "SSIMULACRA 2", "whole scans of the JPEG"]
    columns += ["its PSNR", "its SSIMULACRA 2", "JPEG XL shown", "its PSNR", "its SSIMULACRA 2"]
    means = np.mean(ladders, axis=0)
    if means.shape[1] > _SHOWN:
        means[:, _SHOWN] *= len(ladders)
    # zip ends where the figures do: without the tools there are none of JPEG XL.
    rows = [
        [str(level), *(form.format(value) for form, value in zip(forms, row, strict=False))]
        for level, row in enumerate(means, 1)
    ]
    return columns[: 1 + means.shape[1]], rows


if __name__ == "__main__":
    main()
