"""The figure of the README: a part of a photograph by vrcodec and other codecs, at the same file size.

    python -m benchmarks.readme_figure /path/to/kodak

The rule that chooses what is shown: each picture is coded by AVIF at the quality whose file is nearest to 0.3
bits a pixel, and by vrcodec into at most as many bytes. Of the 24 pictures, the one with the median gain in
SSIMULACRA 2 is shown; of its parts of 256x256 pixels, at steps of 64, the one with the median gain.
"""

from __future__ import annotations

import argparse
import io
import itertools
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from vrcodec.bench.rivals import RIVALS
from vrcodec.codec import Decoder, Encoder
from vrcodec.metrics import ssimulacra2
from vrcodec.picture.folders import read_folder
from vrcodec.picture.picture import Picture
from vrcodec.search.rate_control import encode_to_target
from vrcodec.search.target import Target

FIGURE = Path(__file__).parents[1] / "docs" / "photograph.jpg"
RIVAL, BESIDES = "avif", ("jxl", "webp", "jpeg420")
BITS_PER_PIXEL = 0.3
QUALITIES = range(1, 96)
PART, STEP = 256, 64
ZOOM = 2
COLUMNS = 3
LABEL_HEIGHT = 40

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Coded:
    """A file by one codec, and its pixels."""

    title: str
    size: int
    pixels: Pixels


@dataclass(frozen=True)
class Pair:
    """A picture, named ``name``, by vrcodec and by AVIF."""

    name: str
    original: Picture
    ours: Coded
    rival: Coded

    @cached_property
    def gain(self) -> float:
        """Points of SSIMULACRA 2 by which ours is above the other."""
        return self.gain_in(0, 0, self.original.height, self.original.width)

    def gain_in(self, top: int, left: int, height: int, width: int) -> float:
        """The same for a part."""
        part = np.s_[top : top + height, left : left + width]
        original, ours, rival = (
            pixels[part] for pixels in (self.original.pixels, self.ours.pixels, self.rival.pixels)
        )
        return _score(original, ours) - _score(original, rival)

    def median_part(self) -> tuple[int, int]:
        """Top and left of the part with the median gain."""
        corners = itertools.product(
            range(0, self.original.height - PART + 1, STEP),
            range(0, self.original.width - PART + 1, STEP),
        )
        ordered = sorted(corners, key=lambda corner: self.gain_in(*corner, PART, PART))
        return ordered[len(ordered) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    encoder, decoder = Encoder(), Decoder()
    pairs = []
    for name, picture in read_folder(parser.parse_args().folder).items():
        rival = code_near(picture, RIVAL, BITS_PER_PIXEL * picture.width * picture.height / 8)
        target = Target("size", rival.size)
        data = encode_to_target(encoder, decoder, picture, target).data
        ours = Coded("vrcodec", len(data), decoder.decode(data).pixels)
        pairs.append(Pair(name, picture, ours, rival))
        print(f"{name}: {ours.size} of {rival.size} bytes, gain {pairs[-1].gain:+.1f} points")
    chosen = sorted(pairs, key=lambda pair: pair.gain)[len(pairs) // 2]
    top, left = chosen.median_part()
    print(f"{chosen.name}, from {left}, {top}: gain {chosen.gain_in(top, left, PART, PART):+.1f}")
    others = [code_near(chosen.original, name, chosen.ours.size) for name in BESIDES]
    draw_sheet(chosen, others, top, left).save(FIGURE, quality=88, optimize=True)


def code_near(picture: Picture, name: str, size: float) -> Coded:
    """The file of another codec, at a whole quality from 1 to 95, that is nearest to ``size`` bytes."""
    codec = RIVALS[name]
    encode = cache(partial(codec.save, picture.to_image()))
    # Files grow with the quality: the first that is no smaller, and the one before it.
    above = bisect_left(QUALITIES, size, key=lambda quality: len(encode(quality)))
    nearest = QUALITIES[max(0, above - 1) : above + 1]
    data = min(map(encode, nearest), key=lambda data: abs(len(data) - size))
    with Image.open(io.BytesIO(data)) as decoded:
        return Coded(codec.title, len(data), np.asarray(decoded.convert("RGB")))


def draw_sheet(pair: Pair, others: list[Coded], top: int, left: int) -> Image.Image:
    """The part at ``top``, ``left`` of the original and of all codecs, beside one another."""
    original = pair.original.pixels
    panels = [draw_panel(original, top, left, "original")]
    for coded in (pair.ours, pair.rival, *others):
        label = f"{coded.title}: {coded.size} bytes, {_score(original, coded.pixels):.0f} points"
        panels.append(draw_panel(coded.pixels, top, left, label))
    width, height = panels[0].size
    sheet = Image.new("RGB", (COLUMNS * width, -(-len(panels) // COLUMNS) * height), "white")
    for number, panel in enumerate(panels):
        sheet.paste(panel, (number % COLUMNS * width, number // COLUMNS * height))
    return sheet


def draw_panel(pixels: Pixels, top: int, left: int, label: str) -> Image.Image:
    """The part that is shown, enlarged, with ``label`` above."""
    part = Image.fromarray(pixels[top : top + PART, left : left + PART])
    part = part.resize((ZOOM * PART, ZOOM * PART), Image.Resampling.NEAREST)
    result = Image.new("RGB", (part.width, part.height + LABEL_HEIGHT), "white")
    result.paste(part, (0, LABEL_HEIGHT))
    ImageDraw.Draw(result).text((10, 8), label, fill="black", font=ImageFont.load_default(20))
    print(label)
    return result


def _score(original: Pixels, pixels: Pixels) -> float:
    score = ssimulacra2(original, pixels)
    assert score is not None
    return score


if __name__ == "__main__":
    main()
