"""Pillow's limit on pixels, set to ours: some of its plugins allocate before we see a size."""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from vrcodec.errors import LimitError
from vrcodec.limits import Limits

# Pillow's limit is a global of its module.
_lock = threading.RLock()

if hasattr(os, "register_at_fork"):
    # A child must neither find it locked by a thread that it does not have, nor Pillow's limit changed.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


@contextmanager
def pillow_pixel_limit(limits: Limits, name: str) -> Iterator[None]:
    """Pillow refuses what ``limits`` do, and nothing less; one thread at a time. Raises LimitError."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        previous = Image.MAX_IMAGE_PIXELS
        # Pillow warns from its limit on, and refuses what is twice as large.
        Image.MAX_IMAGE_PIXELS = (limits.max_pixels + 1) // 2
        try:
            yield
        except Image.DecompressionBombError as error:
            # The size of the picture is in Pillow's message alone.
            pixels = re.search(r"\d+", str(error))
            raise LimitError(
                f"{name}: {pixels[0] if pixels else 'more'} pixels, over the limit of {limits.max_pixels}; "
                "raise it with --max-pixels if you trust the file"
            ) from None
        finally:
            Image.MAX_IMAGE_PIXELS = previous
