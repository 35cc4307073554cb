"""The Python interface; `vrcodec` itself re-exports these names."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import index
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vrcodec.bitstream.inspection import Info
from vrcodec.bitstream.inspection import inspect as _inspect
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.bitstream.source import FileSource
from vrcodec.catalog import DEFAULT_MODEL, find_by_family
from vrcodec.engine import Engine
from vrcodec.errors import (
    InputError,
    LeftOutWarning,
    UnmetTargetWarning,
    UsageError,
    VrcError,
)
from vrcodec.files import open_to_read, read_whole
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.picture.intake.read_options import IccChoice, ReadOptions, parse_strip
from vrcodec.rate import BACKGROUND_LEVEL
from vrcodec.refinement.effort import Effort, Tune, choose_effort
from vrcodec.regions.region import Rectangle, Region
from vrcodec.regions.tiling import Tiling

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    from vrcodec.bitstream.quality_map import QualityMap
    from vrcodec.bitstream.source import Source
    from vrcodec.codec import Decoder, Encoder
    from vrcodec.picture.picture import Picture
    from vrcodec.search.lossless_choice import LosslessMode
    from vrcodec.search.target import Target


def encode(
    image: Image.Image | npt.NDArray[np.uint8] | str | PathLike[str],
    rate: float | None = None,
    *,
    bpp: float | None = None,
    size: float | None = None,
    psnr: float | None = None,
    ssim: float | None = None,
    ssimulacra2: float | None = None,
    strict: bool = False,
    bin_size: float | None = None,
    qmap: npt.ArrayLike | None = None,
    roi: str | Iterable[str] = (),
    roi_background: float = BACKGROUND_LEVEL,
    roi_feather: float = 0,
    width: int | None = None,
    max_width: int | None = None,
    max_kmac: float | None = None,
    model: str = DEFAULT_MODEL,
    effort: int = 0,
    time_budget: float | None = None,
    tune: Tune | None = None,
    engine: str = "auto",
    device: str = "auto",
    memory: int | None = None,
    strip: bool | str | Iterable[str] = False,
    icc: IccChoice = "keep",
    reduce_depth: bool = False,
    frame: int | None = None,
    lossless: LosslessMode | bool = "auto",
    lossless_fallback: bool = False,
    verify: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """Compress ``image`` to the bytes of a .vrc file.

    Args:
        image: A Pillow image, the path of a picture, or an array: uint8 (H, W) or (H, W, 3), with alpha (H, W,
            2) or (H, W, 4), bool (H, W) for a bilevel picture. An image as `PIL.Image.open` gives it is turned
            upright, as a file is; the result of an operation is kept as it is.
        rate: 0 (smallest) .. 1 (best), continuous; by default 0.5, or the mean of the map.
        bpp: In place of a rate, the best file of at most so many bits a pixel.
        size: The best file of at most so many bytes.
        psnr: The smallest file of at least so many dB.
        ssim: The smallest of at least this MS-SSIM, below 1.
        ssimulacra2: The smallest of at least so many points of SSIMULACRA 2, up to 100; where the model has
            weights that are tuned for it or for PSNR, each is met by its own.
        strict: Raise TargetError where nothing meets such a target, in place of a warning and the nearest file.
        bin_size: For experts, `qvrf` and imported networks: the quantisation step in place of a rate, 1/64 ..
            64.
        qmap: For the model `qmap`: levels (h, w) in [0, 1] of any size, stretched over the picture; a rate
            moves their mean there.
        roi: In place of that, regions of interest, as the command takes them: "X,Y,W,H", "X,Y,X,Y,X,Y",
            "labels.json#person", "mask.png", each with a level ":Q" or not (docs/QMAP.md).
        roi_background: The level around the regions.
        roi_feather: Pixels from their level to that.
        width: For the model `slim`: channels of the networks in place of the rate's own choice; the rate then
            runs over what that width can do.
        max_width: The rate chooses among widths of so many channels at most.
        max_kmac: Among those that take so many thousand multiplications a pixel to decode at most, for a small
            decoder.
        model: A family, or a name of imported networks.
        effort: 0 .. 9, how much time to spend on a search for fewer bits.
        time_budget: Seconds, in place of an effort.
        tune: What to aim at: psnr or ssimulacra2 by weights that are tuned for it, where the model has such,
            and by the search; msssim by the search alone. By default what the weights are tuned for.
        engine: ``numpy``, ``torch``, or ``auto``: as ``VRCODEC_ENGINE`` says, else torch where it is installed.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        memory: About how many bytes to take beside the pixels of the picture. With NumPy it may change the
            rounding of a few latents, else nothing in the file.
        strip: Metadata to leave out, of "icc", "exif" and "xmp", or "all"; True is all.
        icc: "keep" the profile, convert colours to "srgb" by it, or "strip" it.
        reduce_depth: Round more than 8 bits a sample to 8, in place of refusing.
        frame: Which one of an animation or of several pages, from 0.
        lossless: Store without loss the picture, or the text and line art in it, where that is no larger
            ("auto"), "never" or False, "always" or True.
        lossless_fallback: An older word for "auto".
        verify: Decode the result, and compare.
        limits: Pictures beyond them are refused.

    Raises InputError, LimitError, UsageError, WeightsError or DeviceError; with ``verify``, CorruptError, with
    ``strict``, TargetError. What is in the file and has no place in a .vrc file, such as a gain map, is told by
    a LeftOutWarning of `vrcodec.errors`; a target that is not met, by an UnmetTargetWarning.
    """
    from vrcodec.search.lossless_choice import encode_smallest, parse_lossless_mode
    from vrcodec.search.target import choose_target

    target = choose_target(
        rate,
        bin_size,
        {"bpp": bpp, "size": size, "psnr": psnr, "ssim": ssim, "ssimulacra2": ssimulacra2},
        names="rate, bpp, size, psnr, ssim, ssimulacra2 and bin_size",
    )
    if strict and target is None:
        raise UsageError("strict goes with a target, such as size or ssimulacra2")
    regions = [roi] if isinstance(roi, str) else list(roi)
    widths = [number for number in (width, max_width, max_kmac) if number is not None]
    if qmap is not None and regions:
        raise UsageError("give a map or regions, not both")
    if bin_size is not None and (qmap is not None or regions or widths):
        raise UsageError("a bin size goes without a map or a width")
    if len(widths) > 1:
        raise UsageError("give one of width, max_width and max_kmac")
    if effort and time_budget is not None:
        raise UsageError("a time budget stands in place of an effort")
    lossless = parse_lossless_mode(lossless)
    if lossless_fallback and lossless != "auto":
        raise UsageError("lossless_fallback is another word for lossless='auto'")
    aim = tune or (target.tune if target else None)
    weights = find_by_family(model, aim)
    if max_kmac is not None:
        max_width = weights.max_width(max_kmac)
    search_effort = choose_effort(effort, time_budget, tune, weights)
    picture = _read_picture(
        image, ReadOptions(parse_strip(strip), icc, reduce_depth, frame, limits)
    )
    _warn_of_losses(image, picture)
    encoder = _load_encoder(model, engine, device, memory, aim, weights.id)
    decoder = _load_decoder(engine, device, memory, limits)
    shape = _parse_quality_map(qmap, picture)
    if regions:
        shape = _map_from_regions(regions, roi_background, roi_feather, picture, limits)
    if target:
        wanted = RateSetting(0, qmap=shape, width=width, max_width=max_width)
        data = _encode_to_target(
            encoder, decoder, picture, target, wanted, strict, lossless, search_effort
        )
    else:
        setting = (
            RateSetting.from_rate(rate, shape, width, max_width)
            if bin_size is None
            else encoder.bin_setting(bin_size)
        )
        data = encode_smallest(encoder, picture, setting, lossless=lossless, effort=search_effort)
    if verify:
        from vrcodec.search.verification import verify_encoding

        verify_encoding(data, picture, decoder)
    return data


def _encode_to_target(
    encoder: Encoder,
    decoder: Decoder,
    picture: Picture,
    target: Target,
    setting: RateSetting,
    strict: bool,
    lossless: LosslessMode,
    effort: Effort,
) -> bytes:
    """``setting``: what goes with the rate that is looked for."""
    from vrcodec.search.rate_control import encode_to_target, unmet_target_message

    result = encode_to_target(
        encoder,
        decoder,
        picture,
        target,
        qmap=setting.qmap,
        width=setting.width,
        max_width=setting.max_width,
        strict=strict,
        effort=effort,
        lossless=lossless,
    )
    if not result.met:
        warnings.warn(unmet_target_message(result, target), UnmetTargetWarning, stacklevel=3)
    return result.data


def decode(
    data: bytes,
    *,
    levels: int | None = None,
    partial: bool = False,
    crop: tuple[int, int, int, int] | None = None,
    scale: int = 1,
    engine: str = "auto",
    device: str = "auto",
    memory: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Image.Image:
    """The picture of a .vrc file, a Pillow image of the mode that was encoded: 1, L, LA, RGB or RGBA.

    Its ``info`` has what the file has of ``icc_profile``, ``exif`` and ``xmp``; ``info["levels"]`` says how
    many levels it shows, and how many it was made with.

    Args:
        data: The file, whole or, with ``partial``, its beginning.
        levels: For files of the model `qarv`: from so many levels only, 1 at least.
        partial: The file may end early; then from the levels that are complete.
        crop: Left, top, width and height in pixels of the whole picture; only what it needs is decoded.
        scale: 2, 4 or 8, for a preview whose pixels are the means of so many in each direction.
        engine: As in `encode`.
        device: As in `encode`.
        memory: About how many bytes to take beside the pixels.
        limits: Files beyond them are refused.

    Raises FormatError, CorruptError, WeightsError, LimitError, UsageError or DeviceError.
    """
    decoder = _load_decoder(engine, device, memory, limits)
    return _decode_image(decoder, _as_bytes(data), levels, partial, _make_region(crop, scale))


def _as_bytes(data: bytes) -> bytes:
    """The bytes of a file. Raises UsageError for its name, or anything else."""
    try:
        return bytes(memoryview(data))
    except TypeError:
        raise UsageError(
            f"takes the bytes of a file, not a {type(data).__name__}; vrcodec.open takes its path"
        ) from None


def _decode_image(
    decoder: Decoder, source: Source, levels: int | None, partial: bool, region: Region
) -> Image.Image:
    if levels is not None:
        levels = _as_count(levels, "levels")
    coded = decoder.read(source, partial=partial)
    image = decoder.reconstruct(coded, levels, region).to_image()
    image.info["levels"] = (levels or coded.available_levels, coded.level_count)
    return image


def _as_count(value: int, name: str) -> int:
    """``value`` as a whole number. Raises UsageError."""
    try:
        return index(value)
    except TypeError:
        raise UsageError(f"{name} is a whole number, not {value!r}") from None


def _make_region(crop: tuple[int, int, int, int] | None, scale: int) -> Region:
    try:
        sides = None if crop is None else Rectangle(*map(index, crop))
        return Region(sides, index(scale))
    except TypeError:
        raise UsageError(
            f"a crop is left, top, width and height in pixels, not {crop!r}, and a scale is 1, 2, 4 or 8"
        ) from None


def inspect(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Info:
    """Header and sizes of a .vrc file, its checksums verified; no network is loaded.

    Raises FormatError, CorruptError or LimitError.
    """
    return _inspect(_as_bytes(data), limits)


def open(
    path: str | PathLike[str],
    *,
    levels: int | None = None,
    partial: bool = False,
    crop: tuple[int, int, int, int] | None = None,
    scale: int = 1,
    engine: str = "auto",
    device: str = "auto",
    memory: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Image.Image:
    """Read and decode a .vrc file, as `decode` does; for a ``crop``, only the blocks that it needs are read.

    Raises what that raises, and InputError.
    """
    region = _make_region(crop, scale)
    try:
        decoder = _load_decoder(engine, device, memory, limits)
        with open_to_read(path) as file:
            in_parts = region.crop and os.path.isfile(path)
            source = FileSource(file) if in_parts else read_whole(file, limits.max_file_bytes)
            return _decode_image(decoder, source, levels, partial, region)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except VrcError as error:
        error.prefix(str(path))
        raise


def quality_map(data: bytes, limits: Limits = DEFAULT_LIMITS) -> npt.NDArray[np.float64]:
    """Levels in [0, 1] that a .vrc file was coded with, one for each 16 x 16 pixels: (rows, columns).

    Of a file without a quality map: its rate everywhere. Raises FormatError, CorruptError or LimitError, and
    UsageError when the picture is stored without loss, at no rate.
    """
    from vrcodec.maps.levels import read_coded_levels

    return read_coded_levels(_as_bytes(data), limits)


def _parse_quality_map(levels: npt.ArrayLike | None, picture: Picture) -> QualityMap | None:
    if levels is None:
        return None
    from vrcodec.maps.levels import check_levels, map_from_levels

    return map_from_levels(check_levels(levels, "qmap"), picture.width, picture.height)


def _map_from_regions(
    texts: Sequence[str], background: float, feather: float, picture: Picture, limits: Limits
) -> QualityMap:
    from vrcodec.maps.regions import RegionWords, Surroundings, map_from_regions

    regions = [RegionWords.parse(text).read(limits) for text in texts]
    around = Surroundings(background, feather)
    return map_from_regions(regions, around, picture.width, picture.height)


def _read_picture(image: Any, options: ReadOptions) -> Picture:
    import numpy as np
    from PIL import Image

    from vrcodec.picture.picture import Picture
    from vrcodec.picture.reading import open_picture, picture_from_image

    if isinstance(image, Image.Image):
        return picture_from_image(image, options=options)
    if isinstance(image, np.ndarray):
        picture = Picture.from_array(image)
        options.limits.check_picture("image", picture.width, picture.height)
        return picture
    if not isinstance(image, str | PathLike):
        raise InputError(f"cannot encode a {type(image).__name__}; give an image, array or path")
    return open_picture(Path(image), options=options)


def _warn_of_losses(image: Any, picture: Picture) -> None:
    """Tell the caller of `encode` what is not in the picture that was read."""
    name = image if isinstance(image, str | PathLike) else "image"
    for note in picture.notes:
        if note.lost:
            warnings.warn(f"{name}: {note.text}", LeftOutWarning, stacklevel=3)


@lru_cache(maxsize=4)
def _load_encoder(
    model: str, engine: str, device: str, memory: int | None, tune: Tune | None, weights: bytes
) -> Encoder:
    """``weights``: their id is part of the key, as others may be installed while this process lives."""
    from vrcodec.codec import Encoder

    return Encoder(model, Engine(device, tiling=Tiling(memory), library=engine), tune)


@lru_cache(maxsize=4)
def _load_decoder(engine: str, device: str, memory: int | None, limits: Limits) -> Decoder:
    from vrcodec.codec import Decoder

    return Decoder(Engine(device, tiling=Tiling(memory), library=engine), limits)
