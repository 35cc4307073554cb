"""Reading picture files: what is kept, and what is refused rather than lost. See docs/PICTURES.md."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from vrcodec.errors import InputError, LimitError, VrcError
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.picture.intake.colour_description import build_declared_profile, refuse_hdr
from vrcodec.picture.intake.colour_management import drop_unfitting_profile, manage_colours
from vrcodec.picture.intake.embedded_metadata import read_metadata
from vrcodec.picture.intake.file_header import FileHeader, read_file_header
from vrcodec.picture.intake.file_kind import EXTRA_FORMATS, HEIF, JXL, find_extra_format
from vrcodec.picture.intake.heif import find_heif_cicp, open_heif
from vrcodec.picture.intake.jxl import open_jxl, restore_jpeg
from vrcodec.picture.intake.orientation import (
    reset_exif_orientation,
    reset_xmp_orientation,
    rotate_upright,
)
from vrcodec.picture.intake.pixel_limit import pillow_pixel_limit
from vrcodec.picture.intake.read_options import DEFAULT_READ_OPTIONS, METADATA_KINDS, ReadOptions
from vrcodec.picture.intake.samples import Samples, extract_samples
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.picture import Picture

READABLE = ("PNG", "JPEG", "PPM", "BMP", "GIF", "TIFF", "WEBP", "AVIF")


def read_picture(
    source: BinaryIO, name: str, *, options: ReadOptions = DEFAULT_READ_OPTIONS
) -> Picture:
    """Decode a picture file: rotated upright, with alpha and metadata. ``source`` must be seekable.

    Raises InputError for what cannot be kept, unless ``options`` ask for its conversion, or LimitError.
    """
    with _damage_as_input_error(name):
        if find_extra_format(source, name) is JXL:
            source = restore_jpeg(source, name, options.limits)
        header = read_file_header(source, name)
        with open_image(source, name, options.limits) as image:
            return _import_image(image, source, header, name, options)


def open_picture(path: Path, *, options: ReadOptions = DEFAULT_READ_OPTIONS) -> Picture:
    """`read_picture` of a file. Raises InputError or LimitError."""
    with _open_file(path) as file:
        return read_picture(file, str(path), options=options)


def picture_from_image(
    image: Image.Image, *, options: ReadOptions = DEFAULT_READ_OPTIONS
) -> Picture:
    """A Pillow image in memory -> Picture, under the rules of `read_picture`.

    What `Image.open` gives is taken for its file, at the frame it stands at. Any other image is the result of
    operations, and kept as the caller sees it: it is upright, whatever the EXIF and XMP say that it has from
    a file, and the profile of other colours than its own is left out, with a warning.

    Of an image that is loaded already, Pillow has forgotten samples beyond 8 bits of RGB, and checksums.
    """
    name, frame = "image", _current_frame(image)
    if frame and options.frame is None:
        options = replace(options, frame=frame)
    undecoded = getattr(image, "tile", None) or image.format == "HEIF"
    source = getattr(image, "fp", None) if undecoded else None
    with _damage_as_input_error(name):
        try:
            header = read_file_header(source, name)
            return _import_image(image, source, header, name, options)
        finally:
            if _current_frame(image) != frame:
                image.seek(frame)


def _current_frame(image: Image.Image) -> int:
    try:
        return max(0, image.tell())
    except AttributeError:
        # An image that was pickled has its pixels, and no frames.
        return 0


def read_colours(source: BinaryIO, name: str, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """The colours of a picture alone, for measuring and training: mode L or RGB, on white where it is
    transparent, without metadata, taken for sRGB. Raises InputError or LimitError.
    """
    options = ReadOptions(strip=frozenset(METADATA_KINDS), icc="strip", limits=limits)
    picture = read_picture(source, name, options=options)
    pixels = picture.on_white().pixels
    return Picture(pixels, "RGB" if picture.mode == "RGB" else "L")


def open_colours(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """`read_colours` of a file. Raises InputError or LimitError."""
    with _open_file(path) as file:
        return read_colours(file, str(path), limits=limits)


@contextmanager
def _open_file(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


@contextmanager
def open_image(source: BinaryIO, name: str, limits: Limits) -> Iterator[Image.Image]:
    """Open an image of one of the formats `READABLE`, or of `EXTRA_FORMATS`, within ``limits``.

    Damage inside is an InputError.
    """
    with _damage_as_input_error(name):
        with pillow_pixel_limit(limits, name):
            image = _open_by_package(source, name, limits)
        with image:
            limits.check_picture(name, *image.size)
            yield image


def _open_by_package(source: BinaryIO, name: str, limits: Limits) -> Image.Image:
    extra = find_extra_format(source, name)
    if extra is HEIF:
        return open_heif(source, name)
    return open_jxl(source, name, limits) if extra is JXL else Image.open(source, formats=READABLE)


@contextmanager
def _damage_as_input_error(name: str) -> Iterator[None]:
    """Raise InputError for a damaged file, on which Pillow's plugins raise exceptions of any type."""
    try:
        yield
    except (VrcError, Warning):
        # A warning, where the caller has made errors of them.
        raise
    except MemoryError:
        raise LimitError(f"{name}: not enough memory to decode this picture") from None
    except UnidentifiedImageError:
        known = ", ".join((*READABLE, *(extra.what for extra in EXTRA_FORMATS)))
        raise InputError(
            f"{name}: not a picture that can be read ({known}), or a damaged one; convert it to PNG first"
        ) from None
    except Exception as error:
        raise InputError(f"{name}: the picture is damaged: {error}") from error


