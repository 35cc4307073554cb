"""`vrcodec encode`"""

from __future__ import annotations

import io
import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from vrcodec.cli import options, output
from vrcodec.cli.paths import about, destinations, display_name, read_picture_file
from vrcodec.errors import UsageError
from vrcodec.limits import Limits
from vrcodec.rate import code_from_rate, rate_from_code

if TYPE_CHECKING:
    from vrcodec.codec import Encoder
    from vrcodec.picture import Picture
    from vrcodec.ratecontrol import Target

DEFAULT_RATE = 0.5

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
    "--model", default="gained", show_default=True, help="Model family; see `vrcodec models`."
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
    wanted = _target(rate, bpp, size, psnr)
    code = code_from_rate(DEFAULT_RATE if rate is None else rate)
    job = _Job(model, device, precision, threads, limits, strip, wanted, code)

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
        output.say("{model}, {seconds} s".format(**result), output.VERBOSE)
        return result

    exit_code, results = output.for_each(inputs, work)
    if as_json:
        output.print_json(results, err=any(p.path is None for p in places.values()))
    return exit_code


def _target(
    rate: float | None, bpp: float | None, size: float | None, psnr: float | None
) -> Target | None:
    given = {"bpp": bpp, "size": size, "psnr": psnr}
    chosen = [(kind, value) for kind, value in given.items() if value is not None]
    if any(math.isnan(value) for _, value in chosen):
        raise UsageError("a target must be a number")
    if len(chosen) + (rate is not None) > 1:
        raise UsageError("give one of --rate, --bpp, --size and --psnr")
    if not chosen:
        return None
    from vrcodec.ratecontrol import Target

    kind, value = chosen[0]
    return Target(kind, value)  # type: ignore[arg-type]


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
    rate_code: int
    encoder: Encoder | None = None

    def encode(self, name: str) -> dict[str, Any]:
        """Encode one input: its bytes as ``data``, and what there is to say about it."""
        from vrcodec.picture import read_picture

        source = io.BytesIO(read_picture_file(name))
        picture = read_picture(source, display_name(name), strip=self.strip, limits=self.limits)
        start = time.perf_counter()
        with about(name):
            data, code = self._encode_picture(picture)
        return {
            "data": data,
            "input": display_name(name),
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "model": self.model,
            "rate": rate_from_code(code),
            "bytes": len(data),
            "bpp": 8 * len(data) / (picture.width * picture.height),
            "seconds": round(time.perf_counter() - start, 4),
        }

    def _encode_picture(self, picture: Picture) -> tuple[bytes, int]:
        """The file and its rate code."""
        from vrcodec.codec import Decoder, Encoder, Engine

        engine = Engine(self.device, self.precision)
        if self.encoder is None:
            options.set_threads(self.threads)
            self.encoder = Encoder(self.model, engine)
        if self.target is None:
            return self.encoder.encode(picture, self.rate_code), self.rate_code
        from vrcodec.ratecontrol import encode_to_target

        return encode_to_target(self.encoder, Decoder(engine, self.limits), picture, self.target)
