"""The codecs to compare with, each through the library that is commonly used for it."""

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
from vrcodec.picture.picture import Picture
from vrcodec.refinement.effort import MAX_EFFORT

Save = Callable[[Image.Image, float], bytes]


@dataclass(frozen=True)
class EffortScale:
    """A rival's own scale of effort.

    ``name``: what the codec calls it; ``default``: the value when no effort is asked for.
    ``from_effort``: the value for an effort of ours; ``save_at``: encoder at a value.
    """

    name: str
    default: int
    from_effort: Callable[[int], int]
    save_at: Callable[[int], Save]


@dataclass(frozen=True)
class Rival:
    """Another codec: a `vrcodec.bench.codecs.Codec`.

    ``points``: what it is measured at, lowest first, on its own ``scale``; ``fixed``: its other
    settings in words. ``save`` encodes an image at a point. ``library``: name and version of the
    encoder; None when it is not installed. ``effort_scale``: for `at_effort`; ``effort``: the effort of
    ours that this one matches.
    """

    name: str
    title: str
    scale: str
    fixed: str
    points: tuple[float, ...]
    save: Save
    library: Callable[[], str | None]
    suffix: str
    effort_scale: EffortScale | None = None
    effort: int | None = None

    def at_effort(self, effort: int) -> Rival:
        """The same codec at the value of its own scale for an ``effort`` of ours; itself without a scale."""
        if self.effort_scale is None:
            return self
        scale = self.effort_scale
        value = scale.from_effort(effort)
        return replace(
            self,
            name=f"{self.name}-{scale.name}{value}",
            title=f"{self.title}, {scale.name} {value}",
            fixed=self.fixed.replace(f"{scale.name} {scale.default}", f"{scale.name} {value}"),
            save=scale.save_at(value),
            effort=effort,
        )

    @property
    def settings(self) -> str:
        """Scale and range, the other settings, the library."""
        low, high = self.points[0], self.points[-1]
        return f"{self.scale} {low:g} to {high:g}; {self.fixed}; {self.library()}"

    @property
    def identity(self) -> str:
        """Key of results in the cache, beside the point and the picture."""
        return f"{self.name}; {self.fixed}; {self.library()}"

    def coder(self) -> Rival:
        """Itself: it has no state."""
        return self

    def encode(self, picture: Picture, setting: float) -> bytes:
        """A file of ``picture`` in its own mode. Raises InputError for what the codec cannot code."""
        with self._codec_errors():
            return self.save(picture.to_image(), setting)

    def decode(self, data: bytes) -> Picture:
        """The picture of a file, through Pillow. Raises InputError."""
        with self._codec_errors(), Image.open(io.BytesIO(data)) as image:
            return Picture.from_array(np.asarray(image))

    @contextmanager
    def _codec_errors(self) -> Iterator[None]:
        """Raise InputError for a picture beyond the format's limits: each library has exceptions of its own."""
        try:
            yield
        except Exception as error:
            raise InputError(f"{self.title} fails: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        # Functions in fields cannot be pickled; the name can.
        return _rival_by_name, (self.name, self.points)


def _rival_by_name(name: str, points: tuple[float, ...]) -> Rival:
    variants = (
        rival.at_effort(effort) for rival in RIVALS.values() for effort in range(MAX_EFFORT + 1)
    )
    by_name = {**{rival.name: rival for rival in variants}, **RIVALS}
    return replace(by_name[name], points=points)


def _save_image(image: Image.Image, name: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **settings)
    return buffer.getvalue()


def _jpeg(subsampling: str) -> Save:
    def save(image: Image.Image, quality: float) -> bytes:
        return _save_image(
            image, "JPEG", quality=int(quality), optimize=True, subsampling=subsampling
        )

    return save


def _mozjpeg(image: Image.Image, quality: float) -> bytes:
    import mozjpeg_lossless_optimization

    data: bytes = mozjpeg_lossless_optimization.optimize(_jpeg("4:2:0")(image, quality))
    return data


def _webp(image: Image.Image, quality: float) -> bytes:
    return _save_image(image, "WEBP", quality=int(quality), method=6)


def _avif(speed: int, subsampling: str, tune: str | None) -> Save:
    settings: dict[str, Any] = {"speed": speed, "subsampling": subsampling}
    if tune:
        settings["advanced"] = {"tune": tune}
    return lambda image, quality: _save_image(image, "AVIF", quality=int(quality), **settings)


def _jxl(effort: int) -> Save:
    def save(image: Image.Image, quality: float) -> bytes:
        import pillow_jxl  # noqa: F401 - registers the format with Pillow

        return _save_image(image, "JXL", quality=int(quality), effort=effort)

    return save


def _jp2k(image: Image.Image, bpp: float) -> bytes:
    ratio = 8 * len(image.getbands()) / bpp
    return _save_image(
        image,
        "JPEG2000",
        quality_mode="rates",
        quality_layers=[ratio],
        irreversible=True,
        mct=int(image.mode == "RGB"),
    )


def _codec_version(name: str, library: str) -> Callable[[], str | None]:
    return lambda: (
        f"{library} {features.version_codec(name)}" if features.check_codec(name) else None
    )


def _module_version(name: str, library: str) -> Callable[[], str | None]:
    return lambda: f"{library} {features.version_module(name)}" if features.check(name) else None


def _package_version(module: str, distribution: str) -> Callable[[], str | None]:
    return lambda: f"{distribution} {metadata.version(distribution)}" if find_spec(module) else None


def _jpeg_version() -> str | None:
    return f"libjpeg-turbo {features.version_feature('libjpeg_turbo')}"


_JPEG_QUALITIES = (5.0, 10, 20, 30, 45, 60, 75, 85, 92, 96)
_AVIF_QUALITIES = (1.0, 8, 18, 30, 42, 54, 66, 78, 88)
_OPTIMISED = "optimised Huffman tables"
_AVIF_SPEED = 4
_JXL_EFFORTS = EffortScale("effort", 7, lambda effort: max(1, effort), _jxl)


def _avif_rival(
    name: str, title: str, subsampling: str = "4:4:4", tune: str | None = None
) -> Rival:
    """AVIF as libavif tunes it by itself, which is for the eye, or for ``tune``."""

    def save_at(speed: int) -> Save:
        return _avif(speed, subsampling, tune)

    return Rival(
        name=name,
        title=title,
        scale="quality",
        fixed=f"speed {_AVIF_SPEED}" + (f", tune {tune}" if tune else ""),
        points=_AVIF_QUALITIES,
        save=save_at(_AVIF_SPEED),
        library=_module_version("avif", "libavif"),
        suffix=".avif",
        # Speed 10 makes the files of speed 9.
        effort_scale=EffortScale("speed", _AVIF_SPEED, lambda effort: MAX_EFFORT - effort, save_at),
    )


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
            library=_jpeg_version,
            suffix=".jpg",
        ),
        Rival(
            name="jpeg444",
            title="JPEG 4:4:4",
            scale="quality",
            fixed=_OPTIMISED,
            points=_JPEG_QUALITIES,
            save=_jpeg("4:4:4"),
            library=_jpeg_version,
            suffix=".jpg",
        ),
        Rival(
            name="mozjpeg",
            title="JPEG 4:2:0, MozJPEG",
            scale="quality",
            fixed="coefficients of libjpeg-turbo, then scans and Huffman tables by MozJPEG",
            points=_JPEG_QUALITIES,
            save=_mozjpeg,
            library=_package_version(
                "mozjpeg_lossless_optimization", "mozjpeg-lossless-optimization"
            ),
            suffix=".jpg",
        ),
        Rival(
            name="webp",
            title="WebP",
            scale="quality",
            fixed="method 6",
            points=(1.0, 10, 25, 45, 65, 80, 90, 95, 100),
            save=_webp,
            library=_module_version("webp", "libwebp"),
            suffix=".webp",
        ),
        _avif_rival("avif", "AVIF 4:4:4"),
        _avif_rival("avif420", "AVIF 4:2:0", subsampling="4:2:0"),
        _avif_rival("avif-psnr", "AVIF 4:4:4, for PSNR", tune="psnr"),
        _avif_rival("avif-ssimulacra2", "AVIF 4:4:4, for SSIMULACRA 2", tune="ssimulacra2"),
        Rival(
            name="jxl",
            title="JPEG XL",
            scale="quality",
            fixed="effort 7",
            points=(1.0, 10, 25, 40, 55, 70, 80, 88, 94),
            save=_jxl(_JXL_EFFORTS.default),
            library=_package_version("pillow_jxl", "pillow-jxl-plugin"),
            suffix=".jxl",
            effort_scale=_JXL_EFFORTS,
        ),
        Rival(
            name="jp2k",
            title="JPEG 2000",
            scale="bits per pixel",
            fixed="irreversible 9/7 wavelet, colour transform",
            points=(0.08, 0.16, 0.3, 0.5, 0.8, 1.2, 1.8, 2.6),
            save=_jp2k,
            library=_codec_version("jpg_2000", "OpenJPEG"),
            suffix=".jp2",
        ),
    )
}
# A format that is measured in several ways, by one name.
GROUPS = {"jpeg": ("jpeg420", "jpeg444", "mozjpeg")}


