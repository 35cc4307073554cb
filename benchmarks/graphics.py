"""Pictures that are no photographs: by a model, and as they are stored. Writes tables in docs/PICTURES.md.

    python -m benchmarks.graphics

The pictures are drawn here, with the font that Pillow brings along. Every figure is of real files, decoded.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.documents import replace_blocks
from vrcodec.bench.summary import Table, markdown
from vrcodec.bitstream.inspection import inspect
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.catalog import DEFAULT_MODEL
from vrcodec.codec import Decoder, Encoder
from vrcodec.metrics import capped_psnr
from vrcodec.picture.picture import Picture
from vrcodec.search.lossless_choice import encode_smallest

DOCUMENT = Path(__file__).parents[1] / "docs" / "PICTURES.md"
RATE = 0.5
AVIF_QUALITY = 60
# Pixels from ink that a model's halo may reach: a sample of y, and the next.
_FAR = 32
_PURE = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "yellow": (255, 255, 0),
}
# Families with weights for the eye, of which flats are told.
_FAMILIES = ("qvrf", "qarv")
# Words that do not repeat as a pangram would.
_TEXT = (Path(__file__).parents[1] / "LICENSE").read_text()


@dataclass
class Coder:
    """A model, and where its files are decoded."""

    encoder: Encoder
    decoder: Decoder

    def by_model(self, picture: Picture) -> tuple[bytes, Picture]:
        """The model's own file at `RATE`, and what it decodes to."""
        data = self.encoder.encode(picture, RateSetting.from_rate(RATE))
        return data, self.decoder.decode(data)

    def as_stored(self, picture: Picture) -> tuple[bytes, Picture]:
        """The same of the file that `vrcodec encode` writes."""
        data = encode_smallest(self.encoder, picture, RateSetting.from_rate(RATE))
        return data, self.decoder.decode(data)


def main() -> None:
    coders = {family: Coder(Encoder(family), Decoder()) for family in _FAMILIES}
    blocks = {
        "graphics": f"\n{markdown(size_table(coders[DEFAULT_MODEL]))}\n",
        "flats": f"\n{markdown(flat_table(coders))}\n",
    }
    DOCUMENT.write_text(replace_blocks(DOCUMENT.read_text(), blocks))


def size_table(coder: Coder) -> Table:
    """Bytes and PSNR of each picture, in each way."""
    rows = []
    for name, pixels in pictures().items():
        picture = Picture(pixels)
        model, decoded = coder.by_model(picture)
        stored, shown = coder.as_stored(picture)
        avif = _avif(pixels)
        rows.append(
            [
                name,
                _describe(model, pixels, decoded.pixels),
                _describe(stored, pixels, shown.pixels),
                _how(stored),
                _describe(avif, pixels, np.asarray(Image.open(io.BytesIO(avif)).convert("RGB"))),
            ]
        )
    head = ["picture", "by the model", "as stored", "how", f"AVIF, quality {AVIF_QUALITY}"]
    return head, rows


def _describe(data: bytes, pixels: np.ndarray, decoded: np.ndarray) -> str:
    exact = "exact" if np.array_equal(pixels, decoded) else f"{capped_psnr(pixels, decoded):.1f} dB"
    return f"{len(data):,} bytes, {exact}"


def _how(data: bytes) -> str:
    info = inspect(data)
    if info.lossless:
        return "without loss"
    return "by the model" if info.cell_bytes is None else "graphics without loss"


def _avif(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "AVIF", quality=AVIF_QUALITY)
    return buffer.getvalue()


def flat_table(coders: Mapping[str, Coder]) -> Table:
    """How exact models alone are where a picture is flat."""
    whites = [
        f"{100 * _exact_white(coder):.1f} % of its pixels are 255" for coder in coders.values()
    ]
    rows = [["white of the page of text, far from ink", *whites]]
    for name, colour in _PURE.items():
        errors = [
            f"off by {_largest_error(coder, colour)} of 255 at most" for coder in coders.values()
        ]
        rows.append([f"{name}, 256x256", *errors])
    return ["flat", *coders], rows


