"""What quality maps do: regions of interest, small writing, a task. Writes docs/QMAP.md and its pictures.

    python -m benchmarks.qmaps /path/to/kodak

Every figure is of a real file that was decoded again. The tables of the document are replaced; its words stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import skimage.data
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from benchmarks.common import fill_in
from benchmarks.task_example import compare, examples, judged, map_for, trained_classifier
from vrcodec.bench.summary import Table, markdown
from vrcodec.bitstream.container import parse_container
from vrcodec.bitstream.guard_band import round_to_table
from vrcodec.bitstream.information_content import symbol_bits
from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.bitstream.rans import CodingTables
from vrcodec.bitstream.rate_setting import Setting
from vrcodec.codec import Decoder, Encoder, rate_state
from vrcodec.maps.generation import saliency, text
from vrcodec.maps.levels import Levels, Region, on_grid, over_picture, regions_map
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
REGION_LEVEL, BACKGROUND_LEVEL = 0.9, 0.2
TEXT_LOW, TEXT_HIGH = 0.2, 0.8
TEXT_RATES = (0.2, 0.4, 0.6)
TASK_RATES, TASK_PICTURES, TASK_STEPS = (0.1, 0.2, 0.3), 60, 30

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Coder:
    """Both directions, with models that stay loaded."""

    encoder: Encoder
    decoder: Decoder

    def coded(self, picture: Picture, setting: Setting) -> tuple[bytes, Pixels]:
        """A file, and what it decodes to."""
        data = self.encoder.encode(picture, setting)
        return data, self.decoder.decode(data).pixels

    def within(self, picture: Picture, size: int, qmap: QualityMap) -> tuple[bytes, Pixels]:
        """The same for a map of this shape, at most so many bytes."""
        target = Target("size", size)
        found = encode_to_target(
            self.encoder, self.decoder, picture, target, qmap=qmap, strict=True
        )
        return found.data, self.decoder.decode(found.data).pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    pictures = read_folder(parser.parse_args().folder)
    first = dict(list(pictures.items())[:PICTURES])
    coder = Coder(Encoder("qmap"), Decoder())
    classifier = trained_classifier()
    blocks = {
        "regions": markdown(regions_table(coder, first)),
        "writing": markdown(writing_table(coder, list(first.values()))),
        "task": markdown(task_table(classifier)),
        "example": draw_example(coder),
    }
    draw_maps(classifier)
    fill_in(DOCUMENT, "qmap", blocks)


# --- regions of interest ---


def middle_quarter(picture: Picture) -> Region:
    """Half as wide and half as high as the picture, in its middle."""
    width, height = picture.width // 2, picture.height // 2
    return Region(width // 2, height // 2, width, height, REGION_LEVEL)


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
    found = [region_figures(coder, picture) for picture in pictures.values()]
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
        for f in found
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
    region = middle_quarter(picture)
    qmap = regions_map([region], BACKGROUND_LEVEL, picture.width, picture.height)
    plain, everywhere = coder.coded(picture, Setting.at(REGION_LEVEL))
    mapped, decoded = coder.coded(picture, Setting.at(None, qmap))
    inside = np.zeros(picture.pixels.shape[:2], bool)
    inside[region.y : region.y + region.height, region.x : region.x + region.width] = True
    return RegionFigures(
        len(plain),
        len(mapped),
        _psnr_of(picture.pixels, everywhere, inside),
        _psnr_of(picture.pixels, decoded, inside),
        _psnr_of(picture.pixels, decoded, ~inside),
    )


def _psnr_of(expected: Pixels, found: Pixels, where: Mask) -> float:
    return psnr(expected[where], found[where])


# --- small writing ---


def written(picture: Picture) -> tuple[Picture, Mask]:
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


def writing_table(coder: Coder, pictures: Sequence[Picture]) -> Table:
    """One row a rate: means over the pictures."""
    rows = []
    for rate in TEXT_RATES:
        found = [astuple(writing_figures(coder, *written(p), rate)) for p in pictures]
        rows.append([f"{rate}", *(f"{value:.2f}" for value in np.mean(found, axis=0))])
    columns = ["rate everywhere", "bpp", "bpp with map", "edges of writing, dB", "with map, dB"]
    return [*columns, "whole picture, dB", "with map, dB"], rows


def writing_figures(coder: Coder, picture: Picture, edges: Mask, rate: float) -> WritingFigures:
    """A file with ``rate`` everywhere, beside one of the same size with a map for writing."""
    plain, uniform = coder.coded(picture, Setting.at(rate))
    levels = TEXT_LOW + (TEXT_HIGH - TEXT_LOW) * text(picture.pixels)
    qmap = on_grid(levels, picture.width, picture.height)
    mapped, decoded = coder.within(picture, len(plain), qmap)
    return WritingFigures(
        *(8 * len(data) / (picture.width * picture.height) for data in (plain, mapped)),
        *(_psnr_of(picture.pixels, pixels, edges) for pixels in (uniform, decoded)),
        *(psnr(picture.pixels, pixels) for pixels in (uniform, decoded)),
    )


# --- a task ---


def task_table(classifier: nn.Module) -> Table:
    """One row a rate: how ``classifier`` does on files of the same size."""
    drawn = examples(TASK_PICTURES, seed=777)
    before = judged(classifier, [e.pixels for e in drawn], [e.label for e in drawn])
    rows = [["not coded", "", "", f"{before[0]:.1%}", "", f"{before[1]:.2f}", ""]]
    found = compare(classifier, drawn, TASK_RATES, TASK_STEPS)
    for rate, scores in zip(TASK_RATES, found, strict=True):
        both = scores["uniform"], scores["task"]
        cells = [f"{score.bpp:.3f}" for score in both]
        cells += [f"{score.accuracy:.1%}" for score in both]
        cells += [f"{score.loss:.2f}" for score in both]
        rows.append([f"{rate}", *cells])
    columns = ["rate everywhere", "bpp", "bpp with map", "right", "right with map"]
    return [*columns, "cross entropy", "with map"], rows


# --- the pictures in the document ---


def draw_example(coder: Coder) -> str:
    """Map, bits and result of a region, beside the same bytes spread evenly; returns what to say of it."""
    picture = Picture.from_array(skimage.data.astronaut())
    face = Region(160, 32, 128, 160, REGION_LEVEL)
    qmap = regions_map([face], BACKGROUND_LEVEL, picture.width, picture.height)
    data, decoded = coder.coded(picture, Setting.at(None, qmap))
    even = encode_to_target(coder.encoder, coder.decoder, picture, Target("size", len(data)))
    spread = coder.decoder.decode(even.data).pixels
    levels = over_picture(qmap.levels(parse_container(data).header.rate_code), 512, 512)
    bits = bits_spent(coder.encoder, picture, Setting.at(None, qmap))
    scale = np.log2(1 + bits) / np.log2(1 + bits.max())
    finer = scale.repeat(STRIDE, axis=0).repeat(STRIDE, axis=1)[:512, :512]
    top = np.hstack([picture.pixels, _grey(levels), _grey(finer)])
    crop = np.s_[32:192, 144:304]
    bottom = np.hstack([_enlarged(p[crop]) for p in (picture.pixels, spread, decoded)])
    image = Image.fromarray(np.vstack([top, bottom]))
    image.resize((960, 640), Image.Resampling.LANCZOS).save(DOCS / "qmap.jpg", quality=85)
    even_psnr, own_psnr = (psnr(picture.pixels[crop], p[crop]) for p in (spread, decoded))
    return (
        f"The part below has {even_psnr:.2f} dB in the file with one rate, of {len(even.data)} bytes, and "
        f"{own_psnr:.2f} dB in that with the map, of {len(data)} bytes."
    )


def draw_maps(classifier: nn.Module) -> None:
    """What catches the eye, small writing, and a task: pictures above, their maps below."""
    photograph = Picture.from_array(skimage.data.astronaut())
    page, _ = written(photograph)
    example = examples(5, seed=777)[4]
    found = map_for(classifier, example, TASK_STEPS)
    side = len(example.pixels)
    pairs = [
        (photograph.pixels, _as_coded(saliency(photograph.pixels))),
        (page.pixels, _as_coded(text(page.pixels))),
        (example.pixels, over_picture(found.shape / 255, side, side)),
    ]
    columns = [np.vstack([_enlarged(p), _enlarged(_grey(levels))]) for p, levels in pairs]
    image = Image.fromarray(np.hstack(columns))
    image.resize((960, 640), Image.Resampling.LANCZOS).save(DOCS / "qmap-maps.jpg", quality=85)


def _as_coded(levels: Levels) -> Levels:
    """On the grid, as a file has them."""
    height, width = levels.shape
    return over_picture(on_grid(levels, width, height).shape / 255, width, height)


def bits_spent(encoder: Encoder, picture: Picture, setting: Setting) -> npt.NDArray[np.float64]:
    """Bits of y at each of its samples, (h, w)."""
    model = encoder.model
    assert isinstance(model, Qmap)
    rate = rate_state(model, setting, picture.width, picture.height)
    tables = CodingTables(model.gaussian.tables())
    bits = np.zeros((-(-picture.height // STRIDE), -(-picture.width // STRIDE)))
    for coded in model.coded_blocks(encoder.analyse(picture), rate):
        block = coded.block
        ((symbols, t),) = coded.steps
        own = symbol_bits(symbols, round_to_table(t, len(tables.halves)), tables)
        rows, columns = block.bottom - block.top, block.right - block.left
        window = own.reshape(-1, rows, columns).sum(axis=0)
        bits[block.top : block.bottom, block.left : block.right] = window
    return bits


def _grey(levels: npt.NDArray[np.float64]) -> Pixels:
    return np.repeat(np.rint(255 * levels).astype(np.uint8)[..., None], 3, axis=2)


def _enlarged(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((512, 512), Image.Resampling.BICUBIC))


if __name__ == "__main__":
    main()
