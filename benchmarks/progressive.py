"""The levels of `qarv` beside a progressive JPEG cut at the same bytes. Writes tables of docs/QARV.md.

    python -m benchmarks.progressive /path/to/kodak [--pictures 8]

The JPEG is the largest of Pillow's that is no larger than the whole .vrc file. JPEG XL is missing: its package
for Pillow writes no passes, and does not decode a file that ends early.
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

Pixels = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=8, help="of the folder, evenly")
    arguments = parser.parse_args()
    pictures = list(read_folder(arguments.folder).values())
    pictures = pictures[:: max(1, len(pictures) // arguments.pictures)]
    encoder, decoder = Encoder("qarv"), Decoder()
    blocks = {}
    with progress_bar(len(RATES) * len(pictures)) as step:
        for rate in RATES:
            ladders = []
            for picture in pictures:
                data = encoder.encode(picture, code_from_rate(rate))
                ladders.append(measure_ladder(decoder, data, picture))
                step()
            blocks[f"arriving {rate}"] = markdown(ladder_table(ladders))
    weights = find_by_family("qarv").id.hex()
    blocks["arriving weights"] = (
        f"Means of {len(pictures)} pictures, by the default weights (`{weights}`)."
    )
    DOCUMENT.write_text(replace_blocks(DOCUMENT.read_text(), blocks))


def measure_ladder(decoder: Decoder, data: bytes, picture: Picture) -> Reals:
    """(levels, 6): bits a pixel up to the level, PSNR and SSIMULACRA 2; of the JPEG cut there: how many of its
    scans are whole, and the same two."""
    coded, ends = decoder.read(data), level_ends(data)
    jpeg = encode_jpeg(picture.pixels, ends[-1])
    rows = []
    for level, end in enumerate(ends, 1):
        ours = decoder.reconstruct(coded, level).pixels
        cut = decode_start(jpeg[:end], picture.pixels.shape)
        rows.append(
            [
                8 * end / (picture.width * picture.height),
                *_compare(picture.pixels, ours),
                max(0, jpeg[:end].count(_SCAN_MARKER) - (end < len(jpeg))),
                *_compare(picture.pixels, cut),
            ]
        )
    return np.array(rows)


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
    rows = [
        [
            str(level),
            f"{bpp:.4f} bpp",
            f"{quality:.2f} dB",
            f"{score:.0f}",
            f"{scans:.1f}",
            f"{jpeg_quality:.2f} dB",
            f"{jpeg_score:.0f}",
        ]
        for level, (bpp, quality, score, scans, jpeg_quality, jpeg_score) in enumerate(
            np.mean(ladders, axis=0), 1
        )
    ]
    ours = ["level", "up to there", "PSNR", "SSIMULACRA 2"]
    return [*ours, "whole scans of the JPEG", "its PSNR", "its SSIMULACRA 2"], rows


if __name__ == "__main__":
    main()
