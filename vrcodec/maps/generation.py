"""Quality maps made from a picture: where people look, where small writing is, or where a task needs bits."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from vrcodec.errors import UsageError
from vrcodec.maps.levels import Levels

Pixels = npt.NDArray[np.uint8]

# What is in the top share of a map is as important as can be.
_TOP = 0.98
# Text is many strong edges close together: sides of the window, in pixels, and the share of its pixels
# on an edge that makes it text beyond doubt.
_WINDOW, _DENSE = 25, 0.35


def saliency(pixels: Pixels) -> Levels:
    """Levels (H, W) by the spectral residual of Hou and Zhang, CVPR 2007, as OpenCV has it."""
    cv2 = _opencv()
    found, values = cv2.saliency.StaticSaliencySpectralResidual_create().computeSaliency(
        _bgr(pixels)
    )
    if not found:
        raise UsageError("no saliency can be computed of this picture")
    return _stretched(cv2.GaussianBlur(values, (0, 0), _WINDOW / 2))


def text(pixels: Pixels) -> Levels:
    """Levels (H, W) by the density of strong edges, which small writing has more of than anything else."""
    cv2 = _opencv()
    grey = cv2.cvtColor(_bgr(pixels), cv2.COLOR_BGR2GRAY)
    edges = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    _, strong = cv2.threshold(edges, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    density = cv2.blur(strong.astype(np.float32), (_WINDOW, _WINDOW))
    levels: Levels = (density / _DENSE).clip(0, 1).astype(np.float64)
    return levels


def ramp(width: int, height: int) -> Levels:
    """From 0 at the left to 1 at the right."""
    return np.broadcast_to(np.linspace(0, 1, width), (height, width)).copy()


def _stretched(values: npt.NDArray[Any]) -> Levels:
    """Values from the least to the usual highest, as 0 .. 1."""
    low, high = float(values.min()), float(np.quantile(values, _TOP))
    levels: Levels = ((values.astype(np.float64) - low) / max(high - low, 1e-12)).clip(0, 1)
    return levels


def _bgr(pixels: Pixels) -> Pixels:
    colours = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    return np.ascontiguousarray(colours[..., ::-1])


def _opencv() -> Any:
    try:
        cv2 = import_module("cv2")
    except ImportError:
        cv2 = None
    if not hasattr(cv2, "saliency"):
        raise UsageError(
            "this kind of map needs OpenCV with its contributed modules; install vrcodec[maps]"
        )
    return cv2


def load_task(name: str) -> Callable[..., Any]:
    """MODULE:CALLABLE, also from the working folder. Raises UsageError."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"{name!r} cannot be loaded as MODULE:CALLABLE: {error}") from error
    if not callable(found):
        raise UsageError(f"{name!r} is not callable")
    task: Callable[..., Any] = found
    return task
