"""`vrcodec decode`"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vrcodec.batch.inputs import FILES
from vrcodec.batch.items import OneByOne
from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.decoding import lazy_decoder
from vrcodec.cli.shared.many import ManyOptions, Request, many_options, run_many, settings_key
from vrcodec.cli.shared.paths import (
    STANDARD,
    Destination,
    about,
    destinations,
    display_name,
    is_special,
    vrc_source,
)
from vrcodec.cli.shared.progression import check_pattern, level_places
from vrcodec.errors import UsageError
from vrcodec.limits import Limits
from vrcodec.regions.region import SCALES, Rectangle, View
from vrcodec.regions.tiling import Tiling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vrcodec.bitstream.source import Source
    from vrcodec.cli.shared.decoding import GetDecoder
    from vrcodec.picture.picture import OutputFormat

FORMATS = ("png", "ppm", "npy")


def _rectangle(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> Rectangle | None:
    return None if value is None else Rectangle.parse(value)


@click.command()
@options.inputs_argument("FILE...", required=False)
@options.output_option
@options.force_option
@click.option(
    "--format",
    "output_format",
    type=click.Choice(FORMATS),
    help="Format of the picture. Default: from the output's name, else png.",
)
@click.option(
    "--crop",
    metavar="X,Y,W,H",
    callback=_rectangle,
    help="Decode this rectangle only, in pixels of the whole picture. Of a file, only the blocks that it needs "
    "are read.",
)
@click.option(
    "--scale",
    type=click.Choice([f"1/{scale}" for scale in SCALES if scale > 1]),
    help="A preview: the mean of so many pixels in each direction. Takes less memory, but hardly less time.",
)
@click.option(
    "--levels",
    type=click.IntRange(min=1),
    help="Decode the first so many levels only, of a file that has levels (model qarv).",
)
@click.option(
    "--progressive",
    "pattern",
    metavar="PATTERN",
    help="Write the picture after each level of a single FILE; PATTERN is a name with %d or %02d in it.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Decode the complete levels of a file that ends early, with a warning.",
)
@many_options
@options.device_option
@options.threads_option
@options.precision_option
@options.memory_option
@options.limits_option
@options.json_option
@options.verbosity_options
def command(
    inputs: tuple[str, ...],
    target: str | None,
    force: bool,
    output_format: OutputFormat | None,
    crop: Rectangle | None,
    scale: str | None,
    levels: int | None,
    pattern: str | None,
    partial: bool,
    device: str,
    threads: int | None,
    precision: str,
    tiling: Tiling,
    limits: Limits,
    as_json: bool,
    many: ManyOptions,
) -> int:
    """Decompress .vrc files to pictures.

    FILE is a .vrc file, or - for stdin. Of a folder, all .vrc files below it are taken.
    """
    view = _view(crop, scale)
    if many.wanted(inputs, target) and pattern is None:
        chosen = output_format or "png"
        coder = DecodeWork(
            device, precision, tiling, threads or 1, limits, chosen, view, levels, partial
        )
        return run_many(
            Request(inputs, target, force, as_json, many, coder, f".{chosen}", FILES, "decoded")
        )
    chosen = output_format or _format_of(pattern or target)
    decoder = lazy_decoder(device, precision, tiling, threads, limits)
    if pattern is not None:
        _check_progressive(inputs, target, levels, pattern)
        places: dict[str, Destination] = {}
    else:
        places = destinations(inputs, target, f".{chosen}", force)

    def work(name: str) -> list[dict[str, Any]]:
        if pattern is None:
            places[name].check()
        with vrc_source(name, whole=crop is None) as source:
            job = _Job(decoder, name, source, chosen, view, partial)
            if pattern is not None:
                return job.progressive(pattern, force)
            return [job.decode(places[name], levels)]

    code, results = output.for_each(inputs, work)
    if as_json:
        flat = [result for own in results for result in own]
        output.print_json(flat, err=any(p.path is None for p in places.values()))
    return code


def _view(crop: Rectangle | None, scale: str | None) -> View:
    return View(crop, int(scale.removeprefix("1/")) if scale else 1)


def _check_progressive(
    inputs: tuple[str, ...], target: str | None, levels: int | None, pattern: str
) -> None:
    if len(inputs) > 1:
        raise UsageError("--progressive takes a single file")
    if target is not None or levels is not None:
        raise UsageError("--progressive stands in place of -o and --levels")
    check_pattern(pattern)


def _format_of(target: str | None) -> OutputFormat:
    if target is None or target == STANDARD or Path(target).is_dir():
        return "png"
    from vrcodec.picture.picture import SUFFIXES

    suffix = Path(target).suffix.lower()
    if suffix and suffix not in SUFFIXES and not is_special(Path(target)):
        known = ", ".join(SUFFIXES)
        raise UsageError(f"{target}: cannot write {suffix}; use {known}, or name a --format")
    return SUFFIXES.get(suffix, "png")


@dataclass
class DecodeWork(OneByOne):
    """Decoding for worker processes (`vrcodec.batch.items.Work`)."""

    device: str
    precision: str
    tiling: Tiling
    threads: int
    limits: Limits
    output_format: OutputFormat
    view: View
    levels: int | None
    partial: bool
    decoder: GetDecoder | None = None
    # A file names its own.
    weights: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> DecodeWork:
        """From the options of the command."""
        return cls(
            given["device"],
            given["precision"],
            given["tiling"],
            given["threads"] or 1,
            given["limits"],
            given["output_format"] or "png",
            _view(given["crop"], given["scale"]),
            given["levels"],
            given["partial"],
        )

    @property
    def settings(self) -> str:
        """A hash of what has a say in the picture."""
        chosen = self.precision, self.output_format, str(self.view), self.levels, self.partial
        return settings_key({"decode": chosen})

    def code(self, name: str, data: bytes) -> dict[str, Any]:
        """Decode one file that was read."""
        if self.decoder is None:
            self.decoder = lazy_decoder(
                self.device, self.precision, self.tiling, self.threads, self.limits
            )
        with output.collected() as messages:
            job = _Job(self.decoder, name, data, self.output_format, self.view, self.partial)
            return {**job.decoded(self.levels), "messages": messages}


class _Job:
    """One input, read and parsed."""

    def __init__(
        self,
        decoder: GetDecoder,
        name: str,
        source: Source,
        output_format: OutputFormat,
        view: View,
        partial: bool,
    ) -> None:
        self._name = name
        self._format = output_format
        self._view = view
        self._decoder = decoder()
        with about(name):
            self._coded = self._decoder.read(source, partial=partial)
        if not self._coded.complete:
            output.warn(
                f"{display_name(name)}: ends early; {self._coded.held} of {self._coded.levels} "
                "levels are complete"
            )

    def progressive(self, pattern: str, force: bool) -> list[dict[str, Any]]:
        """The picture after each level, in a file of its own."""
        places = level_places(pattern, self._coded.held, force)
        return [self.decode(place, level) for level, place in enumerate(places, 1)]

    def decode(self, place: Destination, levels: int | None) -> dict[str, Any]:
        """Write the picture of the first ``levels`` levels, or of all that there are."""
        result = self.decoded(levels)
        place.write(result.pop("data"))
        result["output"] = str(place)
        alpha = " with alpha" if result["alpha"] else ""
        output.say("{output}: {width}x{height} {mode}".format(**result) + alpha)
        output.say("decoded in {seconds} s".format(**result), output.VERBOSE)
        return result

    def decoded(self, levels: int | None) -> dict[str, Any]:
        """The same as ``data``, and what there is to say about it."""
        start = time.perf_counter()
        with about(self._name):
            picture = self._decoder.picture(self._coded, levels, self._view)
        seconds = round(time.perf_counter() - start, 4)
        from vrcodec.picture.picture import lost_in, serialise_picture

        with about(self._name):
            content = serialise_picture(picture, self._format)
        if lost := lost_in(picture, self._format):
            words = f"a {self._format} file has no place for {' and '.join(lost)}"
            output.warn(f"{display_name(self._name)}: {words}")
        return {
            "data": content,
            "input": display_name(self._name),
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "alpha": picture.alpha is not None,
            "levels": levels or self._coded.held,
            "levels_in_file": self._coded.levels,
            "seconds": seconds,
        }
