"""Quality maps computed from a picture: its saliency, its small text, or a ramp."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from vrcodec.errors import UsageError
from vrcodec.maps.levels import Levels

Pixels = npt.NDArray[np.uint8]

# Saliency from this quantile on is level 1.
_TOP_QUANTILE = 0.98
# Text is many strong edges close together: side of the window, in pixels, and the share of its pixels
# on an edge that makes its level 1.
_WINDOW, _TEXT_DENSITY = 25, 0.35


def saliency_map(pixels: Pixels) -> Levels:
    """Levels (H, W) by the spectral residual of Hou and Zhang, CVPR 2007, as OpenCV has it."""
    cv2 = _import_opencv()
    succeeded, values = cv2.saliency.StaticSaliencySpectralResidual_create().computeSaliency(
        _to_bgr(pixels)
    )
    if not succeeded:
        raise UsageError("no saliency can be computed of this picture")
    return _normalise(cv2.GaussianBlur(values, (0, 0), _WINDOW / 2))


def text_map(pixels: Pixels) -> Levels:
    """Levels (H, W) by the density of strong edges, which is highest in small text."""
    cv2 = _import_opencv()
    grey = cv2.cvtColor(_to_bgr(pixels), cv2.COLOR_BGR2GRAY)
    edges = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    _, strong = cv2.threshold(edges, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    density = cv2.blur(strong.astype(np.float32), (_WINDOW, _WINDOW))
    levels: Levels = (density / _TEXT_DENSITY).clip(0, 1).astype(np.float64)
    return levels


def ramp_map(width: int, height: int) -> Levels:
    """Levels (height, width) from 0 at the left to 1 at the right."""
    return np.broadcast_to(np.linspace(0, 1, width), (height, width)).copy()


def _normalise(values: npt.NDArray[Any]) -> Levels:
    """``values`` scaled to 0 .. 1, from the minimum to the quantile `_TOP_QUANTILE`."""
    low, high = float(values.min()), float(np.quantile(values, _TOP_QUANTILE))
    levels: Levels = ((values.astype(np.float64) - low) / max(high - low, 1e-12)).clip(0, 1)
    return levels


def _to_bgr(pixels: Pixels) -> Pixels:
    colours = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    return np.ascontiguousarray(colours[..., ::-1])


def _import_opencv() -> Any:
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
    """Import MODULE:CALLABLE, the loss of a task (`vrcodec.maps.tasks`). Raises UsageError."""
    module, _, attribute = name.partition(":")
    try:
        task: Callable[..., Any] = getattr(import_module(module), attribute)
    except Exception as error:
        # The module is the user's, and may raise anything.
        raise UsageError(f"{name!r} cannot be loaded as MODULE:CALLABLE: {error}") from error
    if not callable(task):
        raise UsageError(f"{name!r} is not callable")
    return task
