"""Encoding for the worker processes of many files."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vrcodec.catalog import find_by_family
from vrcodec.cli.shared import output
from vrcodec.cli.shared.encode_options import make_encode_job
from vrcodec.cli.shared.encoding import EncodeJob
from vrcodec.cli.shared.many_files import hash_settings
from vrcodec.errors import UsageError, VrcError, WeightsError

_GPU_BATCH_SIZE = 16


def check_one_at_a_time(job: EncodeJob) -> None:
    """Raise UsageError where a job for several pictures should keep what an interrupted search has found."""
    if job.monitor.keep_partial:
        raise UsageError("--keep-partial is for one picture at a time")


@dataclass
class EncodeWork:
    """Encoding for worker processes (`vrcodec.batch.items.Work`).

    ``chosen_batch_size``: None until the device has decided.
    """

    job: EncodeJob
    weights: str
    settings: str
    chosen_batch_size: int | None = None

    @classmethod
    def from_options(cls, given: Mapping[str, Any]) -> EncodeWork:
        """From the arguments of `make_encode_job`. Raises what that raises, and WeightsError."""
        # One thread by default: with another number, a file may differ in a symbol.
        job = make_encode_job(**{**given, "threads": given["threads"] or 1})
        check_one_at_a_time(job)
        return cls(job, find_by_family(job.model, job.tune).id.hex(), hash_settings(given))

    @property
    def batch_size(self) -> int:
        """A GPU takes several pictures of one size at once."""
        if self.chosen_batch_size is None:
            from vrcodec.models.backends import on_gpu

            self.chosen_batch_size = 1
            # An error of the device is reported with the first picture.
            with contextlib.suppress(VrcError):
                self.chosen_batch_size = _GPU_BATCH_SIZE if on_gpu(self.job.engine) else 1
        return self.chosen_batch_size

    def prepare_batch(self, pictures: Sequence[tuple[str, bytes]]) -> None:
        """Analyse these inputs in one batch."""
        self._check_weights()
        self.job.analyse_batch(pictures)

    def code(self, name: str, data: bytes) -> dict[str, Any]:
        """Encode one picture file."""
        self._check_weights()
        with output.collect_messages() as messages:
            return {**self.job.encode_content(name, data), "messages": messages}

    def _check_weights(self) -> None:
        if self.job.encoder is not None:
            return
        if find_by_family(self.job.model, self.job.tune).id.hex() != self.weights:
            raise WeightsError(
                f"this machine has other weights for {self.job.model} than {self.weights}"
            )
