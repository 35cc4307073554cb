"""Pillow's own limit on pixels, out of the way of ours."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

# Pillow's limit is a global of its module.
_lock = threading.RLock()


@contextmanager
def no_pillow_limit() -> Iterator[None]:
    """Leave the decision about large pictures to our own limits; one thread at a time."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        previous = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = previous
