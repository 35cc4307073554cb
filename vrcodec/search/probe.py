"""Files at one rate after the other, and what they come to."""

from __future__ import annotations

import math
from dataclasses import replace

from vrcodec.bitstream.payload import Stream
from vrcodec.bitstream.rate_setting import Setting
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import UsageError
from vrcodec.metrics import as_decibels, capped_psnr, ms_ssim
from vrcodec.models.base import Latents
from vrcodec.picture.picture import Picture
from vrcodec.search.rate_search import RatePoint
from vrcodec.search.size_forecast import SizeForecast, total_usage
from vrcodec.search.target import Goal, Kind


class Probe:
    """Encodes at rates, and remembers the files that may still be wanted."""

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        picture: Picture,
        kind: Kind,
        setting: Setting,
        latents: Latents | None = None,
    ) -> None:
        self.encoder, self.decoder, self.picture, self.kind = encoder, decoder, picture, kind
        self.setting = setting
        self.latents = latents or encoder.analyse(picture)
        self._files: dict[int, bytes] = {}
        self._sizes = SizeForecast(encoder.model, setting.qmap)
        self._quality: dict[int, float] = {}

    def data(self, code: int) -> bytes:
        """The file at rate ``code``."""
        if code not in self._files:
            setting = replace(self.setting, rate_code=code)
            streams = self._streams(setting)
            self._files[code] = self.encoder.pack(self.picture, setting, streams)
            self._sizes.learn(code, 8 * len(self._files[code]), total_usage(streams))
        return self._files[code]

    def _streams(self, setting: Setting) -> list[Stream]:
        return self.encoder.code(self.picture, self.latents, setting)

    def start(self, goal: Goal) -> int | None:
        """The code to begin with, from the latents alone, or from photographs and the map."""
        if self.kind not in ("size", "bpp"):
            return None
        own = math.exp(goal.aim) - self.encoder.side_bytes(self.picture)
        code = self._sizes.first_code(self.latents, 8 * max(own, 1.0))
        if code is not None:
            return code
        return self._sizes.code_like(goal.usual_code)

    def forecast(self, point: RatePoint, aim: float) -> float | None:
        """The code at which the size should be ``aim``, going by the symbols at a known one."""
        if self.kind not in ("size", "bpp"):
            return None
        return self._sizes.code_with(point[0], 8 * math.exp(aim))

    def value(self, code: int) -> float:
        """What the search sees: the logarithm of the bytes, or dB."""
        if self.kind in ("size", "bpp"):
            return math.log(len(self.data(code)))
        return as_decibels(self._measured(code)) if self.kind == "ssim" else self._measured(code)

    def points(self) -> list[RatePoint]:
        """What was tried."""
        return [(code, self.value(code)) for code in self._files]

    def achieved(self, code: int) -> float:
        """The same in the unit of the target."""
        size = len(self.data(code))
        if self.kind == "size":
            return size
        if self.kind == "bpp":
            return 8 * size / (self.picture.width * self.picture.height)
        return self._measured(code)

    def _measured(self, code: int) -> float:
        if code not in self._quality:
            decoded = self.decoder.decode(self.data(code))
            self._quality[code] = self._compared(decoded)
        return self._quality[code]

    def _compared(self, decoded: Picture) -> float:
        seen = self.picture.displayed(), decoded.displayed()
        if self.kind == "psnr":
            return capped_psnr(*seen)
        similarity = ms_ssim(*seen)
        if similarity is None:
            raise UsageError("MS-SSIM is not defined for a picture with a side below 161 pixels")
        return similarity
