"""Devices and precision: what a processor multiplies in hardware decides, in coding and in training alike."""

from __future__ import annotations

import pytest
import torch

from vrcodec.errors import DeviceError, UsageError
from vrcodec.models.device import float_dtype, mixed_precision, resolve_device

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({}, torch.float32),
        ({"avx2": True, "avx512_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
    ],
)
def test_bfloat16_is_used_where_the_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert float_dtype(CPU, "auto") == expected
    with mixed_precision(CPU):
        assert (torch.ones(2, 3) @ torch.ones(3, 2)).dtype == expected
    assert float_dtype(CPU, "float32") == torch.float32
    assert float_dtype(CPU, "bfloat16") == torch.bfloat16


def test_devices_that_are_not_there() -> None:
    with pytest.raises(UsageError):
        resolve_device("tpu")
    with pytest.raises(DeviceError):
        resolve_device("cuda:99")
