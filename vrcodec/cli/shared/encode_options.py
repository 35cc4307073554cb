"""The encode job that command-line options ask for."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vrcodec.catalog import WeightsEntry, find_by_family
from vrcodec.cli.shared import output
from vrcodec.cli.shared.encoding import EncodeJob
from vrcodec.engine import Engine
from vrcodec.errors import UsageError
from vrcodec.limits import Limits
from vrcodec.picture.intake.read_options import IccChoice, ReadOptions
from vrcodec.rate import BACKGROUND_LEVEL
from vrcodec.refinement.effort import Effort, SearchMonitor, Tune, choose_effort
from vrcodec.regions.tiling import Tiling

if TYPE_CHECKING:
    from collections.abc import Callable

    from vrcodec.bitstream.quality_map import QualityMap
    from vrcodec.maps.regions import RegionWords
    from vrcodec.search.lossless_choice import LosslessMode


def make_encode_job(
    *,
    rate: float | None,
    bpp: float | None,
    size: float | None,
    psnr: float | None,
    ssim: float | None,
    ssimulacra2: float | None,
    bin_size: float | None,
    width: int | None,
    max_width: int | None,
    max_kmac: float | None,
    map_file: Path | None,
    regions: tuple[RegionWords, ...],
    roi_background: float | None,
    roi_feather: float | None,
    strict: bool,
    level: int | None,
    seconds: float | None,
    tune: Tune | None,
    keep_partial: bool,
    model: str,
    strip: frozenset[str],
    icc: IccChoice,
    reduce_depth: bool,
    frame: int | None,
    lossless: LosslessMode | None,
    lossless_fallback: bool,
    verify: bool,
    device: str,
    threads: int | None,
    precision: str,
    tiling: Tiling,
    limits: Limits,
    library: str = "auto",
) -> EncodeJob:
    """The job that the options of `vrcodec encode` ask for. Raises UsageError, or InputError for a map."""
    # With it comes NumPy, which --help and completion do without.
    from vrcodec.search.target import choose_target

    read_options = ReadOptions(strip, icc, reduce_depth, frame, limits)
    target = choose_target(
        rate,
        bin_size,
        {"bpp": bpp, "size": size, "psnr": psnr, "ssim": ssim, "ssimulacra2": ssimulacra2},
        names="--rate, --bpp, --size, --psnr, --ssim, --ssimulacra2, --bin-size",
    )
    if strict and target is None:
        raise UsageError("--strict goes with a target, such as --size or --ssimulacra2")
    make_map = _choose_map(map_file, regions, roi_background, roi_feather, limits)
    widths = (width, max_width, max_kmac)
    if sum(value is not None for value in (make_map, bin_size, *widths)) > 1:
        raise UsageError(
            "--bin-size is for qvrf, quality maps are for qmap, and slim takes one of --width, --max-width and "
            "--max-kmac"
        )
    weights = find_by_family(model, tune or (target.tune if target else None))
    return EncodeJob(
        model,
        weights.tune,
        Engine(device, precision, tiling, library),
        threads,
        read_options,
        target,
        strict,
        rate,
        bin_size,
        width,
        max_width if max_kmac is None else weights.max_width(max_kmac),
        make_map,
        _choose_effort(level, seconds, tune, keep_partial, weights),
        SearchMonitor(output.part_done, keep_partial),
        _choose_lossless(lossless, lossless_fallback),
        verify,
    )


def _choose_effort(
    level: int | None,
    seconds: float | None,
    tune: Tune | None,
    keep_partial: bool,
    weights: WeightsEntry,
) -> Effort:
    if level is not None and seconds is not None:
        raise UsageError("give --effort or --time-budget, not both")
    effort = choose_effort(level or 0, seconds, tune, weights)
    if not effort.searches and keep_partial:
        raise UsageError("--keep-partial goes with --effort above 0, or --time-budget")
    return effort


def _choose_lossless(mode: LosslessMode | None, fallback: bool) -> LosslessMode:
    if fallback and mode not in (None, "auto"):
        raise UsageError("--lossless-fallback is another word for --lossless auto")
    return mode or "auto"


def _choose_map(
    map_file: Path | None,
    regions: tuple[RegionWords, ...],
    background: float | None,
    feather: float | None,
    limits: Limits,
) -> Callable[[int, int], QualityMap] | None:
    """A function that makes the quality map of a picture from its width and height; None without options."""
    if not regions and (background is not None or feather is not None):
        raise UsageError("--roi-background and --roi-feather go with --roi")
    if not map_file and not regions:
        return None
    if map_file and regions:
        raise UsageError("give a map or regions, not both")
    if map_file:
        from vrcodec.maps.levels import map_from_levels, read_levels

        return partial(map_from_levels, read_levels(map_file, limits))
    from vrcodec.maps.regions import Surroundings, map_from_regions

    around = Surroundings(BACKGROUND_LEVEL if background is None else background, feather or 0)
    return partial(map_from_regions, [words.read(limits) for words in regions], around)
