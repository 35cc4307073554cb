"""A plugin for Pillow: after ``import vrcodec.pillow_plugin``, `PIL.Image` opens and saves .vrc files.

Also through whatever reads pictures with Pillow, such as imageio. Opening reads the file's header; networks are
loaded when pixels are asked for. ``image.save("x.vrc", rate=0.6)`` takes the parameters of `vrcodec.encode`.
"""

from __future__ import annotations

from typing import IO, Any

from PIL import Image, ImageFile

import vrcodec
from vrcodec.bitstream.schema import MAGIC
from vrcodec.errors import VrcError

FORMAT = "VRC"
EXTENSION = ".vrc"
MIME_TYPE = "image/x-vrc"
# What `Image.save` puts among the parameters by itself.
_OWN_OF_PILLOW = ("save_all", "append_images")


class VrcImageFile(ImageFile.ImageFile):
    """A .vrc file whose pixels have not been asked for yet. ``info["vrc"]``: what `vrcodec.inspect` says."""

    format = FORMAT
    format_description = "vrcodec"

    def _open(self) -> None:
        assert self.fp is not None
        self._data: bytes | None = self.fp.read()
        try:
            found = vrcodec.inspect(self._data)
        except VrcError as error:
            # What Pillow's users expect of a file that cannot be opened.
            raise OSError(str(error)) from error
        self._size = (found.width, found.height)
        self._mode = found.image_mode
        self.info["vrc"] = found.as_dict()

    def load(self) -> Any:
        """Decode, the first time. Raises OSError."""
        if self._data is not None:
            try:
                image = vrcodec.decode(self._data)
            except VrcError as error:
                raise OSError(str(error)) from error
            self.im = image.im
            self.info.update(image.info)
            self._data = None
        return super().load()


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Raises OSError, ValueError for parameters that `vrcodec.encode` does not know, and what that raises."""
    given = {k: v for k, v in image.encoderinfo.items() if k not in _OWN_OF_PILLOW}
    try:
        data = vrcodec.encode(image, **given)
    except TypeError as error:
        raise ValueError(f"not parameters of a .vrc file: {', '.join(given)}") from error
    file.write(data)


Image.register_open(FORMAT, VrcImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, EXTENSION)
Image.register_mime(FORMAT, MIME_TYPE)
