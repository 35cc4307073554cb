"""The plugin for Pillow: after ``import vrcodec.pillow_plugin``, `PIL.Image` opens and saves .vrc files.

Also through whatever reads pictures with Pillow, such as imageio. Opening reads the file's header and metadata;
networks are loaded when pixels are asked for. ``image.save("x.vrc", rate=0.6)`` takes the parameters of
`vrcodec.encode`, and ``icc_profile``, ``exif`` and ``xmp`` as Pillow's own formats do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from typing import IO, Any

from PIL import Image, ImageFile, ImageOps

import vrcodec
from vrcodec.bitstream.auxiliary import parse_metadata
from vrcodec.bitstream.container import parse_container
from vrcodec.bitstream.inspection import check_structure, describe
from vrcodec.bitstream.schema import MAGIC
from vrcodec.errors import UsageError, VrcError
from vrcodec.files import read_whole
from vrcodec.limits import DEFAULT_LIMITS
from vrcodec.regions.region import SCALES

FORMAT = "VRC"
EXTENSION = ".vrc"
MIME_TYPE = "image/x-vrc"

# `Image.open` compares pixels with the limit that Pillow's users know, once the header is read.
_LIMITS = replace(DEFAULT_LIMITS, max_pixels=DEFAULT_LIMITS.max_side**2)
# Parameters that `Image.save` adds by itself.
_PILLOW_PARAMETERS = ("save_all", "append_images")
_METADATA_PARAMETERS = ("icc_profile", "exif", "xmp")
_WRITABLE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr")


class VrcImageFile(ImageFile.ImageFile):
    """A .vrc file, decoded when its pixels are asked for. ``info["vrc"]``: the result of `vrcodec.inspect`."""

    format = FORMAT
    format_description = "vrcodec"
    # The file, until it is decoded. An image that was copied or pickled has its pixels already.
    _data: bytes | None = None

    def _open(self) -> None:
        assert self.fp is not None
        with _as_os_error():
            data = read_whole(self.fp, _LIMITS.max_file_bytes)
            container = parse_container(data, _LIMITS, partial=ImageFile.LOAD_TRUNCATED_IMAGES)
            info, metadata = describe(container, len(data)), parse_metadata(container, _LIMITS)
        self._size = (info.width, info.height)
        self._mode = info.image_mode
        self.info.update(metadata.to_info(), vrc=info.as_dict())
        # The info is the caller's, who may clear it.
        self._within_ours = info.width * info.height <= DEFAULT_LIMITS.max_pixels
        self._data, self._lock = data, threading.Lock()

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """As of JPEG: decode at 1/2, 1/4 or 1/8, no smaller than ``size``. The mode stays as it is."""
        # Means of black and white would be grey.
        if self._data is None or self.decoderconfig or size is None or self.mode == "1":
            return None
        width, height = self.size
        reduction = max(1, min(width // size[0], height // size[1]))
        scale = max(scale for scale in SCALES if scale <= reduction)
        self._size = -(-width // scale), -(-height // scale)
        self.decoderconfig = (scale,)
        return self.mode, (0, 0, width / scale, height / scale)

    def load(self) -> Any:
        """Decode, the first time. Raises OSError."""
        if self._data is not None:
            with self._lock:
                self._decode()
        return super().load()

    def _decode(self) -> None:
        if self._data is None:
            # Another thread has done it.
            return
        with _as_os_error():
            image = vrcodec.decode(
                self._data,
                partial=ImageFile.LOAD_TRUNCATED_IMAGES,
                scale=self.decoderconfig[0] if self.decoderconfig else 1,
                # Those by which `vrcodec.decode` keeps its models, where they suffice.
                limits=DEFAULT_LIMITS if self._within_ours else _LIMITS,
            )
        self.im, self.readonly = image.im, 0
        self.info["levels"] = image.info["levels"]
        if self.fp and self._exclusive_fp:
            self.fp.close()
        self.fp = self._data = None

    def verify(self) -> None:
        """Check all that needs no decoding, and close the file. Raises OSError."""
        if self._data is not None:
            with _as_os_error():
                check_structure(self._data, _LIMITS)
        super().verify()

    def close(self) -> None:
        """Close the file, and forget the pixels."""
        self._data = None
        super().close()


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Raise the exception by which Pillow's formats say that they cannot read or write."""
    try:
        yield
    except UsageError:
        # A ValueError already.
        raise
    except VrcError as error:
        raise OSError(str(error)) from error
    except SyntaxError as error:
        # By which Pillow says that EXIF is none.
        raise OSError(f"exif: {error}") from error


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Raises OSError for what cannot be written, ValueError for parameters that are not those of `encode`."""
    given = {k: v for k, v in image.encoderinfo.items() if k not in _PILLOW_PARAMETERS}
    metadata = {name: given.pop(name) for name in _METADATA_PARAMETERS if name in given}
    unknown = given.keys() - (signature(vrcodec.encode).parameters.keys() - {"image"})
    if unknown:
        raise ValueError(f"not parameters of a .vrc file: {', '.join(sorted(unknown))}")
    if getattr(image, "n_frames", 1) > 1:
        # As Pillow's other formats of one picture do.
        given.setdefault("frame", image.tell())
    try:
        with _as_os_error():
            subject = _with_metadata(image, metadata) if metadata else image
            data = vrcodec.encode(subject, **given)
    except OSError as error:
        if image.mode in _WRITABLE_MODES:
            raise
        raise OSError(f"cannot write mode {image.mode} as VRC: {error}") from error
    file.write(data)


def _with_metadata(image: Image.Image, metadata: dict[str, Any]) -> Image.Image:
    """A copy of ``image`` with other metadata, without that which is empty; turned upright."""
    info: dict[Any, Any] = {**image.info, **metadata}
    if isinstance(info.get("exif"), Image.Exif):
        info["exif"] = info["exif"].tobytes()
    copy = image.copy()
    if "exif" in metadata:
        # What is said of the pixels now.
        copy.info = {"exif": info["exif"] or b""}
        copy = ImageOps.exif_transpose(copy)
    elif isinstance(image, ImageFile.ImageFile):
        copy = ImageOps.exif_transpose(copy)
    copy.info = {k: v for k, v in info.items() if v or k not in _METADATA_PARAMETERS}
    return copy


def _save_all(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Raises OSError for more than one picture, and as `_save` does."""
    if getattr(image, "n_frames", 1) > 1 or image.encoderinfo.get("append_images"):
        raise OSError("a .vrc file has one picture: save frames one by one")
    _save(image, file, filename)


Image.register_open(FORMAT, VrcImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_save_all(FORMAT, _save_all)
Image.register_extension(FORMAT, EXTENSION)
Image.register_mime(FORMAT, MIME_TYPE)
