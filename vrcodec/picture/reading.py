"""Reading pictures: what is kept, and what is refused rather than lost. See docs/PICTURES.md."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from vrcodec.errors import InputError, LimitError, VrcError
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.picture.intake.colour_description import declared_profile, refuse_high_range
from vrcodec.picture.intake.colour_management import settled
from vrcodec.picture.intake.embedded import found_metadata
from vrcodec.picture.intake.facts import FileFacts
from vrcodec.picture.intake.orientation import turned, upright_exif, upright_xmp
from vrcodec.picture.intake.pixel_limit import our_limit
from vrcodec.picture.intake.policy import DEFAULT_INTAKE, METADATA_KINDS, Intake
from vrcodec.picture.intake.probe import file_facts
from vrcodec.picture.intake.samples import Samples, extract
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.picture import Picture

READABLE = ("PNG", "JPEG", "PPM", "BMP", "GIF", "TIFF", "WEBP", "AVIF")

_WHITE = 255


def read_picture(source: BinaryIO, name: str, *, intake: Intake = DEFAULT_INTAKE) -> Picture:
    """Decode a picture file: upright, with alpha and metadata. ``source`` can be sought.

    Raises InputError for what cannot be kept and was not asked to be changed, or LimitError.
    """
    with _damage_as_input_error(name):
        facts = file_facts(source, name)
        with opened_image(source, name, intake.limits) as image:
            return _taken_in(image, source, facts, name, intake)


def open_picture(path: Path, *, intake: Intake = DEFAULT_INTAKE) -> Picture:
    """`read_picture` of a file. Raises InputError or LimitError."""
    with _opened(path) as file:
        return read_picture(file, str(path), intake=intake)


def picture_from_image(image: Image.Image, *, intake: Intake = DEFAULT_INTAKE) -> Picture:
    """A Pillow image in memory -> Picture, under the rules of `read_picture`.

    Of an image that is loaded already, Pillow has forgotten samples beyond 8 bits of RGB, and checksums.
    """
    name, frame = "image", image.tell()
    source = getattr(image, "fp", None) if getattr(image, "tile", None) else None
    with _damage_as_input_error(name):
        try:
            return _taken_in(image, source, file_facts(source, name), name, intake)
        finally:
            if image.tell() != frame:
                image.seek(frame)


def read_colours(source: BinaryIO, name: str, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """The colours of a picture alone, for measuring and training: mode L or RGB, on white where it is
    transparent, without metadata, taken for sRGB. Raises InputError or LimitError.
    """
    intake = Intake(strip=frozenset(METADATA_KINDS), icc="strip", limits=limits)
    picture = read_picture(source, name, intake=intake)
    pixels = picture.pixels
    if picture.alpha is not None:
        alpha = picture.alpha[..., None].astype(np.uint16)
        mixed = (pixels * alpha + _WHITE * (255 - alpha) + 127) // 255
        pixels = mixed.astype(np.uint8)
    return Picture(pixels, "RGB" if picture.mode == "RGB" else "L")


def open_colours(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """`read_colours` of a file. Raises InputError or LimitError."""
    with _opened(path) as file:
        return read_colours(file, str(path), limits=limits)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


@contextmanager
def opened_image(source: BinaryIO, name: str, limits: Limits) -> Iterator[Image.Image]:
    """An image of a format that is taken in, within ``limits``; damage inside is an InputError."""
    with _damage_as_input_error(name):
        with our_limit(limits, name):
            image = Image.open(source, formats=READABLE)
        with image:
            limits.check_picture(name, *image.size)
            yield image


@contextmanager
def _damage_as_input_error(name: str) -> Iterator[None]:
    """Pillow's plugins raise whatever the damage brings about; we raise InputError."""
    try:
        yield
    except VrcError:
        raise
    except MemoryError:
        raise LimitError(f"{name}: not enough memory to decode this picture") from None
    except UnidentifiedImageError:
        known = ", ".join(READABLE)
        raise InputError(
            f"{name}: not a picture that can be read ({known}), or a damaged one; convert it to PNG first"
        ) from None
    except Exception as error:
        raise InputError(f"{name}: the picture is damaged: {error}") from error


def _taken_in(
    image: Image.Image, source: BinaryIO | None, facts: FileFacts, name: str, intake: Intake
) -> Picture:
    with our_limit(intake.limits, name):
        _choose_frame(image, name, intake.frame)
    # Pages differ in size.
    intake.limits.check_picture(name, *image.size)
    samples = extract(image, source, facts, name, intake)
    # Only now: some formats keep metadata behind the samples.
    samples, icc = settled(samples, _profile(image, samples, facts, name, intake), intake, name)
    metadata, orientation = _upright_metadata(image, name, intake)
    return _picture(_turned(samples, orientation), replace(metadata, icc=icc))


def _choose_frame(image: Image.Image, name: str, frame: int | None) -> None:
    """Go to the frame that was asked for. Raises InputError."""
    if frame is None:
        if getattr(image, "is_animated", False):
            raise InputError(
                f"{name}: has several frames or pages; choose one with --frame, counted from 0"
            )
        return
    try:
        image.seek(frame)
    except EOFError:
        raise InputError(f"{name}: has no frame {frame}; they are counted from 0") from None


def _profile(
    image: Image.Image, samples: Samples, facts: FileFacts, name: str, intake: Intake
) -> bytes | None:
    """The profile of the file, or one made from what it says of its colours in other ways."""
    if intake.drops_colours:
        return None
    refuse_high_range(facts, name)
    icc = found_metadata(image, "icc", True, name)
    if icc or samples.bilevel or samples.space in ("CMYK", "LAB"):
        return icc
    return declared_profile(image, facts, samples.space == "GRAY", name)


def _upright_metadata(image: Image.Image, name: str, intake: Intake) -> tuple[Metadata, int]:
    """EXIF and XMP to keep, and the orientation that the samples have; those say 1 from now on."""
    wants_exif, wants_xmp = "exif" not in intake.strip, "xmp" not in intake.strip
    exif = found_metadata(image, "exif", wants_exif, name)
    xmp = found_metadata(image, "xmp", wants_xmp, name)
    exif, of_exif = upright_exif(exif) if exif else (None, None)
    xmp, of_xmp = upright_xmp(xmp) if xmp else (None, None)
    metadata = Metadata(exif=exif if wants_exif else None, xmp=xmp if wants_xmp else None)
    # Pillow turns TIFF itself.
    return metadata, 1 if image.format == "TIFF" else of_exif or of_xmp or 1


def _turned(samples: Samples, orientation: int) -> Samples:
    alpha = None if samples.alpha is None else turned(samples.alpha, orientation)
    return replace(samples, colours=turned(samples.colours, orientation), alpha=alpha)


def _picture(samples: Samples, metadata: Metadata) -> Picture:
    colours = samples.colours
    if samples.space == "RGB":
        return Picture(colours, "RGB", samples.alpha, metadata)
    pixels = np.repeat(colours[:, :, None], 3, axis=2)
    return Picture(pixels, "1" if samples.bilevel else "L", samples.alpha, metadata)
