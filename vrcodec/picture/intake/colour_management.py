"""ICC profiles of what comes in: checked, applied by LittleCMS, or left out."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image, ImageCms

from vrcodec.errors import InputError
from vrcodec.picture.intake.policy import Intake
from vrcodec.picture.intake.samples import Bytes, Samples, Space

_IN_PROFILES: dict[Space, str] = {"GRAY": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}
_IN_WORDS: dict[Space, str] = {"GRAY": "grey", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}
_NO_CMYK_PROFILE = (
    "{}: is in CMYK colours, and has no ICC profile to convert them by; convert it to RGB first"
)
_PILLOW_MODES: dict[Space, str] = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK", "LAB": "LAB"}


def settled(
    samples: Samples, icc: bytes | None, intake: Intake, name: str
) -> tuple[Samples, bytes | None]:
    """Grey or RGB samples, and the profile to keep with them.

    ``icc``: the profile of the file. Raises InputError where it is damaged, or does not fit the samples.
    """
    samples = _without_palette(samples, icc)
    if intake.icc == "srgb":
        return _converted(samples, icc, name), None
    if samples.space == "CMYK" and icc is None and not intake.drops_colours:
        raise InputError(_NO_CMYK_PROFILE.format(name))
    if samples.space in ("CMYK", "LAB"):
        raise InputError(
            f"{name}: is in {_IN_WORDS[samples.space]} colours; convert it to RGB first, or ask for that with "
            "--icc srgb"
        )
    if icc is not None:
        _checked_profile(icc, samples.space, name)
    return samples, icc


def _without_palette(samples: Samples, icc: bytes | None) -> Samples:
    """A palette of greys is grey, unless there is a profile for RGB."""
    if not samples.indexed or (icc is not None and icc[16:20] == b"RGB "):
        return samples
    red, green, blue = (samples.colours[..., channel] for channel in range(3))
    if (red == green).all() and (green == blue).all():
        return replace(samples, colours=np.ascontiguousarray(green), space="GRAY")
    return samples


def _checked_profile(icc: bytes, space: Space, name: str) -> ImageCms.ImageCmsProfile:
    """The profile, opened. Raises InputError."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except (OSError, ImageCms.PyCMSError):
        raise InputError(
            f"{name}: the ICC profile is damaged; leave it out with --icc strip"
        ) from None
    own = profile.profile.xcolor_space.strip()
    if own != _IN_PROFILES[space]:
        raise InputError(
            f"{name}: the ICC profile is one for {own}, and the samples are {_IN_WORDS[space]}; leave it out "
            "with --icc strip"
        )
    return profile


def _converted(samples: Samples, icc: bytes | None, name: str) -> Samples:
    """``samples`` in sRGB: by their profile, or as they are where they have none and need none."""
    if samples.space == "LAB":
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    elif icc is not None:
        profile = _checked_profile(icc, samples.space, name)
    elif samples.space == "CMYK":
        raise InputError(_NO_CMYK_PROFILE.format(name))
    else:
        return samples
    if samples.bilevel:
        # Black and white are what they were.
        return samples
    colours = _transformed(samples, profile, name)
    if samples.space == "GRAY" and not np.ptp(colours, axis=2).any():
        return replace(samples, colours=np.ascontiguousarray(colours[..., 1]))
    return replace(samples, colours=colours, space="RGB")


def _transformed(samples: Samples, profile: ImageCms.ImageCmsProfile, name: str) -> Bytes:
    """sRGB (H, W, 3) by LittleCMS, perceptual intent, black to black."""
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
