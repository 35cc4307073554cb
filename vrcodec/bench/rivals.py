"""The codecs to compare with, each through the library by which people use it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image, features

from vrcodec.errors import InputError, UsageError
from vrcodec.picture import Picture

Save = Callable[[Image.Image, float], bytes]


@dataclass(frozen=True)
class Rival:
    """Another codec: a `vrcodec.bench.codecs.Codec`.

    ``points``: what it is measured at, lowest first, on its own ``scale``; ``fixed``: its other
    settings in words. ``save`` encodes an image at a point. ``library``: name and version of what
    encodes; None when it is not installed.
    """

    name: str
    title: str
    scale: str
    fixed: str
    points: tuple[float, ...]
    save: Save
    library: Callable[[], str | None]
    suffix: str

    @property
    def settings(self) -> str:
        """Scale and range, the other settings, the library."""
        low, high = self.points[0], self.points[-1]
        return f"{self.scale} {low:g} to {high:g}; {self.fixed}; {self.library()}"

    @property
    def identity(self) -> str:
        """What a measurement depends on, beside the point and the picture."""
        return f"{self.name}; {self.fixed}; {self.library()}"

    def coder(self) -> Rival:
        """Nothing has to be loaded."""
        return self

    def encode(self, picture: Picture, setting: float) -> bytes:
        """A file of ``picture`` in its own mode. Raises InputError for what the codec cannot code."""
        with self._refusals():
            return self.save(picture.to_image(), setting)

    def decode(self, data: bytes) -> Picture:
        """The picture of a file, through Pillow. Raises InputError."""
        with self._refusals(), Image.open(io.BytesIO(data)) as image:
            return Picture.from_array(np.asarray(image))

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Formats have limits of their own, on sides for example; each library says so in its own way."""
        try:
            yield
        except Exception as error:
            raise InputError(f"{self.title} fails: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        # Functions in fields cannot travel to another process; the name can.
        return _restored, (self.name, self.points)


def _restored(name: str, points: tuple[float, ...]) -> Rival:
    return replace(RIVALS[name], points=points)


def _saved(image: Image.Image, name: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **settings)
    return buffer.getvalue()


def _jpeg(subsampling: str) -> Save:
    def save(image: Image.Image, quality: float) -> bytes:
        return _saved(image, "JPEG", quality=int(quality), optimize=True, subsampling=subsampling)

    return save


def _mozjpeg(image: Image.Image, quality: float) -> bytes:
    import mozjpeg_lossless_optimization

    data: bytes = mozjpeg_lossless_optimization.optimize(_jpeg("4:2:0")(image, quality))
    return data


def _webp(image: Image.Image, quality: float) -> bytes:
    return _saved(image, "WEBP", quality=int(quality), method=6)


def _avif(**settings: Any) -> Save:
    def save(image: Image.Image, quality: float) -> bytes:
        return _saved(image, "AVIF", quality=int(quality), speed=4, subsampling="4:4:4", **settings)

    return save


def _jxl(image: Image.Image, quality: float) -> bytes:
    import pillow_jxl  # noqa: F401 - registers the format with Pillow

    return _saved(image, "JXL", quality=int(quality), effort=7)


def _jp2k(image: Image.Image, bpp: float) -> bytes:
    ratio = 8 * len(image.getbands()) / bpp
    return _saved(
        image,
        "JPEG2000",
        quality_mode="rates",
        quality_layers=[ratio],
        irreversible=True,
        mct=int(image.mode == "RGB"),
    )


def _codec(name: str, words: str) -> Callable[[], str | None]:
    return lambda: f"{words} {features.version_codec(name)}" if features.check_codec(name) else None


def _module(name: str, words: str) -> Callable[[], str | None]:
    return lambda: f"{words} {features.version_module(name)}" if features.check(name) else None


def _package(module: str, distribution: str) -> Callable[[], str | None]:
    return lambda: f"{distribution} {metadata.version(distribution)}" if find_spec(module) else None


def _jpeg_library() -> str | None:
    return f"libjpeg-turbo {features.version_feature('libjpeg_turbo')}"


_JPEG_QUALITIES = (5.0, 10, 20, 30, 45, 60, 75, 85, 92, 96)
_AVIF_QUALITIES = (1.0, 8, 18, 30, 42, 54, 66, 78, 88)
_OPTIMISED = "optimised Huffman tables"

RIVALS = {
    rival.name: rival
    for rival in (
        Rival(
            name="jpeg420",
            title="JPEG 4:2:0",
            scale="quality",
            fixed=_OPTIMISED,
            points=_JPEG_QUALITIES,
            save=_jpeg("4:2:0"),
            library=_jpeg_library,
            suffix=".jpg",
        ),
        Rival(
            name="jpeg444",
            title="JPEG 4:4:4",
            scale="quality",
            fixed=_OPTIMISED,
            points=_JPEG_QUALITIES,
            save=_jpeg("4:4:4"),
            library=_jpeg_library,
            suffix=".jpg",
        ),
        Rival(
            name="mozjpeg",
            title="JPEG 4:2:0, MozJPEG",
            scale="quality",
            fixed="coefficients of libjpeg-turbo, then scans and Huffman tables by MozJPEG",
            points=_JPEG_QUALITIES,
            save=_mozjpeg,
            library=_package("mozjpeg_lossless_optimization", "mozjpeg-lossless-optimization"),
            suffix=".jpg",
        ),
        Rival(
            name="webp",
            title="WebP",
            scale="quality",
            fixed="method 6",
            points=(1.0, 10, 25, 45, 65, 80, 90, 95, 100),
            save=_webp,
            library=_module("webp", "libwebp"),
            suffix=".webp",
        ),
        Rival(
            name="avif",
            title="AVIF 4:4:4",
            scale="quality",
            fixed="speed 4",
            points=_AVIF_QUALITIES,
            save=_avif(),
            library=_module("avif", "libavif"),
            suffix=".avif",
        ),
        Rival(
            name="avif-psnr",
            title="AVIF 4:4:4, for PSNR",
            scale="quality",
            fixed="speed 4, tune psnr",
            points=_AVIF_QUALITIES,
            save=_avif(advanced={"tune": "psnr"}),
            library=_module("avif", "libavif"),
            suffix=".avif",
        ),
        Rival(
            name="jxl",
            title="JPEG XL",
            scale="quality",
            fixed="effort 7",
            points=(1.0, 10, 25, 40, 55, 70, 80, 88, 94),
            save=_jxl,
            library=_package("pillow_jxl", "pillow-jxl-plugin"),
            suffix=".jxl",
        ),
        Rival(
            name="jp2k",
            title="JPEG 2000",
            scale="bits per pixel",
            fixed="irreversible 9/7 wavelet, colour transform",
            points=(0.08, 0.16, 0.3, 0.5, 0.8, 1.2, 1.8, 2.6),
            save=_jp2k,
            library=_codec("jpg_2000", "OpenJPEG"),
            suffix=".jp2",
        ),
    )
}
# What people mean when they name a format that is measured in several ways.
GROUPS = {"jpeg": ("jpeg420", "jpeg444", "mozjpeg")}


def choose_rivals(names: Sequence[str]) -> tuple[list[Rival], list[str]]:
    """The rivals called ``names``, and words about those whose library is missing.

    ``jpeg`` is all of its kinds; ``all`` and ``none`` are what they say. Raises UsageError for an unknown name.
    """
    wanted: list[str] = []
    for name in names:
        if name == "all":
            wanted += RIVALS
        elif name != "none":
            wanted += GROUPS.get(name, (name,))
    unknown = [name for name in wanted if name not in RIVALS]
    if unknown:
        known = ", ".join([*RIVALS, *GROUPS, "all", "none"])
        raise UsageError(f"no rival {unknown[0]!r}; there are: {known}")
    rivals = [RIVALS[name] for name in dict.fromkeys(wanted)]
    missing = [
        f"{r.title} is left out: its library is not installed (pip install 'vrcodec[bench]')"
        for r in rivals
        if r.library() is None
    ]
    return [r for r in rivals if r.library() is not None], missing