def choose_rivals(names: Sequence[str]) -> tuple[list[Rival], list[str]]:
    """The rivals called ``names``, and a message about each whose library is missing.

    A name of `GROUPS` is all of its rivals; ``all`` and ``none`` are names, too. Raises UsageError for
    unknown names.
    """
    chosen: list[str] = []
    for name in names:
        if name == "all":
            chosen += RIVALS
        elif name != "none":
            chosen += GROUPS.get(name, (name,))
    unknown = [name for name in chosen if name not in RIVALS]
    if unknown:
        known = ", ".join([*RIVALS, *GROUPS, "all", "none"])
        raise UsageError(f"no rival {unknown[0]!r}; there are: {known}")
    rivals = [RIVALS[name] for name in dict.fromkeys(chosen)]
    missing = [
        f"{r.title} is left out: its library is not installed (pip install 'vrcodec[bench]')"
        for r in rivals
        if r.library() is None
    ]
    return [r for r in rivals if r.library() is not None], missing


def expand_efforts(rivals: Sequence[Rival], efforts: Sequence[int]) -> list[Rival]:
    """Each of ``rivals`` at each effort; once where it has no such scale, or two efforts match one value."""
    variants: dict[str, Rival] = {}
    for rival in rivals:
        for effort in efforts:
            variant = rival.at_effort(effort)
            variants.setdefault(variant.name, variant)
    return list(variants.values())
