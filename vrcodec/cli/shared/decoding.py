"""Decoding for commands: a decoder loaded on demand, the job of one file, names for progressive output."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.paths import (
    Destination,
    display_name,
    prefix_errors,
    refuse_same_file,
)
from vrcodec.engine import Engine
from vrcodec.errors import UsageError
from vrcodec.limits import Limits
from vrcodec.picture.output_formats import WriteOptions
from vrcodec.regions.region import Rectangle, Region

if TYPE_CHECKING:
    from vrcodec.bitstream.source import Source
    from vrcodec.codec import Decoder

    GetDecoder = Callable[[], Decoder]


def make_lazy_decoder(engine: Engine, threads: int | None, limits: Limits) -> GetDecoder:
    """A function that returns a decoder, the same one every time; packages are loaded at its first call."""
    decoders: list[Decoder] = []

    def get() -> Decoder:
        if not decoders:
            from vrcodec.codec import Decoder

            options.set_threads(threads)
            decoders.append(Decoder(replace(engine, say=output.explain), limits))
        return decoders[0]

    return get


def parse_region(crop: Rectangle | None, scale: str | None) -> Region:
    """The region of --crop and --scale, such as 1/4."""
    return Region(crop, int(scale.removeprefix("1/")) if scale else 1)


class DecodeJob:
    """The decoding of one file, which is read and parsed. Raises VrcError.

    ``name``: of the file, for messages. ``partial``: take the complete levels of a file that ends early.
    """

    def __init__(
        self,
        get_decoder: GetDecoder,
        name: str,
        source: Source,
        writing: WriteOptions,
        region: Region,
        partial: bool,
    ) -> None:
        self._name = name
        self._writing = writing
        self._region = region
        self._decoder = get_decoder()
        with prefix_errors(name):
            self._coded = self._decoder.read(source, partial=partial)
            self._check_writable()
        if not self._coded.complete:
            output.warn(
                f"{display_name(name)}: ends early; {self._coded.available_levels} of "
                f"{self._coded.level_count} levels are complete"
            )

    def _check_writable(self) -> None:
        """Refuse before the work what `serialise_picture` would refuse after it. Raises VrcError."""
        from vrcodec.picture.writing import check_content, check_size

        header, output_format = self._coded.header, self._writing.format
        check_size(*self._region.output_size(header.width, header.height), output_format)
        if not self._writing.flatten:
            check_content(bool(self._coded.alpha_payloads), self._coded.metadata, output_format)

    def write_levels(self, pattern: str, force: bool) -> list[dict[str, Any]]:
        """Write the picture after each level to a file of its own; returns the results for --json.

        The first picture is that of the first level that shows something.
        """
        with prefix_errors(self._name):
            first = self._decoder.first_visible_level(self._coded)
        levels = range(first, self._coded.available_levels + 1)
        destinations = _level_destinations(self._name, pattern, levels, force)
        return [self.write(path, level) for level, path in zip(levels, destinations, strict=True)]

    def write(self, destination: Destination, levels: int | None) -> dict[str, Any]:
        """Decode the first ``levels`` levels, or all, and write the picture; returns the result for --json."""
        result = self.decode(levels)
        destination.write(result.pop("data"))
        result["output"] = str(destination)
        alpha = " with alpha" if result["alpha"] else ""
        output.say("{output}: {width}x{height} {mode}".format(**result) + alpha)
        output.say("decoded in {seconds} s".format(**result), output.VERBOSE)
        return result

    def decode(self, levels: int | None) -> dict[str, Any]:
        """The encoded picture file as ``data``, and the fields for --json."""
        start = time.perf_counter()
        with prefix_errors(self._name):
            picture = self._decoder.reconstruct(self._coded, levels, self._region)
        seconds = round(time.perf_counter() - start, 4)
        from vrcodec.picture.writing import flatten_picture, serialise_picture, unsupported_metadata

        output_format = self._writing.format
        with prefix_errors(self._name):
            if self._writing.flatten:
                picture = flatten_picture(picture, output_format)
            content = serialise_picture(picture, self._writing)
        if lost := unsupported_metadata(picture, output_format):
            message = f"a {output_format} file has no place for {' and '.join(lost)}"
            output.warn(f"{display_name(self._name)}: {message}")
        return {
            "data": content,
            "input": display_name(self._name),
            "format": output_format,
            "bytes": len(content),
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "alpha": picture.alpha is not None,
            "levels": levels or self._coded.available_levels,
            "levels_in_file": self._coded.level_count,
            "seconds": seconds,
        }


# As in printf: %d, or %02d with a width of two digits at most. %% is a percent sign.
_NUMBER = re.compile(r"%(0?[1-9]?)d")


def check_pattern(pattern: str) -> None:
    """Raise UsageError unless ``pattern`` has one place for a number."""
    parts = _NUMBER.split(pattern.replace("%%", ""))
    # Splitting by a pattern with a group: text, group, text.
    if len(parts) != 3 or any("%" in text for text in parts[::2]):
        raise UsageError(f"{pattern}: needs one %d or %02d, for the number of the level")


def _level_destinations(
    name: str, pattern: str, levels: Iterable[int], force: bool
) -> list[Destination]:
    """The files of ``levels`` of an input, checked before any is written. Raises UsageError or OutputError."""
    paths = [Path(pattern % level) for level in levels]
    for path in paths:
        refuse_same_file(path, name)
        Destination(path, force).check()
    return [Destination(path, force) for path in paths]
