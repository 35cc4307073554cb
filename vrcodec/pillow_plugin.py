"""The plugin for Pillow: after ``import vrcodec.pillow_plugin``, `PIL.Image` opens and saves .vrc files.

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
# Parameters that `Image.save` adds by itself.
_PILLOW_PARAMETERS = ("save_all", "append_images")


class VrcImageFile(ImageFile.ImageFile):
    """A .vrc file, decoded when its pixels are asked for. ``info["vrc"]``: the result of `vrcodec.inspect`."""

    format = FORMAT
    format_description = "vrcodec"
    # The file, until it is decoded. An image that was copied or pickled has its pixels already.
    _data: bytes | None = None

    def _open(self) -> None:
        assert self.fp is not None
        self._data = self.fp.read()
        try:
            info = vrcodec.inspect(self._data)
        except VrcError as error:
            # The exception that Pillow raises for a file that it cannot open.
            raise OSError(str(error)) from error
        self._size = (info.width, info.height)
        self._mode = info.image_mode
        self.info["vrc"] = info.as_dict()

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
    parameters = {k: v for k, v in image.encoderinfo.items() if k not in _PILLOW_PARAMETERS}
    try:
        data = vrcodec.encode(image, **parameters)
    except TypeError as error:
        raise ValueError(f"not parameters of a .vrc file: {', '.join(parameters)}") from error
    file.write(data)


Image.register_open(FORMAT, VrcImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, EXTENSION)
Image.register_mime(FORMAT, MIME_TYPE)
