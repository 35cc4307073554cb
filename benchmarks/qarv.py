"""Rate and PSNR of the levels of `qarv`, and the cost of its float64 part. Writes docs/QARV.md and its picture.

    python -m benchmarks.qarv /path/to/kodak [--part ladder|costs]

Every figure is of real files that were decoded again. Costs want an idle machine. The tables of the
document are replaced; its words stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.documents import update_document
from benchmarks.timing import median_seconds, photograph
from vrcodec.bench.kernels import use_threads
from vrcodec.bench.profile import stage_medians
from vrcodec.bench.summary import Table, markdown
from vrcodec.bitstream.container import parse_container
from vrcodec.bitstream.inspection import inspect
from vrcodec.bitstream.latent_stream import build_stream
from vrcodec.bitstream.rans import CodingTables
from vrcodec.bitstream.symbol_coding import StreamWriter
from vrcodec.cli.shared.output import progress_bar
from vrcodec.codec import CodedPicture, Decoder, Encoder
from vrcodec.metrics import psnr
from vrcodec.models.coding.coding_steps import CodedBlock
from vrcodec.models.device import torch_backend
from vrcodec.models.families.qarv import Qarv
from vrcodec.picture.folders import read_folder
from vrcodec.picture.picture import Picture
from vrcodec.rate import code_from_rate

DOCS = Path(__file__).parents[1] / "docs"
DOCUMENT = DOCS / "QARV.md"
RATES = (0.2, 0.5, 0.8)
# Rate of the picture that is shown.
SHOWN_RATE = 0.5
_COLUMNS = 3
_TILE_SIZE = (384, 256)
FRAMED_SIDES = (64, 256, 1024)
# Type, length and checksum of a chunk.
_CHUNK_BYTES = 6
COST_REPEATS = 21


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=["ladder", "costs"])
    arguments = parser.parse_args()
    blocks: dict[str, str] = {}
    pictures = read_folder(arguments.folder)
    if arguments.part != "costs":
        blocks |= {"ladder": markdown(ladder_table(list(pictures.values())))}
        draw(photograph())
    if arguments.part != "ladder":
        blocks |= {"costs": markdown(cost_table()), "framing": markdown(framing_table())}
    update_document(DOCUMENT, "qarv", blocks)


# --- the ladder ---


def ladder_table(pictures: Sequence[Picture]) -> Table:
    """Bits per pixel up to the end of each level, and PSNR there, means over the pictures."""
    encoder, decoder = Encoder("qarv", tune="psnr"), Decoder()
    names = level_names(_qarv(encoder.model))
    cells = [[str(k), name] for k, name in enumerate(names, 1)]
    with progress_bar(len(RATES) * len(pictures)) as step:
        for rate in RATES:
            points = []
            for picture in pictures:
                data = encoder.encode(picture, code_from_rate(rate))
                points.append(_level_points(decoder, data, picture))
                step()
            for row, (bpp, quality) in zip(cells, np.mean(points, axis=0), strict=True):
                row.append(f"{bpp:.4f} bpp, {quality:.2f} dB")
    return ["level", "latent", *(f"rate {rate}" for rate in RATES)], cells


def level_names(model: Qarv) -> list[str]:
    """What each level codes."""
    phases = {(0,): ", even rows and columns", (1,): ", odd rows and columns", (2,): ", the rest"}
    return [
        f"{kind.channels} channels at 1/{stride}{phases.get(kind.phases, '')}"
        for levels, stride in zip(model.descent.levels(), (64, 32, 16), strict=True)
        for kind in (level.spec for level in levels)
    ]


def _level_points(decoder: Decoder, data: bytes, picture: Picture) -> list[tuple[float, float]]:
    """Bits per pixel up to the end of each level, and PSNR, of one picture."""
    coded, ends = decoder.read(data), level_ends(data)
    return [
        (8 * end / (picture.width * picture.height), _quality(decoder, coded, level, picture))
        for level, end in enumerate(ends, 1)
    ]


def level_ends(data: bytes) -> list[int]:
    """At which byte of the file each level is complete; the chunk's checksum is behind the last."""
    (chunk,) = parse_container(data).latent_chunks()
    return [chunk.offset + size for size in accumulate(inspect(data).levels)]


def _quality(decoder: Decoder, coded: CodedPicture, level: int, picture: Picture) -> float:
    return float(psnr(picture.pixels, decoder.reconstruct(coded, level).pixels))


