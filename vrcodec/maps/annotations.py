"""Regions as tools for annotation write them: COCO's JSON for one picture, and pictures of labels."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageColor, ImageOps

from vrcodec.errors import InputError, UsageError, VrcError
from vrcodec.limits import Limits
from vrcodec.maps.levels import read_levels
from vrcodec.maps.shapes import Box, Group, Mask, Points, Polygon, Shape, as_coordinates
from vrcodec.picture.intake.depth import find_stretch
from vrcodec.picture.intake.file_header import read_file_header
from vrcodec.picture.reading import open_image

# What Python raises on a structure that is another one.
_DAMAGE = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
# A number of COCO's letters has no more bits.
_MOST_BITS = 60
_HEX_COLOUR = re.compile(r"[0-9a-fA-F]{6}")


def read_shape(path: Path, selection: str | None, limits: Limits) -> Shape:
    """What ``selection`` names in a file: in COCO's JSON a category or the id of an annotation, in a picture
    an index or a colour such as ff0000. Without one: all annotations, or the picture as a mask.

    Raises InputError or LimitError for the file, and UsageError when nothing in it is named so.
    """
    try:
        if path.suffix.lower() == ".json":
            return _read_coco(path, selection, limits)
        if selection is None:
            return Mask(read_levels(path, limits))
        return _read_label(path, selection, limits)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read_label(path: Path, selection: str, limits: Limits) -> Mask:
    with path.open("rb") as file, open_image(file, str(path), limits) as opened:
        image = ImageOps.exif_transpose(opened)
        if _HEX_COLOUR.fullmatch(selection):
            colour = ImageColor.getrgb(f"#{selection}")
            chosen = (np.asarray(image.convert("RGB")) == colour).all(axis=2)
        elif not selection.isdecimal():
            raise UsageError(f"{path}: {selection!r} is neither an index nor a colour as ff0000")
        elif len(image.getbands()) > 1:
            raise UsageError(f"{path}: has colours, no indices: choose one such as #ff0000")
        else:
            # Pillow stretches grey of 2 and 4 bits to 8.
            step = find_stretch(opened, read_file_header(file, str(path)))
            chosen = np.asarray(image) == int(selection) * step
    if not chosen.any():
        raise UsageError(f"{path}: nothing in it has the label {selection}")
    return Mask(chosen.astype(np.float64))


def _read_coco(path: Path, selection: str | None, limits: Limits) -> Group:
    try:
        content = json.loads(path.read_bytes())
        images, annotations = content["images"], content["annotations"]
        pictured = {annotation["image_id"] for annotation in annotations}
        if len(pictured) > 1:
            raise InputError(f"{path}: has annotations of several pictures; give those of one")
        sizes = {i["id"]: (int(i["width"]), int(i["height"])) for i in images}
        chosen = _select(annotations, content.get("categories", ()), selection, str(path))
        width, height = sizes[chosen[0]["image_id"]]
        limits.check_picture(str(path), width, height)
        shapes = [shape for each in chosen for shape in _shapes(each, width, height)]
    except VrcError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path}: not annotations in COCO's format") from error
    return Group(shapes, width, height)


def _select(
    annotations: Sequence[Mapping[str, Any]],
    categories: Sequence[Mapping[str, Any]],
    selection: str | None,
    name: str,
) -> Sequence[Mapping[str, Any]]:
    """The annotations of a category, or that of an id; all, where nothing is named. At least one."""
    if not annotations:
        raise UsageError(f"{name}: has no annotations")
    if selection is None:
        return annotations
    names = {category["id"]: category["name"] for category in categories}
    named = [a for a in annotations if names.get(a.get("category_id")) == selection]
    chosen = named or [a for a in annotations if str(a["id"]) == selection]
    if not chosen:
        there = ", ".join(sorted(names.values())) or "none"
        raise UsageError(
            f"{name}: nothing is annotated as {selection!r}, nor has this id; its categories: {there}"
        )
    return chosen


def _shapes(annotation: Mapping[str, Any], width: int, height: int) -> list[Shape]:
    """Of one annotation: its segmentation, which is polygons or runs, or without one its box."""
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, Mapping):
        if list(segmentation["size"]) != [height, width]:
            raise ValueError("a mask of another size than its picture")
        return [Mask(_decode_runs(segmentation["counts"], width, height))]
    if segmentation:
        return [Polygon(_points(flat)) for flat in segmentation]
    x, y, box_width, box_height = as_coordinates(annotation["bbox"])
    return [Box(x, y, box_width, box_height)]


def _points(flat: Sequence[float]) -> Points:
    points = as_coordinates(flat).reshape(-1, 2)
    if len(points) < 3:
        raise ValueError("a polygon has three points at least")
    return points


def _decode_runs(counts: str | Sequence[int], width: int, height: int) -> npt.NDArray[np.float64]:
    """A mask (height, width) from runs of pixels outside and inside in turn, column by column."""
    runs = np.asarray(_unpack_runs(counts) if isinstance(counts, str) else counts, np.int64)
    if (runs < 0).any() or runs.max() > width * height or runs.sum() != width * height:
        raise ValueError("runs of another number of pixels")
    inside = np.arange(len(runs)) % 2
    return inside.repeat(runs).reshape(width, height).T.astype(np.float64)


def _unpack_runs(packed: str) -> list[int]:
    """Runs from COCO's letters: each has five bits of a number, lowest first, and whether more follow.

    From the fourth run on, the number is the difference from the run before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in packed:
        bits = ord(letter) - 48
        value |= (bits & 31) << shift
        shift += 5
        if shift > _MOST_BITS:
            raise ValueError("a run is too long")
        if not bits & 32:
            # The highest bit of the last letter is the sign.
            signed = value - (1 << shift) if bits & 16 else value
            runs.append(signed + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs
