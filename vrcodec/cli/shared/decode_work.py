"""Decoding for the worker processes of many files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vrcodec.batch.items import UnbatchedWork
from vrcodec.cli.shared import output
from vrcodec.cli.shared.decoding import DecodeJob, make_lazy_decoder, parse_region
from vrcodec.cli.shared.many_files import hash_settings
from vrcodec.engine import Engine
from vrcodec.limits import Limits
from vrcodec.picture.output_formats import WriteOptions
from vrcodec.regions.region import Region

if TYPE_CHECKING:
    from vrcodec.cli.shared.decoding import GetDecoder


@dataclass
class DecodeWork(UnbatchedWork):
    """Decoding for worker processes (`vrcodec.batch.items.Work`)."""

    engine: Engine
    threads: int
    limits: Limits
    writing: WriteOptions
    region: Region
    levels: int | None
    partial: bool
    decoder: GetDecoder | None = None
    # Each file names its own.
    weights: str = ""

    @classmethod
    def from_options(cls, given: Mapping[str, Any]) -> DecodeWork:
        """From the options of `vrcodec decode`."""
        return cls(
            Engine(
                given["device"],
                given["precision"],
                given["tiling"],
                given.get("library", "auto"),
                fetch=given["fetch"],
            ),
            given["threads"] or 1,
            given["limits"],
            WriteOptions(given["output_format"] or "png", given["quality"], given["flatten"]),
            parse_region(given["crop"], given["scale"]),
            given["levels"],
            given["partial"],
        )

    @property
    def settings(self) -> str:
        """A hash of what affects the picture."""
        # As earlier versions wrote it: a log of theirs can be resumed.
        region = f"View(crop={self.region.crop!r}, scale={self.region.scale})"
        writing = self.writing
        chosen = self.engine.precision, writing.format, region, self.levels, self.partial
        if writing.quality is None and not writing.flatten:
            return hash_settings({"decode": chosen})
        return hash_settings({"decode": (*chosen, writing.quality, writing.flatten)})

    def code(self, name: str, data: bytes) -> dict[str, Any]:
        """Decode one .vrc file."""
        if self.decoder is None:
            self.decoder = make_lazy_decoder(self.engine, self.threads, self.limits)
        with output.collect_messages() as messages:
            job = DecodeJob(self.decoder, name, data, self.writing, self.region, self.partial)
            return {**job.decode(self.levels), "messages": messages}
