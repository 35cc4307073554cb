"""Training crops of graphics, drawn at random: what photographs have none of, and users encode all the same.

Text, flat shapes, saturated flats, gradients, line art, and pages of these as on a screen, with a photograph on
some; and patches of pure colours and of writing on white, whose borders are those of a picture. Fonts are those
of matplotlib and of the system.
"""

from __future__ import annotations

import string
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]

_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
# A screen's pure colours, which a decoder trained on photographs misses by far.
_PURE = tuple((r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255))
# Of a page's background.
_WHITE_SHARE, _BLACK_SHARE = 0.6, 0.15
# Of the components of a patch's colour.
_IMPURE_SHARE = 0.15
_FONT_SIZES = (8, 40)
_SIGNS = string.digits + string.ascii_uppercase + ".,;:!?()-+/%&@"
# Of words: in small letters, half of these with a capital; the others are of digits, capitals and signs.
_WORD_SHARE = 0.8
# How much larger shapes are drawn than they are kept, so that their edges are smooth.
_SUPERSAMPLING = 3


def draw_graphics(side: int, random: np.random.Generator, photograph: Pixels) -> Pixels:
    """A square (side, side, 3) of graphics. ``photograph``: the same size, of which some show a part."""
    kinds: tuple[Callable[[], Image.Image], ...] = (
        lambda: _draw_text(side, random),
        lambda: _draw_shapes(side, random),
        lambda: _draw_flats(side, random),
        lambda: _draw_gradient(side, random),
        lambda: _draw_lines(side, random),
        lambda: _draw_page(side, random, photograph),
    )
    return np.array(kinds[random.integers(len(kinds))]())


def draw_patches(count: int, side: int, random: np.random.Generator) -> Pixels:
    """Small pictures (count, side, side, 3): of one colour, or white with some writing, in turns.

    What a network makes of flats is worst at the borders of a picture, and there at the corners, of which crops
    of flats have too few.
    """
    kinds: tuple[Callable[[], Image.Image], ...] = (
        lambda: Image.new("RGB", (side, side), _pure_or_nearly(random)),
        lambda: _draw_writing(side, random),
    )
    return np.stack([np.array(kinds[number % len(kinds)]()) for number in range(count)])


def _draw_writing(side: int, random: np.random.Generator) -> Image.Image:
    """Writing on white, in a part of the square."""
    image = Image.new("RGB", (side, side), _WHITE)
    ink = _BLACK if random.random() < 0.7 else _random_colour(random)
    _write(image, _random_box(side, random), ink, random)
    return image


def _draw_text(side: int, random: np.random.Generator) -> Image.Image:
    background, ink = _paper_and_ink(random)
    image = Image.new("RGB", (side, side), background)
    _write(image, (0, 0, side, side), ink, random)
    return image


def _draw_shapes(side: int, random: np.random.Generator) -> Image.Image:
    """Ellipses, rectangles and polygons of one colour each, with smooth edges or hard ones."""
    scale = _SUPERSAMPLING if random.random() < 0.7 else 1
    image = Image.new("RGB", (scale * side, scale * side), _paper_and_ink(random)[0])
    draw = ImageDraw.Draw(image)
    for _ in range(random.integers(1, 12)):
        _draw_shape(draw, scale * side, scale, random)
    return image.reduce(scale)


def _draw_shape(
    draw: ImageDraw.ImageDraw, side: int, scale: int, random: np.random.Generator
) -> None:
    box, fill = _random_box(side, random), _random_colour(random)
    outline = _random_colour(random) if random.random() < 0.4 else None
    width = scale * int(random.integers(1, 5))
    kind = random.integers(4)
    if kind == 0:
        draw.ellipse(box, fill, outline, width)
    elif kind == 1:
        draw.rectangle(box, fill, outline, width)
    elif kind == 2:
        draw.rounded_rectangle(box, min(box[2] - box[0], box[3] - box[1]) / 4, fill, outline, width)
    else:
        corners = random.integers(0, side, (random.integers(3, 7), 2))
        draw.polygon([(int(x), int(y)) for x, y in corners], fill, outline)


def _draw_flats(side: int, random: np.random.Generator) -> Image.Image:
    """Areas of one colour that meet at straight edges."""
    image = Image.new("RGB", (side, side), _random_colour(random))
    draw = ImageDraw.Draw(image)
    for _ in range(random.integers(0, 5)):
        draw.rectangle(_random_box(side, random), _random_colour(random))
    return image


def _draw_gradient(side: int, random: np.random.Generator) -> Image.Image:
    """From one colour to another along a line or around a place; half of them with text."""
    y, x = np.mgrid[0:side, 0:side] / side
    if random.random() < 0.7:
        angle = (
            random.uniform(0, 2 * np.pi)
            if random.random() < 0.5
            else random.integers(4) * np.pi / 2
        )
        position = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) + 0.5
    else:
        position = np.hypot(x - random.random(), y - random.random())
    ends = np.array([_random_colour(random), _random_colour(random)], np.float64)
    share = np.clip(position * random.uniform(0.3, 1.5), 0, 1)[:, :, None]
    image = Image.fromarray(np.rint(ends[0] + (ends[1] - ends[0]) * share).astype(np.uint8))
    if random.random() < 0.5:
        _write(image, _random_box(side, random), _random_colour(random), random)
    return image


