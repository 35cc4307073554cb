"""Gains of quality maps: regions of interest, small text, tasks. Writes docs/QMAP.md and its pictures.

    python -m benchmarks.qmaps /path/to/kodak
    python -m benchmarks.qmaps --only faces       # of its parts, those but regions and writing need no folder

Every figure is of a real file that was decoded again. The tables of the document are replaced; its words stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import skimage.data
from PIL import Image, ImageDraw, ImageFont

from benchmarks import faces, task_example
from benchmarks.documents import update_document
from benchmarks.task_comparison import (
    Classifier,
    Example,
    compare_maps,
    evaluate_classifier,
    make_task_map,
)
from vrcodec.bench.summary import Table, markdown
from vrcodec.bitstream.container import parse_container
from vrcodec.bitstream.guard_band import round_to_table
from vrcodec.bitstream.information_content import symbol_bits
from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.bitstream.rans import CodingTables
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder, derive_rate_parameters
from vrcodec.maps.generation import saliency_map, text_map
from vrcodec.maps.levels import Levels, levels_per_pixel, map_from_levels
from vrcodec.maps.regions import RegionOfInterest, Surroundings, map_from_regions
from vrcodec.maps.shapes import Box
from vrcodec.metrics import psnr
from vrcodec.models.families.qmap import Qmap
from vrcodec.picture.folders import read_folder
from vrcodec.picture.picture import Picture
from vrcodec.regions.grid import STRIDE
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import Target

DOCS = Path(__file__).parents[1] / "docs"
DOCUMENT = DOCS / "QMAP.md"
PICTURES = 10
REGION_LEVEL, AROUND = 0.9, Surroundings(0.2)
TEXT_LOW, TEXT_HIGH = 0.2, 0.8
TEXT_RATES = (0.2, 0.4, 0.6)
TASK_RATES, TASK_PICTURES, TASK_STEPS = (0.1, 0.2, 0.3), 60, 30
FACE_RATES, FACES_AND_OTHERS, FACE_STEPS = (0.05, 0.1, 0.2), (48, 16), 12

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Coder:
    """Both directions, with models that stay loaded."""

    encoder: Encoder
    decoder: Decoder

    def round_trip(self, picture: Picture, setting: RateSetting) -> tuple[bytes, Pixels]:
        """A file, and what it decodes to."""
        data = self.encoder.encode(picture, setting)
        return data, self.decoder.decode(data).pixels

    def encode_within(self, picture: Picture, size: int, qmap: QualityMap) -> tuple[bytes, Pixels]:
        """The same with a map of this shape, in a file of at most ``size`` bytes."""
        target = Target("size", size)
        result = encode_to_target(
            self.encoder, self.decoder, picture, target, qmap=qmap, strict=True, lossless="never"
        )
        return result.data, self.decoder.decode(result.data).pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="of Kodak's pictures")
    parser.add_argument(
        "--only", choices=[*KODAK_TABLES, *OTHER_BLOCKS], help="one part of the page"
    )
    given = parser.parse_args()
    blocks = {}
    if given.only not in OTHER_BLOCKS:
        if given.folder is None:
            parser.error("Kodak's pictures are needed")
        first = dict(list(read_folder(given.folder).items())[:PICTURES])
        coder = Coder(Encoder("qmap"), Decoder())
        for name, make_table in KODAK_TABLES.items():
            if given.only in (None, name):
                blocks[name] = markdown(make_table(coder, first))
    for name, make_block in OTHER_BLOCKS.items():
        if given.only in (None, name):
            blocks[name] = make_block()
    update_document(DOCUMENT, "qmap", blocks)


# --- regions of interest ---


def middle_quarter(picture: Picture) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is half as wide and half as high, in the picture's middle."""
    width, height = picture.width // 2, picture.height // 2
    return width // 2, height // 2, width, height