def _exact_white(coder: Coder) -> float:
    """The share of the white of the page of text, far from ink, that is white."""
    page = text_page()
    _, decoded = coder.by_model(Picture(page))
    return float((decoded.pixels[_far_from_ink(page)] == 255).all(axis=1).mean())


def _largest_error(coder: Coder, colour: tuple[int, int, int]) -> int:
    """Of all samples of a picture of one colour."""
    flat = np.full((256, 256, 3), colour, np.uint8)
    _, decoded = coder.by_model(Picture(flat))
    return int(np.abs(decoded.pixels.astype(int) - flat).max())


def _far_from_ink(page: np.ndarray) -> np.ndarray:
    """Pixels with nothing but white within `_FAR` pixels in each direction."""
    ink = Image.fromarray(255 - page.min(axis=2))
    return np.asarray(ink.filter(ImageFilter.MaxFilter(2 * _FAR + 1))) == 0


def pictures() -> dict[str, np.ndarray]:
    """Name -> pixels (H, W, 3)."""
    return {
        "page of text, 512x384": text_page(),
        "screenshot with a photograph, 1024x768": screenshot(),
        "line drawing, 640x480": line_drawing(),
        "logo, 320x240": logo(),
    }


def text_page(width: int = 512, height: int = 384) -> np.ndarray:
    """Black text on white, with margins and space below."""
    image = Image.new("RGB", (width, height), "white")
    _write(ImageDraw.Draw(image), (40, 30, width - 40, height - 100), 14)
    return np.asarray(image)


def screenshot() -> np.ndarray:
    """A page with a title bar, a photograph, text beside it, and a button."""
    image = Image.new("RGB", (1024, 768), (250, 250, 252))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 1024, 47), fill=(32, 60, 110))
    draw.text((20, 12), "Photographs", fill="white", font=ImageFont.load_default(20))
    image.paste(Image.fromarray(skimage.data.astronaut()), (40, 90))
    _write(draw, (590, 90, 984, 540), 15)
    draw.rounded_rectangle((590, 560, 740, 602), 8, fill=(20, 130, 60))
    draw.text((622, 572), "Download", fill="white", font=ImageFont.load_default(15))
    _write(draw, (40, 630, 984, 740), 13)
    return np.asarray(image)


def line_drawing() -> np.ndarray:
    """A plot: axes, a grid, and three curves with smooth edges."""
    scale = 3
    image = Image.new("RGB", (640 * scale, 480 * scale), "white")
    draw = ImageDraw.Draw(image)
    for position in range(80, 600, 60):
        draw.line([(scale * position, 120), (scale * position, 1290)], (220, 220, 220), scale)
    draw.line([(180, 1290), (1800, 1290)], "black", 2 * scale)
    draw.line([(180, 120), (180, 1290)], "black", 2 * scale)
    x = np.linspace(180, 1800, 300)
    for number, colour in enumerate(("crimson", "navy", "darkgreen")):
        y = 700 - 400 * np.sin(x / (260 + 90 * number) + number)
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), colour, 2 * scale, joint="curve")
    return np.asarray(image.reduce(scale))


def logo() -> np.ndarray:
    """Pure colours with smooth edges."""
    image = Image.new("RGB", (960, 720), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((120, 120, 600, 600), fill="red")
    draw.rounded_rectangle((420, 240, 840, 540), 60, fill="blue")
    draw.polygon([(480, 600), (720, 120), (840, 660)], fill="yellow")
    return np.asarray(image.reduce(3))


def _write(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], size: int) -> None:
    """Lines of text in a box."""
    font, (left, top, right, bottom) = ImageFont.load_default(size), box
    words, line = _TEXT.split(), ""
    while top + size < bottom and words:
        while words and draw.textlength(f"{line} {words[0]}", font) < right - left:
            line = f"{line} {words.pop(0)}".strip()
        draw.text((left, top), line, fill="black", font=font)
        top, line = top + int(1.5 * size), ""


if __name__ == "__main__":
    main()