def _draw_lines(side: int, random: np.random.Generator) -> Image.Image:
    """Line art and diagrams: thin lines, curves and circles of few colours."""
    background, ink = _paper_and_ink(random)
    scale = _SUPERSAMPLING if random.random() < 0.7 else 1
    image = Image.new("RGB", (scale * side, scale * side), background)
    draw = ImageDraw.Draw(image)
    for _ in range(random.integers(3, 25)):
        colour = ink if random.random() < 0.7 else _random_colour(random)
        width = scale * int(random.integers(1, 4))
        kind = random.integers(3)
        if kind == 0:
            ends = random.integers(0, scale * side, 4)
            # Half of the lines are upright or level, as in tables and diagrams.
            if random.random() < 0.5:
                axis = random.integers(2)
                ends[2 + axis] = ends[axis]
            draw.line([int(end) for end in ends], colour, width)
        elif kind == 1:
            draw.arc(_random_box(scale * side, random), *_random_arc(random), colour, width)
        else:
            draw.line(_random_curve(scale * side, random), colour, width, joint="curve")
    return image.reduce(scale)


def _draw_page(side: int, random: np.random.Generator, photograph: Pixels) -> Image.Image:
    """As on a screen: panels and buttons, with text on them, and on half of the pages a photograph."""
    background, ink = _paper_and_ink(random)
    image = Image.new("RGB", (side, side), background)
    draw = ImageDraw.Draw(image)
    if random.random() < 0.5:
        box = _random_box(side, random)
        image.paste(Image.fromarray(photograph).crop(box), box[:2])
    for _ in range(random.integers(1, 5)):
        box, fill, colour = _random_box(side, random), background, ink
        if random.random() < 0.6:
            fill, colour = _random_colour(random), _random_colour(random)
        draw.rounded_rectangle(
            box, int(random.integers(0, 12)), fill, ink if random.random() < 0.5 else fill
        )
        _write(image, (box[0] + 4, box[1] + 2, box[2], box[3]), colour, random)
    return image


def _write(image: Image.Image, box: Box, ink: Colour, random: np.random.Generator) -> None:
    """Lines of random words in ``box``, in one font."""
    size = int(np.exp(random.uniform(*np.log(_FONT_SIZES))))
    font = _load_font(int(random.integers(1 << 30)), size)
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    if width < size or height < size:
        return
    # Cut at the box, and drawn with grey edges, or without as on old screens.
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    draw.fontmode = "L" if random.random() < 0.85 else "1"
    spacing = random.uniform(1.1, 1.8)
    for line in range(1 + int(height / (spacing * size))):
        words = [_random_word(random) for _ in range(1 + width // (3 * size))]
        draw.text(
            (random.integers(-size, size), int(line * spacing * size)), " ".join(words), 255, font
        )
    image.paste(ink, (left, top), mask)


def _random_word(random: np.random.Generator) -> str:
    if random.random() > _WORD_SHARE:
        return "".join(random.choice(list(_SIGNS), random.integers(1, 6)))
    word = "".join(random.choice(list(string.ascii_lowercase), random.integers(1, 10)))
    return word.capitalize() if random.random() < 0.5 else word


@lru_cache(maxsize=256)
def _load_font(number: int, size: int) -> ImageFont.FreeTypeFont:
    files = _font_files()
    return ImageFont.truetype(files[number % len(files)], size)


@lru_cache(maxsize=1)
def _font_files() -> Sequence[str]:
    """Scalable fonts with Latin letters: those of matplotlib, and of the system."""
    with warnings.catch_warnings():
        # It warns of fonts that it cannot read.
        warnings.simplefilter("ignore")
        from matplotlib import font_manager

        files = {entry.fname for entry in font_manager.fontManager.ttflist}
    return [name for name in sorted(files) if _has_letters(name)]


def _has_letters(name: str) -> bool:
    """Whether letters look different from each other: else the font shows the same box for all."""
    try:
        font = ImageFont.truetype(name, 20)
        return len({bytes(font.getmask(letter)) for letter in "aegMQ37"}) == len("aegMQ37")
    except (OSError, ValueError):
        return False


def _paper_and_ink(random: np.random.Generator) -> tuple[Colour, Colour]:
    draw = random.random()
    if draw < _WHITE_SHARE:
        return _WHITE, _BLACK if random.random() < 0.7 else _random_colour(random)
    if draw < _WHITE_SHARE + _BLACK_SHARE:
        return _BLACK, _WHITE if random.random() < 0.7 else _random_colour(random)
    return _random_colour(random), _random_colour(random)


def _pure_or_nearly(random: np.random.Generator) -> Colour:
    """A pure colour, of which now and then a component is any."""
    pure = _PURE[random.integers(len(_PURE))]
    red, green, blue = (
        int(random.integers(256)) if random.random() < _IMPURE_SHARE else value for value in pure
    )
    return red, green, blue


def _random_colour(random: np.random.Generator) -> Colour:
    """Pure, grey, or any."""
    draw = random.random()
    if draw < 0.4:
        return _PURE[random.integers(len(_PURE))]
    if draw < 0.6:
        grey = int(random.integers(256))
        return grey, grey, grey
    red, green, blue = (int(value) for value in random.integers(0, 256, 3))
    return red, green, blue


def _random_box(side: int, random: np.random.Generator) -> Box:
    """Left, top, right, bottom: at least an eighth of ``side`` wide and high."""
    width, height = (int(value) for value in random.integers(side // 8, side, 2))
    left, top = int(random.integers(side - width + 1)), int(random.integers(side - height + 1))
    return left, top, left + width, top + height


def _random_arc(random: np.random.Generator) -> tuple[float, float]:
    start = random.uniform(0, 360)
    return start, start + random.uniform(40, 360)


def _random_curve(side: int, random: np.random.Generator) -> list[tuple[float, float]]:
    """Points of a sum of waves, as a plot has."""
    x = np.linspace(0, side, 60)
    waves = sum(
        random.normal(0, side / 8) * np.sin(x * random.uniform(1, 20) / side + random.uniform(0, 6))
        for _ in range(3)
    )
    return list(zip(x.tolist(), (waves + random.uniform(0, side)).tolist(), strict=True))