@dataclass(frozen=True)
class RegionFigures:
    """One picture with ``REGION_LEVEL`` everywhere and with a map. ``before``, ``after``: the region's PSNR."""

    plain_bytes: int
    mapped_bytes: int
    before: float
    after: float
    background: float

    @property
    def saved(self) -> float:
        """The share of bytes."""
        return 1 - self.mapped_bytes / self.plain_bytes


def regions_table(coder: Coder, pictures: Mapping[str, Picture]) -> Table:
    """One row a picture, and their means."""
    figures = [region_figures(coder, picture) for picture in pictures.values()]
    values = [
        [
            f.plain_bytes,
            f.mapped_bytes,
            f.saved,
            f.before,
            f.after,
            f.after - f.before,
            f.background,
        ]
        for f in figures
    ]
    values.append([float(np.mean(column)) for column in zip(*values, strict=True)])
    columns = [
        "picture",
        "bytes, 0.9 everywhere",
        "bytes with map",
        "saved",
        "region's PSNR, 0.9 everywhere",
        "region's PSNR with map",
        "difference",
        "background's PSNR with map",
    ]
    forms = ("{:.0f}", "{:.0f}", "{:.1%}", "{:.2f}", "{:.2f}", "{:+.2f}", "{:.2f}")
    rows = [
        [name, *(form.format(value) for form, value in zip(forms, row, strict=True))]
        for name, row in zip([*pictures, "mean"], values, strict=True)
    ]
    return columns, rows


def region_figures(coder: Coder, picture: Picture) -> RegionFigures:
    """The middle quarter at 0.9 and the rest at 0.2, beside 0.9 everywhere."""
    left, top, width, height = middle_quarter(picture)
    region = RegionOfInterest(Box(left, top, width, height), REGION_LEVEL)
    qmap = map_from_regions([region], AROUND, picture.width, picture.height)
    plain, everywhere = coder.round_trip(picture, RateSetting.from_rate(REGION_LEVEL))
    mapped, decoded = coder.round_trip(picture, RateSetting.from_rate(None, qmap))
    inside = np.zeros(picture.pixels.shape[:2], bool)
    inside[top : top + height, left : left + width] = True
    return RegionFigures(
        len(plain),
        len(mapped),
        _masked_psnr(picture.pixels, everywhere, inside),
        _masked_psnr(picture.pixels, decoded, inside),
        _masked_psnr(picture.pixels, decoded, ~inside),
    )


def _masked_psnr(expected: Pixels, decoded: Pixels, mask: Mask) -> float:
    return psnr(expected[mask], decoded[mask])


# --- small text ---


