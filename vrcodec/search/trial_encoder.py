"""Trial encodes at single codes of a `RateAxis`, and their size or quality."""

from __future__ import annotations

import math

from vrcodec.bitstream.latent_stream import Stream
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import LimitError, UsageError
from vrcodec.metrics import (
    MS_SSIM_MIN_SIDE,
    SSIMULACRA2_MIN_SIDE,
    capped_psnr,
    ms_ssim,
    ssimulacra2,
)
from vrcodec.models.base import Latents
from vrcodec.picture.picture import Picture
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.search.rate_axis import RateAxis, is_rate
from vrcodec.search.rate_search import RatePoint
from vrcodec.search.size_forecast import SizeForecast, total_table_usage
from vrcodec.search.target import TargetBand, TargetKind, quality_value


class TrialEncoder:
    """Encodes one picture at the codes that a search tries; keeps the files, their values and qualities."""

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        picture: Picture,
        kind: TargetKind,
        axis: RateAxis,
        latents: Latents | None = None,
    ) -> None:
        self.encoder, self.decoder, self.picture, self.kind = encoder, decoder, picture, kind
        self.axis = axis
        self.latents = latents or encoder.analyse(picture)
        self._files: dict[int, bytes] = {}
        self._size_forecast = SizeForecast(encoder.model, axis.base.qmap)
        self._qualities: dict[int, float] = {}

    def file(self, code: int) -> bytes:
        """The file at ``code``."""
        if code not in self._files:
            setting = self.axis.setting(code)
            streams = self._compress(setting)
            self._files[code] = self.encoder.assemble(self.picture, setting, streams)
            if is_rate(code):
                self._size_forecast.add_file(
                    code, 8 * len(self._files[code]), total_table_usage(streams)
                )
        return self._files[code]

    def _compress(self, setting: RateSetting) -> list[Stream]:
        return self.encoder.compress(self.picture, self.latents, setting)

    def first_code(self, band: TargetBand) -> int | None:
        """The rate code to begin with, from the latents alone, or from photographs and the quality map."""
        if self.kind not in ("size", "bpp"):
            return None
        model_bytes = math.exp(band.centre) - self.encoder.auxiliary_bytes(self.picture)
        code = self._size_forecast.first_code(self.latents, 8 * max(model_bytes, 1.0))
        if code is not None:
            return code
        return self._size_forecast.code_for_uniform(band.expected_code)

    def forecast(self, point: RatePoint, value: float) -> float | None:
        """The rate code at which a size should be ``value``, from the symbols at a known point.

        None for qualities, and where the size is not one of a rate.
        """
        if self.kind not in ("size", "bpp"):
            return None
        code = self._size_forecast.code_for_bits(point[0], 8 * math.exp(value))
        is_between_rates = code is not None and 0 < code < RATE_CODE_MAX
        return code if is_between_rates else None

    def value(self, code: int) -> float:
        """What the search compares with its band: the logarithm of the bytes, or dB."""
        if self.kind in ("size", "bpp"):
            return math.log(len(self.file(code)))
        return quality_value(self.kind, self._quality_at(code))

    def points(self) -> list[RatePoint]:
        """The codes that were tried, and their values."""
        return [(code, self.value(code)) for code in self._files]

    def achieved(self, code: int) -> float:
        """Size or quality in the unit of the target."""
        size = len(self.file(code))
        if self.kind == "size":
            return size
        if self.kind == "bpp":
            return 8 * size / (self.picture.width * self.picture.height)
        return self._quality_at(code)

    def _quality_at(self, code: int) -> float:
        if code not in self._qualities:
            decoded = self.decoder.decode(self.file(code))
            try:
                self._qualities[code] = self._compare(decoded)
            except MemoryError as error:
                raise LimitError(
                    f"not enough memory to compute {self.kind} of a picture of this size"
                ) from error
        return self._qualities[code]

    def _compare(self, decoded: Picture) -> float:
        pictures = self.picture.to_rgb(), decoded.to_rgb()
        if self.kind == "psnr":
            return capped_psnr(*pictures)
        quality, name, side = (
            (ms_ssim(*pictures), "MS-SSIM", MS_SSIM_MIN_SIDE)
            if self.kind == "ssim"
            else (ssimulacra2(*pictures), "SSIMULACRA 2", SSIMULACRA2_MIN_SIDE)
        )
        if quality is None:
            raise UsageError(f"{name} is not defined for a picture with a side below {side} pixels")
        return quality