def draw(picture: Picture) -> None:
    """The same part of a picture after each level, with bytes and PSNR."""
    encoder, decoder = Encoder("qarv", tune="psnr"), Decoder()
    data = encoder.encode(picture, code_from_rate(SHOWN_RATE))
    coded, ends = decoder.read(data), level_ends(data)
    width, height = _TILE_SIZE
    rows = -(-coded.level_count // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * width, rows * height))
    for index, end in enumerate(ends):
        decoded = decoder.reconstruct(coded, index + 1)
        tile = Image.fromarray(decoded.to_array()).resize(_TILE_SIZE, Image.Resampling.LANCZOS)
        quality = float(psnr(picture.pixels, decoded.pixels))
        _label(tile, f"{index + 1}: {end} bytes, {quality:.1f} dB")
        sheet.paste(tile, (index % _COLUMNS * width, index // _COLUMNS * height))
    sheet.save(DOCS / "qarv.jpg", quality=85)


def _label(tile: Image.Image, text: str) -> None:
    pen, font = ImageDraw.Draw(tile), ImageFont.load_default(18)
    left, top, right, bottom = pen.textbbox((6, 4), text, font=font)
    pen.rectangle((left - 4, top - 4, right + 4, bottom + 4), fill="black")
    pen.text((6, 4), text, fill="white", font=font)


# --- costs ---


def cost_table() -> Table:
    """Milliseconds that a 768x512 picture takes at the middle rate, warm."""
    picture, code = photograph(), code_from_rate(0.5)
    encoder, decoder = Encoder("qarv", tune="psnr"), Decoder()
    data = encoder.encode(picture, code)
    decoder.decode(data)
    rows = []
    for count in (1, 2):
        with use_threads(count):
            stages = stage_medians(lambda: decoder.decode(data), _no_wait)
            row = [
                median_seconds(lambda: encoder.encode(picture, code), COST_REPEATS),
                median_seconds(lambda: decoder.decode(data), COST_REPEATS),
                _time_descent(picture, code, "float64"),
                _time_descent(picture, code, "float32"),
                stages["coding"],
                stages["synthesis"],
            ]
        rows.append([str(count), *(f"{1000 * seconds:.0f}" for seconds in row)])
    head = ["threads", "encode", "decode", "the way down alone", "the same in float32"]
    return [*head, "coding", "synthesis"], rows


def _no_wait() -> None:
    pass


def _time_descent(picture: Picture, code: int, dtype: str) -> float:
    """Seconds of the part that chooses tables, without the coder."""
    model = _qarv(Encoder("qarv", tune="psnr").model)
    model.prepare(torch_backend(exact_type=dtype))
    latents, rate = model.analyse(picture.pixels), model.rate_parameters(code)
    blocks = list(model.coded_blocks(latents, rate))
    return median_seconds(
        lambda: [model.recompute_tables(block, rate) for block in blocks], COST_REPEATS
    )


def framing_table() -> Table:
    """Bytes of one stream that can be cut at levels, against a stream and a chunk for each level."""
    encoder = Encoder("qarv", tune="psnr")
    model = _qarv(encoder.model)
    rows = []
    for side in FRAMED_SIDES:
        picture = photograph(side, side)
        for rate in (RATES[0], RATES[-1]):
            code = code_from_rate(rate)
            blocks = list(model.coded_blocks(encoder.analyse(picture), model.rate_parameters(code)))
            data = encoder.encode(picture, code)
            rest = len(data) - sum(inspect(data).streams)
            together, apart = (
                _chunk_bytes(model, blocks, apart=False),
                _chunk_bytes(model, blocks, apart=True),
            )
            rows.append(
                [
                    f"{side}x{side}",
                    str(rate),
                    str(len(data)),
                    f"{together + rest}",
                    f"{apart + rest}",
                ]
            )
    head = ["picture", "rate", "bytes of the file", "as one level", "each level a stream"]
    return head, rows


def _chunk_bytes(model: Qarv, blocks: Sequence[CodedBlock], *, apart: bool) -> int:
    """Bytes of stream chunks that hold ``blocks``, one for each block, or for each of its levels."""
    tables = CodingTables(model.gaussian.tables())
    size = 0
    for block in blocks:
        for steps in [[step] for step in block.steps] if apart else [block.steps]:
            writer = StreamWriter()
            for symbols, t in steps:
                writer.put_guarded(symbols, t, tables)
            size += len(build_stream(writer.finish())) + _CHUNK_BYTES * apart
    return size


def _qarv(model: object) -> Qarv:
    assert isinstance(model, Qarv)
    return model


if __name__ == "__main__":
    main()