def draw_text(picture: Picture) -> tuple[Picture, Mask]:
    """The picture with lines of small writing in three places, and the pixels on their edges."""
    image = Image.fromarray(picture.pixels)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=13)
    boxes = np.zeros((picture.height, picture.width), bool)
    colours = (("white", "black"), ("black", "white"), ("navy", "lightyellow"))
    for place, (ink, paper) in enumerate(colours):
        left, top = (20 + place * (n - 280) // 2 for n in (picture.width, picture.height))
        lines = "\n".join(
            f"{n}. Sold {7 * n + place} of {n * 1013} at $ {n}.95" for n in range(1, 5)
        )
        box = draw.multiline_textbbox((left, top), lines, font=font)
        box = (box[0] - 4, box[1] - 4, box[2] + 4, box[3] + 4)
        draw.rectangle(box, fill=paper)
        draw.multiline_text((left, top), lines, fill=ink, font=font)
        boxes[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = True
    result = Picture.from_array(np.asarray(image))
    return result, boxes & _edges(result.pixels)


def _edges(pixels: Pixels) -> Mask:
    grey = pixels.mean(axis=2)
    steep: Mask = np.hypot(*np.gradient(grey)) > 32
    return steep


@dataclass(frozen=True)
class WritingFigures:
    """Files of one size with and without a map; PSNR of the edges of writing, and of the whole picture."""

    plain_bpp: float
    mapped_bpp: float
    plain_edges: float
    mapped_edges: float
    plain_whole: float
    mapped_whole: float


def writing_table(coder: Coder, pictures: Mapping[str, Picture]) -> Table:
    """One row a rate: means over the pictures."""
    rows = []
    for rate in TEXT_RATES:
        figures = [astuple(writing_figures(coder, *draw_text(p), rate)) for p in pictures.values()]
        rows.append([f"{rate}", *(f"{value:.2f}" for value in np.mean(figures, axis=0))])
    columns = ["rate everywhere", "bpp", "bpp with map", "edges of writing, dB", "with map, dB"]
    return [*columns, "whole picture, dB", "with map, dB"], rows


def writing_figures(coder: Coder, picture: Picture, edges: Mask, rate: float) -> WritingFigures:
    """A file with ``rate`` everywhere, beside one of the same size with a map for writing."""
    plain, uniform = coder.round_trip(picture, RateSetting.from_rate(rate))
    levels = TEXT_LOW + (TEXT_HIGH - TEXT_LOW) * text_map(picture.pixels)
    qmap = map_from_levels(levels, picture.width, picture.height)
    mapped, decoded = coder.encode_within(picture, len(plain), qmap)
    return WritingFigures(
        *(8 * len(data) / (picture.width * picture.height) for data in (plain, mapped)),
        *(_masked_psnr(picture.pixels, pixels, edges) for pixels in (uniform, decoded)),
        *(psnr(picture.pixels, pixels) for pixels in (uniform, decoded)),
    )


# --- tasks ---


def stripes_table() -> Table:
    """In which direction stripes run, by a network that was trained for this."""
    classifier = task_example.train_classifier()
    drawn = task_example.examples(TASK_PICTURES, seed=777)
    return task_table(classifier, drawn, TASK_RATES, TASK_STEPS)


def faces_table() -> Table:
    """What is a face, by a network that others have trained."""
    drawn = faces.examples(*FACES_AND_OTHERS, seed=777)
    return task_table(faces.load_classifier(), drawn, FACE_RATES, FACE_STEPS)


def task_table(
    classifier: Classifier, drawn: Sequence[Example], rates: Sequence[float], steps: int
) -> Table:
    """One row a rate: how ``classifier`` does on files of the same size."""
    before = evaluate_classifier(classifier, [e.pixels for e in drawn], drawn)
    rows = [["not coded", "", "", f"{before[0]:.1%}", "", f"{before[1]:.2f}", ""]]
    scores_by_rate = compare_maps(classifier, drawn, rates, steps)
    for rate, scores in zip(rates, scores_by_rate, strict=True):
        both = scores["uniform"], scores["task"]
        cells = [f"{score.bpp:.3f}" for score in both]
        cells += [f"{score.accuracy:.1%}" for score in both]
        cells += [f"{score.loss:.2f}" for score in both]
        rows.append([f"{rate}", *cells])
    columns = ["rate everywhere", "bpp", "bpp with map", "right", "right with map"]
    return [*columns, "cross entropy", "with map"], rows


# --- the pictures in the document ---


def draw_pictures() -> str:
    """Both pictures of the page; returns what to say of the first."""
    draw_maps(task_example.train_classifier())
    return draw_example(Coder(Encoder("qmap"), Decoder()))


def draw_example(coder: Coder) -> str:
    """Map, bits and result of a region, beside the same bytes spread evenly; returns what to say of it."""
    picture = Picture.from_array(skimage.data.astronaut())
    face = RegionOfInterest(Box(160, 32, 128, 160), REGION_LEVEL)
    qmap = map_from_regions([face], AROUND, picture.width, picture.height)
    data, decoded = coder.round_trip(picture, RateSetting.from_rate(None, qmap))
    uniform = encode_to_target(coder.encoder, coder.decoder, picture, Target("size", len(data)))
    spread = coder.decoder.decode(uniform.data).pixels
    levels = qmap.levels(parse_container(data).header.rate_code)
    levels = levels_per_pixel(levels, 512, 512, qmap.stride)
    bits = bits_per_sample(coder.encoder, picture, RateSetting.from_rate(None, qmap))
    scale = np.log2(1 + bits) / np.log2(1 + bits.max())
    finer = scale.repeat(STRIDE, axis=0).repeat(STRIDE, axis=1)[:512, :512]
    top = np.hstack([picture.pixels, _grey_image(levels), _grey_image(finer)])
    crop = np.s_[32:192, 144:304]
    bottom = np.hstack([_enlarge(p[crop]) for p in (picture.pixels, spread, decoded)])
    image = Image.fromarray(np.vstack([top, bottom]))
    image.resize((960, 640), Image.Resampling.LANCZOS).save(DOCS / "qmap.jpg", quality=85)
    uniform_psnr, map_psnr = (psnr(picture.pixels[crop], p[crop]) for p in (spread, decoded))
    return (
        f"The part below has {uniform_psnr:.2f} dB in the file with one rate, of {len(uniform.data)} bytes, "
        f"and {map_psnr:.2f} dB in that with the map, of {len(data)} bytes."
    )


def draw_maps(classifier: Classifier) -> None:
    """What catches the eye, small writing, and a task: pictures above, their maps below."""
    photograph = Picture.from_array(skimage.data.astronaut())
    page, _ = draw_text(photograph)
    example = task_example.examples(5, seed=777)[4]
    task_qmap = make_task_map(classifier, example, TASK_STEPS)
    side = len(example.pixels)
    pairs = [
        (photograph.pixels, _quantise_levels(saliency_map(photograph.pixels))),
        (page.pixels, _quantise_levels(text_map(page.pixels))),
        (example.pixels, levels_per_pixel(task_qmap.cells / 255, side, side, task_qmap.stride)),
    ]
    columns = [np.vstack([_enlarge(p), _enlarge(_grey_image(levels))]) for p, levels in pairs]
    image = Image.fromarray(np.hstack(columns))
    image.resize((960, 640), Image.Resampling.LANCZOS).save(DOCS / "qmap-maps.jpg", quality=85)


def _quantise_levels(levels: Levels) -> Levels:
    """The levels that a file can hold: on the grid of its map, in its steps."""
    height, width = levels.shape
    qmap = map_from_levels(levels, width, height)
    return levels_per_pixel(qmap.cells / 255, width, height, qmap.stride)


def bits_per_sample(
    encoder: Encoder, picture: Picture, setting: RateSetting
) -> npt.NDArray[np.float64]:
    """Bits of y at each of its samples, (h, w)."""
    model = encoder.model
    assert isinstance(model, Qmap)
    rate = derive_rate_parameters(model, setting, picture.width, picture.height)
    tables = CodingTables(model.gaussian.tables())
    bits = np.zeros((-(-picture.height // STRIDE), -(-picture.width // STRIDE)))
    for coded in model.coded_blocks(encoder.analyse(picture), rate):
        block = coded.block
        ((symbols, t),) = coded.steps
        spent = symbol_bits(symbols, round_to_table(t, len(tables.halves)), tables)
        rows, columns = block.bottom - block.top, block.right - block.left
        window = spent.reshape(-1, rows, columns).sum(axis=0)
        bits[block.top : block.bottom, block.left : block.right] = window
    return bits


def _grey_image(levels: npt.NDArray[np.float64]) -> Pixels:
    return np.repeat(np.rint(255 * levels).astype(np.uint8)[..., None], 3, axis=2)


def _enlarge(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((512, 512), Image.Resampling.BICUBIC))


# Parts of the page by the names of its marks: tables of Kodak's first pictures, and what needs none of them.
KODAK_TABLES = {"regions": regions_table, "writing": writing_table}
OTHER_BLOCKS: Mapping[str, Callable[[], str]] = {
    "faces": lambda: markdown(faces_table()),
    "task": lambda: markdown(stripes_table()),
    "example": draw_pictures,
}

if __name__ == "__main__":
    main()
