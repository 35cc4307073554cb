"""Stages are timed when someone listens, and the layout that makes them fast is kept."""

from __future__ import annotations

import time

import pytest
import torch
from torch.nn import functional as F

from vrcodec.models.learning.trainable import place_trainable
from vrcodec.models.networks.layers import PixelUnshuffle, ResidualBlock
from vrcodec.timing import record_stages, stage


def test_times_add_up_by_name() -> None:
    with record_stages() as times:
        for _ in range(2):
            with stage("wait"):
                time.sleep(0.01)
        with stage("other"):
            pass
    assert list(times.seconds) == ["wait", "other"]
    assert times.seconds["wait"] >= 0.02


def test_nobody_listens() -> None:
    with stage("wait"):
        pass
    with record_stages() as times:
        pass
    assert times.seconds == {}


def test_the_device_is_waited_for() -> None:
    waits: list[None] = []
    with record_stages(lambda: waits.append(None)), stage("work"):
        pass
    assert len(waits) == 2


@pytest.mark.parametrize("factor", [2, 8])
def test_pixel_unshuffle_is_that_of_torch(factor: int) -> None:
    x = torch.randn(2, 3, 3 * factor, 5 * factor)
    for layout in (torch.contiguous_format, torch.channels_last):
        out = PixelUnshuffle(factor)(x.contiguous(memory_format=layout))
        assert torch.equal(out, F.pixel_unshuffle(x, factor))
        assert out.is_contiguous(memory_format=torch.channels_last)


def test_a_block_reuses_memory_but_not_its_input() -> None:
    block = ResidualBlock(8)
    place_trainable(block, "cpu")
    torch.nn.init.normal_(block.mix.weight)
    torch.nn.init.normal_(block.merge.weight)
    x = torch.randn(1, 8, 5, 6)
    before = x.clone()
    with torch.inference_mode():
        plain = block.eval()(x)
    assert torch.equal(x, before)
    with_gradients = block(x.requires_grad_())
    torch.testing.assert_close(plain, with_gradients.detach())
    with_gradients.sum().backward()
