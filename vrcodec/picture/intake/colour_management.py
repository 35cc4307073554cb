"""Colour management on reading: ICC profiles are checked, and kept or applied by LittleCMS."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace

import numpy as np
from PIL import Image, ImageCms

from vrcodec.errors import InputError
from vrcodec.picture.intake.read_options import ReadOptions
from vrcodec.picture.intake.samples import Bytes, ColourSpace, Samples

_ICC_SPACES: dict[ColourSpace, str] = {"GRAY": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}
_SPACE_NAMES: dict[ColourSpace, str] = {"GRAY": "grey", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}
_NO_CMYK_PROFILE = (
    "{}: is in CMYK colours, and has no ICC profile to convert them by; convert it to RGB first"
)
_PILLOW_MODES: dict[ColourSpace, str] = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK", "LAB": "LAB"}


def manage_colours(
    samples: Samples, icc: bytes | None, options: ReadOptions, name: str
) -> tuple[Samples, bytes | None]:
    """Grey or RGB samples, and the profile to keep with them.

    ``icc``: the profile of the file. Raises InputError where it is damaged, or does not fit the samples.
    """
    samples = _reduce_grey_palette(samples, icc)
    if options.icc == "srgb":
        return _convert_to_srgb(samples, icc, name), None
    if samples.space == "CMYK" and icc is None and not options.assumes_srgb:
        raise InputError(_NO_CMYK_PROFILE.format(name))
    if samples.space in ("CMYK", "LAB"):
        raise InputError(
            f"{name}: is in {_SPACE_NAMES[samples.space]} colours; convert it to RGB first, or ask for "
            "that with --icc srgb"
        )
    if icc is not None:
        _open_profile(icc, samples.space, name)
    return samples, icc


def drop_unfitting_profile(icc: bytes, samples: Samples, name: str) -> bytes | None:
    """``icc``, or None with a warning where it is one for another colour space than that of ``samples``."""
    space = _reduce_grey_palette(samples, icc).space
    profile_space = icc[16:20].decode("latin-1").strip()
    if profile_space == _ICC_SPACES[space] or profile_space not in _ICC_SPACES.values():
        return icc
    warnings.warn(
        f"{name}: the ICC profile is one for {profile_space}, and left out, as the samples are "
        f"{_SPACE_NAMES[space]} by now",
        stacklevel=2,
    )
    return None


def _reduce_grey_palette(samples: Samples, icc: bytes | None) -> Samples:
    """Turn a palette of greys into grey samples, unless there is a profile for RGB."""
    if not samples.indexed or (icc is not None and icc[16:20] == b"RGB "):
        return samples
    red, green, blue = (samples.colours[..., channel] for channel in range(3))
    if (red == green).all() and (green == blue).all():
        return replace(samples, colours=np.ascontiguousarray(green), space="GRAY")
    return samples


def _open_profile(icc: bytes, space: ColourSpace, name: str) -> ImageCms.ImageCmsProfile:
    """The profile, opened. Raises InputError where it is damaged, or for another colour space."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        profile_space = profile.profile.xcolor_space.strip()
    except (OSError, UnicodeDecodeError, ImageCms.PyCMSError):
        raise InputError(
            f"{name}: the ICC profile is damaged; leave it out with --icc strip"
        ) from None
    if profile_space != _ICC_SPACES[space]:
        raise InputError(
            f"{name}: the ICC profile is one for {profile_space}, and the samples are "
            f"{_SPACE_NAMES[space]}; leave it out with --icc strip"
        )
    return profile


def _convert_to_srgb(samples: Samples, icc: bytes | None, name: str) -> Samples:
    """``samples`` in sRGB: by their profile, or as they are where they have none and need none."""
    if samples.space == "LAB":
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    elif icc is not None:
        profile = _open_profile(icc, samples.space, name)
    elif samples.space == "CMYK":
        raise InputError(_NO_CMYK_PROFILE.format(name))
    else:
        return samples
    if samples.bilevel:
        # A profile leaves black and white as they are.
        return samples
    colours = _apply_profile(samples, profile, name)
    if samples.space == "GRAY" and not np.ptp(colours, axis=2).any():
        return replace(samples, colours=np.ascontiguousarray(colours[..., 1]))
    return replace(samples, colours=colours, space="RGB")


def _apply_profile(samples: Samples, profile: ImageCms.ImageCmsProfile, name: str) -> Bytes:
    """sRGB (H, W, 3) by LittleCMS: perceptual intent, black point compensation."""
    mode = _PILLOW_MODES[samples.space]
    height, width = samples.colours.shape[:2]
    image = Image.frombytes(mode, (width, height), samples.colours.tobytes())
    # The tables of 8 bits that LittleCMS makes otherwise are off by up to 10 steps in dark greys.
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOOPTIMIZE
    try:
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.PERCEPTUAL,
            flags,
        )
        result = ImageCms.applyTransform(image, transform)
    except ImageCms.PyCMSError as error:
        raise InputError(f"{name}: the ICC profile cannot be applied: {error}") from None
    assert result is not None
    return np.asarray(result)
