"""The formats that decoded pictures are written in, and what each of them can hold. Loads no library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vrcodec.errors import UsageError

OutputFormat = Literal["png", "jpeg", "webp", "avif", "tiff", "bmp", "ppm", "npy"]

# More than any picture has.
_ANY_SIZE = 1 << 32
# High enough that the loss is hard to see beside that of the codec.
_DEFAULT_QUALITY = 95
# Of WebP. Below, its chroma has half the size, which may cost more than the codec did.
LOSSLESS_QUALITY = 100


@dataclass(frozen=True)
class Capabilities:
    """What files of a format can hold; by default all that a picture has.

    ``suffixes``: of file names, the one that is given to outputs first. ``icc``, ``exif``, ``xmp``: how many
    bytes of each, 0 for none. ``grey_profile``: whether profiles for grey fit. ``side``: width and height in
    pixels at most. ``quality``: the default of a format that has one. ``samples_only``: for programs that want
    the samples as they are, whatever colours they mean. ``feature``: what Pillow must have been built with, by
    its name in `PIL.features`.
    """

    suffixes: tuple[str, ...]
    alpha: bool = True
    icc: int = _ANY_SIZE
    exif: int = _ANY_SIZE
    xmp: int = _ANY_SIZE
    grey_profile: bool = True
    side: int = _ANY_SIZE
    quality: int | None = None
    samples_only: bool = False
    feature: str | None = None


FORMATS: dict[OutputFormat, Capabilities] = {
    "png": Capabilities((".png",)),
    "jpeg": Capabilities(
        (".jpg", ".jpeg"),
        alpha=False,
        # Segments have 65533 bytes, and begin with a name; a profile may have 255 of them.
        icc=255 * (65533 - 14),
        exif=65533 - 6,
        xmp=65533 - 29,
        # Of libjpeg; the format has 65535.
        side=65500,
        quality=_DEFAULT_QUALITY,
    ),
    # Grey becomes RGB in both: a profile for grey would not fit.
    "webp": Capabilities(
        (".webp",), grey_profile=False, side=16383, quality=LOSSLESS_QUALITY, feature="webp"
    ),
    # What readers take by default (libavif).
    "avif": Capabilities(
        (".avif",), grey_profile=False, side=32768, quality=_DEFAULT_QUALITY, feature="avif"
    ),
    "tiff": Capabilities((".tif", ".tiff")),
    "bmp": Capabilities((".bmp",), alpha=False, icc=0, exif=0, xmp=0),
    "ppm": Capabilities(
        (".ppm", ".pgm", ".pbm", ".pnm"), alpha=False, icc=0, exif=0, xmp=0, samples_only=True
    ),
    "npy": Capabilities((".npy",), icc=0, exif=0, xmp=0, samples_only=True),
}

# Suffix of an output file -> its format.
SUFFIXES: dict[str, OutputFormat] = {
    suffix: name for name, held in FORMATS.items() for suffix in held.suffixes
}


@dataclass(frozen=True)
class WriteOptions:
    """How a picture is written.

    ``quality``: 1 .. 100, None for the format's own default. ``flatten``: lay transparent pictures on white,
    and convert colours to sRGB where the format has no place for their profile, in place of refusing.

    Raises UsageError for a quality where the format has none, or for a format that Pillow cannot write here.
    """

    format: OutputFormat = "png"
    quality: int | None = None
    flatten: bool = False

    def __post_init__(self) -> None:
        held = FORMATS[self.format]
        if self.quality is not None and held.quality is None:
            lossy = ", ".join(name for name, other in FORMATS.items() if other.quality)
            raise UsageError(f"--quality is for {lossy}; a {self.format} file has none")
        if held.feature is not None:
            _require_feature(held.feature, self.format)

    @property
    def suffix(self) -> str:
        """Of output files that get their names from their inputs."""
        return FORMATS[self.format].suffixes[0]


DEFAULT_WRITE_OPTIONS = WriteOptions()


def _require_feature(feature: str, name: OutputFormat) -> None:
    from PIL import features

    if not features.check(feature):
        raise UsageError(
            f"Pillow was built without {name} here; install its wheel (pip install --force-reinstall pillow), "
            "or choose another format"
        )