def _import_image(
    image: Image.Image,
    source: BinaryIO | None,
    header: FileHeader,
    name: str,
    options: ReadOptions,
) -> Picture:
    with pillow_pixel_limit(options.limits, name):
        _seek_frame(image, name, options.frame)
    # Again, as pages differ in size.
    options.limits.check_picture(name, *image.size)
    samples = extract_samples(image, source, header, name, options)
    # After the samples, as some formats keep metadata behind them.
    profile = _find_profile(image, samples, header, name, options)
    if profile and _has_other_colours(image):
        profile = drop_unfitting_profile(profile, samples, name)
    samples, icc = manage_colours(samples, profile, options, name)
    metadata, orientation = _read_exif_and_xmp(image, name, options)
    if _is_of_file(image):
        samples = _rotate_samples(samples, orientation)
    return _to_picture(samples, replace(metadata, icc=icc))


def _is_of_file(image: Image.Image) -> bool:
    """Whether an image is one that was opened, not the result of an operation."""
    return isinstance(image, ImageFile.ImageFile) or image.format == "JXL"


def _has_other_colours(image: Image.Image) -> bool:
    """Whether an image may have been converted since it was opened: also by `draft`, while it is decoded."""
    return not _is_of_file(image) or bool(getattr(image, "decoderconfig", ()))


def _seek_frame(image: Image.Image, name: str, frame: int | None) -> None:
    """Go to the frame that was asked for. Raises InputError."""
    if frame == _current_frame(image):
        return
    if frame is None:
        if _is_animated(image):
            raise InputError(
                f"{name}: has several frames or pages; choose one with --frame, counted from 0"
            )
        return
    try:
        image.seek(frame)
    except EOFError:
        raise InputError(f"{name}: has no frame {frame}; they are counted from 0") from None


def _is_animated(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except ValueError:
        # The file has been closed: there is the frame that was loaded before.
        return False


def _find_profile(
    image: Image.Image, samples: Samples, header: FileHeader, name: str, options: ReadOptions
) -> bytes | None:
    """The ICC profile of the file, or one built from what it says of its colours in other ways."""
    if options.assumes_srgb:
        return None
    if image.format == "HEIF":
        header = replace(header, cicp=find_heif_cicp(image, header.cicp))
    refuse_hdr(header, name)
    icc = read_metadata(image, "icc", True, name)
    if icc or samples.bilevel or samples.space in ("CMYK", "LAB"):
        return icc
    return build_declared_profile(image, header, samples.space == "GRAY", name)


def _read_exif_and_xmp(image: Image.Image, name: str, options: ReadOptions) -> tuple[Metadata, int]:
    """EXIF and XMP to keep, with orientation 1 from now on, and the orientation that the samples have."""
    wants_exif, wants_xmp = "exif" not in options.strip, "xmp" not in options.strip
    exif = read_metadata(image, "exif", wants_exif, name)
    xmp = read_metadata(image, "xmp", wants_xmp, name)
    exif, exif_orientation = reset_exif_orientation(exif) if exif else (None, None)
    xmp, xmp_orientation = reset_xmp_orientation(xmp) if xmp else (None, None)
    metadata = Metadata(exif=exif if wants_exif else None, xmp=xmp if wants_xmp else None)
    orientation = 1 if _is_upright(image) else exif_orientation or xmp_orientation or 1
    return metadata, orientation


def _is_upright(image: Image.Image) -> bool:
    """Whether what decodes has turned the samples, so that the orientation is one that they had."""
    # Of a JPEG, JPEG XL gives the samples as they were.
    return image.format in ("TIFF", "HEIF", "JXL") and not getattr(image, "jpeg", False)


def _rotate_samples(samples: Samples, orientation: int) -> Samples:
    alpha = None if samples.alpha is None else rotate_upright(samples.alpha, orientation)
    return replace(samples, colours=rotate_upright(samples.colours, orientation), alpha=alpha)


def _to_picture(samples: Samples, metadata: Metadata) -> Picture:
    colours = samples.colours
    if samples.space == "RGB":
        return Picture(colours, "RGB", samples.alpha, metadata)
    pixels = np.repeat(colours[:, :, None], 3, axis=2)
    return Picture(pixels, "1" if samples.bilevel else "L", samples.alpha, metadata)
