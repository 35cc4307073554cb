"""Reading picture files: what is kept, and what is refused rather than lost. See docs/PICTURES.md."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from vrcodec.errors import InputError, LimitError, VrcError
from vrcodec.files import open_to_read
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.picture.intake.colour_description import (
    build_declared_profile,
    read_exif_colours,
    refuse_undescribable,
)
from vrcodec.picture.intake.colour_management import drop_unfitting_profile, manage_colours
from vrcodec.picture.intake.containers.contents import FileContents, Part, read_at
from vrcodec.picture.intake.containers.formats import read_contents
from vrcodec.picture.intake.embedded_metadata import read_metadata
from vrcodec.picture.intake.file_header import FileHeader, read_file_header
from vrcodec.picture.intake.file_kind import EXTRA_FORMATS, HEIF, JXL, find_extra_format
from vrcodec.picture.intake.heif import find_heif_cicp, open_heif
from vrcodec.picture.intake.jxl import open_jxl, restore_jpeg
from vrcodec.picture.intake.metadata_update import update_metadata
from vrcodec.picture.intake.orientation import (
    ORIENTATION,
    reset_exif_orientation,
    reset_xmp_orientation,
    rotate_upright,
)
from vrcodec.picture.intake.pixel_change import PixelChange
from vrcodec.picture.intake.pixel_limit import pillow_pixel_limit
from vrcodec.picture.intake.read_options import DEFAULT_READ_OPTIONS, METADATA_KINDS, ReadOptions
from vrcodec.picture.intake.samples import Samples, extract_samples
from vrcodec.picture.metadata import Metadata
from vrcodec.picture.notes import Note
from vrcodec.picture.picture import Mode, Picture

READABLE = ("PNG", "JPEG", "PPM", "BMP", "GIF", "TIFF", "WEBP", "AVIF")

_NO_FRAME = "{}: has no frame {}; they are counted from 0"


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
            return _import_image(image, source, header, name, options, of_caller=True)
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
    options = ReadOptions(
        strip=frozenset(METADATA_KINDS), icc="strip", on_offer=False, limits=limits
    )
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
        with open_to_read(path) as file:
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
    *,
    of_caller: bool = False,
) -> Picture:
    """``of_caller``: who may have changed the metadata that Pillow has of the image."""
    contents = read_contents(image, source, options.frame)
    if of_caller:
        contents = replace(contents, exif=None)
    if contents.problem:
        raise InputError(f"{name}: {contents.problem}; convert it to a plain PNG first")
    if source is not None and len(contents.parts) > 1:
        return _read_part(source, contents.parts, name, options)
    with pillow_pixel_limit(options.limits, name):
        _seek_frame(image, name, options, contents.page)
    # Again, as pages differ in size.
    options.limits.check_picture(name, *image.size)
    turned = _turns_itself(image)
    samples = extract_samples(image, source, header, name, options)
    samples = _crop(samples, contents.clean_aperture)
    # After the samples, as some formats keep metadata behind them.
    embedded, orientation = _read_exif_and_xmp(image, contents, name, options)
    profile = _find_profile(image, samples, header, contents, embedded.exif, name, options)
    samples = _widen_grey(samples, contents.icc)
    if profile and _has_other_colours(image):
        profile = drop_unfitting_profile(profile, samples, name)
    converted = options.icc == "srgb" and (profile is not None or samples.space == "LAB")
    samples, icc = manage_colours(samples, profile, options, name)
    notes = [*contents.notes(), *_notes_on_colours(embedded.exif, options)]
    if orientation != 1 and _is_of_file(image) and not _is_upright(image):
        samples = _rotate_samples(samples, orientation)
        notes.append(Note(f"turned upright, from orientation {orientation}"))
    height, width = samples.colours.shape[:2]
    moved = turned or orientation != 1 or contents.clean_aperture is not None
    change = PixelChange(width, height, moved, converted, other_frame=bool(options.frame))
    metadata, changes = update_metadata(_strip(embedded, options), change)
    return _to_picture(samples, replace(metadata, icc=icc), (*notes, *changes))


def _read_part(
    source: BinaryIO, parts: tuple[Part, ...], name: str, options: ReadOptions
) -> Picture:
    """The picture of several, one behind the other, that was asked for. Raises InputError."""
    if options.frame is None:
        raise _several_frames(name, options)
    if options.frame >= len(parts):
        raise InputError(_NO_FRAME.format(name, options.frame))
    start, end = parts[options.frame]
    part = io.BytesIO(read_at(source, start, end - start))
    return read_picture(part, name, options=replace(options, frame=0))


def _is_of_file(image: Image.Image) -> bool:
    """Whether an image is one that was opened, not the result of an operation."""
    return isinstance(image, ImageFile.ImageFile) or image.format == "JXL"


def _has_other_colours(image: Image.Image) -> bool:
    """Whether an image may have been converted since it was opened: also by `draft`, while it is decoded."""
    return not _is_of_file(image) or bool(getattr(image, "decoderconfig", ()))


def _several_frames(name: str, options: ReadOptions) -> InputError:
    way = (
        "choose one with --frame, counted from 0" if options.on_offer else "save one of them alone"
    )
    return InputError(f"{name}: has several frames or pages; {way}")


def _seek_frame(image: Image.Image, name: str, options: ReadOptions, page: int | None) -> None:
    """Go to the frame that was asked for, or the ``page`` that is the picture. Raises InputError."""
    frame = options.frame
    if frame is None and page is None and _is_animated(image):
        raise _several_frames(name, options)
    number = page if frame is None else frame
    if number is None or number == _current_frame(image):
        return
    try:
        image.seek(number)
    except EOFError:
        raise InputError(_NO_FRAME.format(name, number)) from None


def _is_animated(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except ValueError:
        # The file has been closed: there is the frame that was loaded before.
        return False


def _crop(samples: Samples, window: tuple[int, int, int, int] | None) -> Samples:
    """``window``: left, top, width, height; None is all."""
    if window is None:
        return samples
    left, top, width, height = window
    rows, columns = slice(top, top + height), slice(left, left + width)
    alpha = None if samples.alpha is None else samples.alpha[rows, columns]
    return replace(samples, colours=samples.colours[rows, columns], alpha=alpha)


def _find_profile(
    image: Image.Image,
    samples: Samples,
    header: FileHeader,
    contents: FileContents,
    exif: bytes | None,
    name: str,
    options: ReadOptions,
) -> bytes | None:
    """The ICC profile of the file, or one built from what it says of its colours in other ways."""
    if options.assumes_srgb:
        return None
    if image.format == "HEIF":
        header = replace(header, cicp=find_heif_cicp(image, header.cicp))
    refuse_undescribable(header, contents, name)
    icc = read_metadata(image, "icc", True, name, contents.icc)
    if icc or samples.bilevel or samples.space in ("CMYK", "LAB"):
        return icc
    return build_declared_profile(image, header, contents, exif, samples.space == "GRAY", name)


def _widen_grey(samples: Samples, icc: bytes | None) -> Samples:
    """Grey samples as RGB, where the profile of a format that has palettes and RGB alone is one for RGB."""
    if samples.space != "GRAY" or not icc or icc[16:20] != b"RGB ":
        return samples
    colours = np.repeat(samples.colours[:, :, None], 3, axis=2)
    return replace(samples, colours=colours, space="RGB", bilevel=False)


def _read_exif_and_xmp(
    image: Image.Image, contents: FileContents, name: str, options: ReadOptions
) -> tuple[Metadata, int]:
    """EXIF and XMP, with orientation 1 from now on, and the orientation that they told."""
    exif = read_metadata(image, "exif", "exif" not in options.strip, name, contents.exif)
    xmp = read_metadata(image, "xmp", "xmp" not in options.strip, name, contents.xmp)
    exif, exif_orientation = reset_exif_orientation(exif) if exif else (None, None)
    xmp, xmp_orientation = reset_xmp_orientation(xmp) if xmp else (None, None)
    return Metadata(exif=exif, xmp=xmp), exif_orientation or xmp_orientation or 1


def _strip(metadata: Metadata, options: ReadOptions) -> Metadata:
    return Metadata(
        exif=None if "exif" in options.strip else metadata.exif,
        xmp=None if "xmp" in options.strip else metadata.xmp,
    )


def _notes_on_colours(exif: bytes | None, options: ReadOptions) -> Iterator[Note]:
    """Whoever strips metadata may not know that EXIF has the only word on the colours."""
    stripped = options.icc == "keep" and {"icc", "exif"} <= options.strip
    if stripped and exif and read_exif_colours(exif):
        yield Note("left out: that its colours are Adobe RGB, as EXIF says", lost=True)


def _is_upright(image: Image.Image) -> bool:
    """Whether what decodes has turned the samples, so that the orientation is one that they had."""
    # Of a JPEG, JPEG XL gives the samples as they were.
    return image.format in ("TIFF", "HEIF", "JXL") and not getattr(image, "jpeg", False)


def _turns_itself(image: Image.Image) -> bool:
    """Whether decoding will turn the samples by an orientation of which nothing is known afterwards."""
    if image.format == "TIFF":
        return bool(image.getexif().get(ORIENTATION, 1) != 1)
    return image.format == "HEIF" and image.info.get("original_orientation") not in (None, 1)


def _rotate_samples(samples: Samples, orientation: int) -> Samples:
    alpha = None if samples.alpha is None else rotate_upright(samples.alpha, orientation)
    return replace(samples, colours=rotate_upright(samples.colours, orientation), alpha=alpha)


def _to_picture(samples: Samples, metadata: Metadata, notes: tuple[Note, ...]) -> Picture:
    colours = samples.colours
    if samples.space == "RGB":
        return Picture(colours, "RGB", samples.alpha, metadata, notes=notes)
    pixels = np.repeat(colours[:, :, None], 3, axis=2)
    mode: Mode = "1" if samples.bilevel else "L"
    return Picture(pixels, mode, samples.alpha, metadata, notes=notes)
