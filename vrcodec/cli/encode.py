"""`vrcodec encode`"""

from __future__ import annotations

import io
import re
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from vrcodec.catalog import DEFAULT_MODEL
from vrcodec.cli import options, output
from vrcodec.cli.paths import about, destinations, display_name, read_picture_file
from vrcodec.effort import MAX_EFFORT, Effort, Tune, Watch
from vrcodec.errors import UsageError
from vrcodec.inspection import inspect
from vrcodec.limits import Limits
from vrcodec.rate import DEFAULT_RATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from vrcodec.bitstream.qmap import QualityMap
    from vrcodec.codec import Encoder
    from vrcodec.picture import Picture
    from vrcodec.ratecontrol import Target

REGION_LEVEL, BACKGROUND_LEVEL = 0.8, 0.3

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "ki": 1024, "mi": 1024**2}


class ByteSize(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes with an optional unit: 40000, 40kB, 39KiB, 1.5MB."""

    name = "bytes"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Parse ``value``; click reports what does not fit."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(|k|m|ki|mi)b?", str(value).lower())
        if not match:
            self.fail(f"{value!r} is not a size such as 40000, 40kB, 39KiB or 1.5MB", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


@click.command()
@options.inputs_argument("PICTURE...")
@options.output_option
@options.force_option
@click.option(
    "-r",
    "--rate",
    type=click.FloatRange(0, 1),
    help=f"0 = smallest file, 1 = best picture, continuous.  [default: {DEFAULT_RATE}]",
)
@click.option(
    "--bpp", type=click.FloatRange(min=0, min_open=True), help="At most so many bits a pixel."
)
@click.option("--size", type=ByteSize(), help="At most this file size: 40000, 40kB, 39KiB.")
@click.option("--psnr", type=float, help="The smallest file with at least so many dB.")
@click.option(
    "--ssim", type=float, help="The smallest file with at least this MS-SSIM, such as 0.98."
)
@click.option(
    "--bin-size",
    type=float,
    help="Expert, qvrf only: the quantisation step, 1/64 .. 64, also beyond what any rate has.",
)
@click.option(
    "--width",
    type=click.IntRange(1, 65535),
    help="slim only: channels of the networks, in place of those that the rate has chosen; the rate then runs "
    "over what that width can do. See `vrcodec models` for the widths there are.",
)
@click.option(
    "--qmap",
    "map_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Quality map: a grey picture (white is 1) or .npy of levels in [0, 1], stretched over the picture. "
    "With a rate or a target, its mean level is moved there. Needs --model qmap.",
)
@click.option(
    "--roi",
    "regions",
    multiple=True,
    metavar="X,Y,W,H[:Q]",
    help=f"Region of interest in pixels, and its level [{REGION_LEVEL}]; may be given again.",
)
@click.option(
    "--roi-background",
    type=click.FloatRange(0, 1),
    help=f"The level outside of regions.  [default: {BACKGROUND_LEVEL}]",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Write nothing when no rate meets the target, instead of the nearest file there is.",
)
@click.option(
    "--effort",
    "level",
    type=click.IntRange(0, MAX_EFFORT),
    help="Search for the picture's best latents: 0 (none) to 9 (minutes), each level twice as long as the one "
    "before. The file is smaller or better for it, and decodes as fast as ever.  [default: 0]",
)
@click.option(
    "--time-budget",
    "seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Search for so long a picture, instead of a level of effort.",
)
@click.option(
    "--tune",
    type=click.Choice(get_args(Tune)),
    default="psnr",
    show_default=True,
    help="What the search aims at.",
)
@click.option(
    "--keep-partial",
    is_flag=True,
    help="On Ctrl-C, write the best that the search has found so far, instead of nothing.",
)
@click.option(
    "--model", default=DEFAULT_MODEL, show_default=True, help="Model family; see `vrcodec models`."
)
@click.option("--strip", is_flag=True, help="Encode without ICC profile, gamma, EXIF and XMP.")
@options.device_option
@options.threads_option
@options.precision_option
@options.limits_option
@options.json_option
@options.verbosity_options
def command(
    inputs: tuple[str, ...],
    target: str | None,
    force: bool,
    rate: float | None,
    bpp: float | None,
    size: float | None,
    psnr: float | None,
    ssim: float | None,
    bin_size: float | None,
    width: int | None,
    map_file: Path | None,
    regions: tuple[str, ...],
    roi_background: float | None,
    strict: bool,
    level: int | None,
    seconds: float | None,
    tune: Tune,
    keep_partial: bool,
    model: str,
    strip: bool,
    device: str,
    threads: int | None,
    precision: str,
    limits: Limits,
    as_json: bool,
) -> int:
    """Compress pictures to .vrc files.

    PICTURE is an 8-bit RGB or grey picture of any size (PNG, JPEG, PPM, BMP, TIFF, WebP, AVIF), or - for
    stdin.
    """
    places = destinations(inputs, target, ".vrc", force)
    wanted = _target(rate, bin_size, bpp=bpp, size=size, psnr=psnr, ssim=ssim)
    shape = _shape(map_file, regions, roi_background, limits)
    if sum(own is not None for own in (shape, bin_size, width)) > 1:
        raise UsageError(
            "--bin-size is for qvrf, quality maps are for qmap, and --width is for slim"
        )
    effort = _effort(level, seconds, tune, keep_partial)
    job = _Job(
        model,
        device,
        precision,
        threads,
        limits,
        strip,
        wanted,
        strict,
        rate,
        bin_size,
        width,
        shape,
        effort,
        Watch(output.part_done, keep_partial),
    )

    def work(name: str) -> dict[str, Any]:
        """Encode and write one input; returns what --json shows of it."""
        place = places[name]
        place.check()
        result = job.encode(name)
        place.write(result.pop("data"))
        result["output"] = str(place)
        output.say(
            "{output}: {width}x{height}, {bytes} bytes, {bpp:.4f} bpp, rate {rate:.4f}".format(
                **result
            )
        )
        for kind, form in (("psnr", "PSNR {:.3f} dB"), ("ssim", "MS-SSIM {:.5f}")):
            if kind in result:
                output.say(form.format(result[kind]))
        output.say("{model}, {seconds} s".format(**result), output.VERBOSE)
        if job.watch.interrupted:
            raise KeyboardInterrupt
        return result

    exit_code, results = output.for_each(inputs, work, parts=effort.searches)
    if as_json:
        output.print_json(results, err=any(p.path is None for p in places.values()))
    return exit_code


def _effort(level: int | None, seconds: float | None, tune: Tune, keep_partial: bool) -> Effort:
    if level is not None and seconds is not None:
        raise UsageError("give --effort or --time-budget, not both")
    effort = Effort(level or 0, seconds, tune)
    if not effort.searches and (keep_partial or tune != "psnr"):
        raise UsageError("--tune and --keep-partial go with --effort above 0, or --time-budget")
    return effort


def _target(rate: float | None, bin_size: float | None, **given: float | None) -> Target | None:
    chosen = [(kind, value) for kind, value in given.items() if value is not None]
    if len(chosen) + (rate is not None) + (bin_size is not None) > 1:
        raise UsageError(f"give one of --rate, --{', --'.join(given)}, --bin-size")
    if not chosen:
        return None
    from vrcodec.ratecontrol import Target

    kind, value = chosen[0]
    return Target(kind, value)  # type: ignore[arg-type]


def _shape(
    map_file: Path | None, regions: tuple[str, ...], background: float | None, limits: Limits
) -> Callable[[int, int], QualityMap] | None:
    """What makes a picture's quality map from its size, if one was asked for."""
    if background is not None and not regions:
        raise UsageError("--roi-background goes with --roi")
    if not map_file and not regions:
        return None
    if map_file and regions:
        raise UsageError("give a map or regions, not both")
    from vrcodec.qmaps import Region, on_grid, read_levels, regions_map

    if map_file:
        return partial(on_grid, read_levels(map_file, limits))
    parsed = [Region.parse(text, REGION_LEVEL) for text in regions]
    return partial(regions_map, parsed, BACKGROUND_LEVEL if background is None else background)


@dataclass
class _Job:
    """What all inputs of one command share; the model is loaded once, after the first picture."""

    model: str
    device: str
    precision: str
    threads: int | None
    limits: Limits
    strip: bool
    target: Target | None
    strict: bool
    rate: float | None
    bin_size: float | None
    width: int | None
    shape: Callable[[int, int], QualityMap] | None
    effort: Effort
    watch: Watch
    encoder: Encoder | None = None

    def encode(self, name: str) -> dict[str, Any]:
        """Encode one input: its bytes as ``data``, and what there is to say about it."""
        from vrcodec.picture import read_picture

        source = io.BytesIO(read_picture_file(name))
        picture = read_picture(source, display_name(name), strip=self.strip, limits=self.limits)
        start = time.perf_counter()
        with about(name):
            data, achieved = self._encode_picture(picture, name)
        info = inspect(data, self.limits)
        return {
            "data": data,
            "input": display_name(name),
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "model": self.model,
            "rate": info.rate,
            "bytes": info.bytes,
            "bpp": info.bpp,
            **achieved,
            **self._search_words(),
            "seconds": round(time.perf_counter() - start, 4),
        }

    def _search_words(self) -> dict[str, Any]:
        """What --json says of the search."""
        if not self.effort.searches:
            return {}
        own = self.effort
        spent = {"effort": own.level} if own.seconds is None else {"time_budget": own.seconds}
        return {**spent, "tune": own.tune}

    def _encode_picture(self, picture: Picture, name: str) -> tuple[bytes, dict[str, Any]]:
        """The file, and what became of the target."""
        from vrcodec.codec import Decoder, Encoder, Engine
        from vrcodec.setting import Setting

        engine = Engine(self.device, self.precision)
        if self.encoder is None:
            options.set_threads(self.threads)
            self.encoder = Encoder(self.model, engine)
        search: dict[str, Any] = {"effort": self.effort, "watch": self.watch}
        if self.bin_size is not None:
            setting = self.encoder.bin_setting(self.bin_size)
            data = self.encoder.encode(picture, setting, **search)
            return data, {"bin_size": self.bin_size}
        qmap = self.shape(picture.width, picture.height) if self.shape else None
        if self.target is None:
            setting = Setting.at(self.rate, qmap, self.width)
            return self.encoder.encode(picture, setting, **search), {}
        from vrcodec.ratecontrol import encode_to_target, nearest_words

        decoder = Decoder(engine, self.limits)
        target = self.target
        found = encode_to_target(
            self.encoder,
            decoder,
            picture,
            target,
            qmap=qmap,
            width=self.width,
            strict=self.strict,
            **search,
        )
        if not found.met:
            output.warn(f"{display_name(name)}: {nearest_words(found, target)}")
        achieved: dict[str, Any] = {"target_met": found.met}
        if target.kind in ("psnr", "ssim"):
            achieved[target.kind] = found.achieved
        return found.data, achieved
