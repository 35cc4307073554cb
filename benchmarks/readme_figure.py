"""The figure of the README: a photograph by vrcodec, WebP and JPEG at the same file size.

python -m benchmarks.readme_figure
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

FIGURE = Path(__file__).parents[1] / "docs" / "photograph.jpg"
RATE = 0.15
# Left, top, right, bottom of the crop that is shown.
CROP = (110, 0, 366, 256)
ZOOM = 2
LABEL_HEIGHT = 40


def main() -> None:
    original = Picture.from_array(skimage.data.astronaut())
    data = Encoder().encode(original, code_from_rate(RATE))
    ours = Decoder().decode(data).pixels
    panels = [draw_panel(original.pixels, "original")]
    panels.append(draw_panel(ours, caption("vrcodec", data, original.pixels, ours)))
    for name, options in (("WebP", {"method": 6}), ("JPEG", {"optimize": True})):
        other, pixels = encode_to_size(original, len(data), name, **options)
        panels.append(draw_panel(pixels, caption(name, other, original.pixels, pixels)))
    sheet = Image.new("RGB", (sum(p.width for p in panels) // 2, 2 * panels[0].height))
    for number, part in enumerate(panels):
        sheet.paste(part, (number % 2 * part.width, number // 2 * part.height))
    sheet.save(FIGURE, quality=88, optimize=True)


def encode_to_size(
    picture: Picture, size: int, name: str, **options: object
) -> tuple[bytes, np.ndarray]:
    """The smallest file of another format that is no smaller than ``size``, or its smallest; and its pixels."""
    files = (encode_image(picture, name, quality=quality, **options) for quality in range(1, 96))
    data = next(data for data in files if len(data) >= size)
    with Image.open(io.BytesIO(data)) as image:
        return data, np.asarray(image.convert("RGB"))


def encode_image(picture: Picture, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.to_image().save(buffer, name, **options)
    return buffer.getvalue()


def caption(name: str, data: bytes, original: np.ndarray, pixels: np.ndarray) -> str:
    return f"{name}: {len(data)} bytes, {capped_psnr(original, pixels):.1f} dB"


def draw_panel(pixels: np.ndarray, label: str) -> Image.Image:
    """The crop that is shown, enlarged, with ``label`` above."""
    part = Image.fromarray(pixels).crop(CROP)
    part = part.resize((ZOOM * part.width, ZOOM * part.height), Image.Resampling.NEAREST)
    result = Image.new("RGB", (part.width, part.height + LABEL_HEIGHT), "white")
    result.paste(part, (0, LABEL_HEIGHT))
    ImageDraw.Draw(result).text((10, 10), label, fill="black", font=ImageFont.load_default(20))
    print(label)
    return result


if __name__ == "__main__":
    main()
