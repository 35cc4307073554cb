"""The encode job: reads, analyses and encodes one input after the other with the same options."""

from __future__ import annotations

import contextlib
import io
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vrcodec.bitstream.inspection import inspect
from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.paths import display_name, prefix_errors, read_picture_file
from vrcodec.engine import Engine
from vrcodec.errors import VrcError
from vrcodec.picture.intake.read_options import ReadOptions
from vrcodec.refinement.effort import Effort, SearchMonitor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vrcodec.bitstream.quality_map import QualityMap
    from vrcodec.codec import Decoder, Encoder
    from vrcodec.models.base import Latents
    from vrcodec.picture.picture import Picture
    from vrcodec.search.lossless_choice import LosslessMode
    from vrcodec.search.target import Target


@dataclass(frozen=True)
class _AnalysedPicture:
    """A picture that was analysed in a batch. ``messages``: of reading it."""

    picture: Picture
    latents: Latents
    messages: Sequence[output.Message]


@dataclass
class EncodeJob:
    """The options of all inputs of one command; the model is loaded once, after the first picture is read.

    ``tune``: what its weights should be tuned for. ``make_map``: of a quality map, from the width and height of
    the picture. ``encoder`` and ``decoder`` are loaded on demand; the decoder, for `verify`, loads the weights
    anew.
    """

    model: str
    tune: str
    engine: Engine
    threads: int | None
    read_options: ReadOptions
    target: Target | None
    strict: bool
    rate: float | None
    bin_size: float | None
    width: int | None
    max_width: int | None
    make_map: Callable[[int, int], QualityMap] | None
    effort: Effort
    monitor: SearchMonitor
    lossless: LosslessMode
    verify: bool
    # Whether there is one picture only.
    single: bool = False
    encoder: Encoder | None = None
    decoder: Decoder | None = None
    # By name, until `encode_content` takes them.
    analysed: dict[str, _AnalysedPicture] = field(default_factory=dict)

    def encode(self, name: str) -> dict[str, Any]:
        """Encode one input: the .vrc file as ``data``, and the fields for --json."""
        return self._encode(name, self._read(name, read_picture_file(name)))

    def encode_content(self, name: str, content: bytes) -> dict[str, Any]:
        """The same for the content of an input."""
        if ready := self.analysed.pop(name, None):
            output.repeat(ready.messages)
            return self._encode(name, ready.picture, ready.latents)
        return self._encode(name, self._read(name, content))

    def analyse_batch(self, pictures: Sequence[tuple[str, bytes]]) -> None:
        """Analyse these inputs in one batch, where `encode_content` can use that. Raises DeviceError."""
        self.analysed.clear()
        if self.target is not None:
            return
        read: list[tuple[str, Picture, list[output.Message]]] = []
        for name, content in pictures:
            # An input that cannot be read fails when it is encoded.
            with contextlib.suppress(VrcError), output.collect_messages() as messages:
                picture = self._read(name, content)
                if picture.mode != "1":
                    read.append((name, picture, messages))
        latents = self._load_encoder().analyse_in_batches([picture for _, picture, _ in read])
        for (name, picture, messages), analysed in zip(read, latents or (), strict=False):
            self.analysed[name] = _AnalysedPicture(picture, analysed, messages)

    def _load_encoder(self, picture: Picture | None = None) -> Encoder:
        from vrcodec.codec import Encoder

        if self.encoder is None:
            options.set_threads(self.threads)
            # A search, and some targets, load PyTorch in any case.
            single = self.single and not self.effort.searches
            pixels = picture.width * picture.height if picture else None
            engine = replace(self.engine, single=single, say=output.explain)
            self.encoder = Encoder(self.model, engine, self.tune, pixels)
        return self.encoder

    def _encode(
        self, name: str, picture: Picture, latents: Latents | None = None
    ) -> dict[str, Any]:
        start = time.perf_counter()
        with prefix_errors(name):
            data, achieved = self._encode_picture(picture, name, latents)
            if self.verify:
                self._verify(data, picture)
        info = inspect(data, self.read_options.limits)
        return {
            "data": data,
            "input": display_name(name),
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "model": info.model,
            "lossless": info.lossless,
            "lossless_cell_bytes": info.cell_bytes,
            "rate": info.rate,
            "bin_size": info.bin_size,
            "network_width": info.network_width,
            "bytes": info.bytes,
            "bpp": info.bpp,
            **achieved,
            **self._search_fields(),
            "verified": self.verify,
            "warnings": [note.text for note in picture.notes if note.lost],
            "seconds": round(time.perf_counter() - start, 4),
        }

    def _read(self, name: str, content: bytes) -> Picture:
        from vrcodec.picture.reading import read_picture

        shown = display_name(name)
        picture = read_picture(io.BytesIO(content), shown, options=self.read_options)
        for note in picture.notes:
            (output.warn if note.lost else output.explain)(f"{shown}: {note.text}")
        return picture

    def _verify(self, data: bytes, picture: Picture) -> None:
        from vrcodec.codec import Decoder
        from vrcodec.search.verification import verify_encoding

        self.decoder = self.decoder or Decoder(self.engine, self.read_options.limits)
        verify_encoding(data, picture, self.decoder)

    def _search_fields(self) -> dict[str, Any]:
        """The fields of --json about the search."""
        effort = self.effort
        if not effort.searches:
            return {}
        if effort.seconds is None:
            return {"effort": effort.level, "tune": effort.tune}
        return {"time_budget": effort.seconds, "tune": effort.tune}

    def _encode_picture(
        self, picture: Picture, name: str, latents: Latents | None
    ) -> tuple[bytes, dict[str, Any]]:
        """The .vrc file, and the fields of --json about the target."""
        from vrcodec.bitstream.rate_setting import RateSetting
        from vrcodec.search.lossless_choice import encode_smallest

        encoder = self._load_encoder(picture)
        search: dict[str, Any] = {
            "effort": self.effort,
            "monitor": self.monitor,
            "lossless": self.lossless,
        }
        if self.bin_size is not None:
            setting = encoder.bin_setting(self.bin_size)
            return encode_smallest(encoder, picture, setting, latents, **search), {}
        qmap = self.make_map(picture.width, picture.height) if self.make_map else None
        if self.target is None:
            setting = RateSetting.from_rate(self.rate, qmap, self.width, self.max_width)
            return encode_smallest(encoder, picture, setting, latents, **search), {}
        from vrcodec.codec import Decoder
        from vrcodec.search.rate_control import encode_to_target, unmet_target_message

        decoder = Decoder(self.engine, self.read_options.limits)
        target = self.target
        result = encode_to_target(
            encoder,
            decoder,
            picture,
            target,
            qmap=qmap,
            width=self.width,
            max_width=self.max_width,
            strict=self.strict,
            **search,
        )
        if not result.met:
            output.warn(f"{display_name(name)}: {unmet_target_message(result, target)}")
        achieved: dict[str, Any] = {"target_met": result.met}
        if not target.limits_size:
            achieved[target.kind] = result.achieved
        return result.data, achieved
