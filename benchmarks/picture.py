"""The picture of the README: one photograph by us and by others, at the same size.

python -m benchmarks.picture
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont

from vrcodec.codec import Decoder, Encoder
from vrcodec.metrics import capped_psnr
from vrcodec.picture.picture import Picture
from vrcodec.rate import code_from_rate

PICTURE = Path(__file__).parents[1] / "docs" / "photograph.jpg"
RATE = 0.15
# Left, top, right, bottom of the part that is shown.
PART = (110, 0, 366, 256)
ZOOM = 2
LABEL_HEIGHT = 40


def main() -> None:
    original = Picture.from_array(skimage.data.astronaut())
    data = Encoder().encode(original, code_from_rate(RATE))
    ours = Decoder().decode(data).pixels
    panels = [panel(original.pixels, "original")]
    panels.append(panel(ours, words("vrcodec", data, original.pixels, ours)))
    for name, options in (("WebP", {"method": 6}), ("JPEG", {"optimize": True})):
        other, pixels = nearest(original, len(data), name, **options)
        panels.append(panel(pixels, words(name, other, original.pixels, pixels)))
    sheet = Image.new("RGB", (sum(p.width for p in panels) // 2, 2 * panels[0].height))
    for number, part in enumerate(panels):
        sheet.paste(part, (number % 2 * part.width, number // 2 * part.height))
    sheet.save(PICTURE, quality=88, optimize=True)


def nearest(picture: Picture, size: int, name: str, **options: object) -> tuple[bytes, np.ndarray]:
    """The smallest file of another format that is no smaller than ``size``, or its smallest; and its pixels."""
    files = (saved(picture, name, quality=quality, **options) for quality in range(1, 96))
    found = next(data for data in files if len(data) >= size)
    with Image.open(io.BytesIO(found)) as image:
        return found, np.asarray(image.convert("RGB"))


def saved(picture: Picture, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.to_image().save(buffer, name, **options)
    return buffer.getvalue()


def words(name: str, data: bytes, original: np.ndarray, pixels: np.ndarray) -> str:
    return f"{name}: {len(data)} bytes, {capped_psnr(original, pixels):.1f} dB"


def panel(pixels: np.ndarray, label: str) -> Image.Image:
    """The part that is shown, enlarged, with a line of text above."""
    part = Image.fromarray(pixels).crop(PART)
    part = part.resize((ZOOM * part.width, ZOOM * part.height), Image.Resampling.NEAREST)
    result = Image.new("RGB", (part.width, part.height + LABEL_HEIGHT), "white")
    result.paste(part, (0, LABEL_HEIGHT))
    ImageDraw.Draw(result).text((10, 10), label, fill="black", font=ImageFont.load_default(20))
    print(label)
    return result


if __name__ == "__main__":
    main()
