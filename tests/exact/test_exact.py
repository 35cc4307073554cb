"""A file decodes to the same symbols however its decoder computes.

Every picture is encoded once, with the shipped weights, and decoded under each variant; a wrong symbol
fails the checksum in the file. The companion test does the same sums in float32 and sees indices flip:
so the variants do differ, and the first test can fail.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

from vrcodec.bitstream.grid import HYPER_STRIDE
from vrcodec.bitstream.guard import GUARD, round_to_table
from vrcodec.bitstream.streams import StreamReader
from vrcodec.codec import Decoder, Encoder, Engine
from vrcodec.folders import read_folder
from vrcodec.models.entropy import scale_index
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.picture import Picture
from vrcodec.strips import StripGeometry, in_strips

RATE_CODES = (0, 32768, 65535)
# A flip in float32 is rare enough that a few small pictures may have none.
ENOUGH_PICTURES = 20


@pytest.fixture(autouse=True)
def shipped_weights(tiny_weights: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VRCODEC_WEIGHTS")


@pytest.fixture(scope="module")
def pictures() -> dict[str, Picture]:
    """The 24 Kodak pictures when VRCODEC_KODAK names their folder, else photographs of scikit-image."""
    folder = os.environ.get("VRCODEC_KODAK", "")
    if folder and Path(folder).is_dir():
        return read_folder(Path(folder))
    names = ("astronaut", "chelsea", "coffee")
    return {name: Picture.from_array(getattr(skimage.data, name)()) for name in names}


@pytest.fixture(scope="module")
def files(pictures: dict[str, Picture]) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("VRCODEC_WEIGHTS", raising=False)
        encoder = Encoder()
    codes = (RATE_CODES * len(pictures))[: len(pictures)]
    return {
        name: encoder.encode(picture, code)
        for (name, picture), code in zip(pictures.items(), codes, strict=True)
    }


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def no_change(model: HyperpriorModel) -> None:
    """The decoder as it is."""


def to_contiguous(model: HyperpriorModel) -> None:
    model.to(memory_format=torch.contiguous_format)


VARIANTS: dict[str, tuple[Engine, Callable[[], object], Callable[[HyperpriorModel], None]]] = {
    "as usual": (Engine("cpu"), nullcontext, no_change),
    "one thread": (Engine("cpu"), lambda: threads(1), no_change),
    "two threads": (Engine("cpu"), lambda: threads(2), no_change),
    "without oneDNN": (
        Engine("cpu", "float32"),
        lambda: torch.backends.mkldnn.flags(enabled=False),
        no_change,
    ),
    "contiguous": (Engine("cpu", "float32"), nullcontext, to_contiguous),
    "strips of 4": (Engine("cpu", strip_units=4), nullcontext, no_change),
    "strips of 8": (Engine("cpu", strip_units=8), nullcontext, no_change),
    "strips of 20": (Engine("cpu", strip_units=20), nullcontext, no_change),
    "inside autocast": (
        Engine("cpu", "float32"),
        lambda: torch.autocast("cpu", torch.bfloat16),
        no_change,
    ),
    "float32 synthesis": (Engine("cpu", "float32"), nullcontext, no_change),
    "bfloat16 synthesis": (Engine("cpu", "bfloat16"), nullcontext, no_change),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_symbols_are_the_same(
    files: dict[str, bytes], variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, context, change = VARIANTS[variant]
    hashes: list[int] = []
    finish = StreamReader.finish
    monkeypatch.setattr(StreamReader, "finish", lambda r: (finish(r), hashes.append(r._crc)))
    decoder = Decoder(engine)
    with context():  # type: ignore[attr-defined]
        decoder.decode(next(iter(files.values())))
        for model in decoder._models.values():
            assert isinstance(model, HyperpriorModel)
            change(model)
        for data in files.values():
            decoder.decode(data)
    assert len(hashes) > len(files)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_and_cpu_read_each_other(
    files: dict[str, bytes], pictures: dict[str, Picture]
) -> None:
    on_gpu, on_cpu = Decoder(Engine("cuda")), Decoder(Engine("cpu"))
    encoder = Encoder(engine=Engine("cuda"))
    for name, picture in pictures.items():
        here = on_cpu.decode(files[name]).pixels.astype(int)
        there = on_gpu.decode(files[name]).pixels.astype(int)
        assert np.abs(here - there).max() <= 1
        on_cpu.decode(encoder.encode(picture, 40_000))


def test_pixels_differ_by_a_step_at_most(files: dict[str, bytes]) -> None:
    decoders = [
        Decoder(Engine("cpu", "float32")),
        Decoder(Engine("cpu", "bfloat16")),
        Decoder(Engine("cpu", "bfloat16", 3)),
    ]
    for data in files.values():
        reference, *others = [d.decode(data).pixels.astype(np.int16) for d in decoders]
        for other in others:
            assert np.abs(other - reference).max() <= 1


def kernels(net: torch.nn.Module, z_hat: torch.Tensor) -> list[torch.Tensor]:
    """The same function computed in five ways."""
    layouts = (torch.contiguous_format, torch.channels_last)
    results = [
        net.to(memory_format=layout)(z_hat.contiguous(memory_format=layout)) for layout in layouts
    ]
    with threads(1):
        results.append(net(z_hat))
    with torch.backends.mkldnn.flags(enabled=False):
        results.append(net(z_hat))
    results.append(in_strips(net, z_hat, StripGeometry(1, HYPER_STRIDE, 2), 3))
    return results


def table_indices(picture: Picture, dtype: torch.dtype) -> list[np.ndarray]:
    """Real-valued table indices of one picture under every kernel, computed in ``dtype``."""
    model = Encoder(engine=Engine("cpu")).model
    assert isinstance(model, HyperpriorModel)
    rate = model.rate_state(RATE_CODES[1])
    z_hat = model.quantised_hyper_latent(model.analysis(picture.pixels), rate).to(dtype)
    with torch.inference_mode():
        outputs = kernels(model.hyper_synthesis_net.to(dtype), z_hat)
    return [scale_index(out.chunk(2, dim=1)[1].double()).numpy() for out in outputs]


def test_float32_would_not_do(pictures: dict[str, Picture]) -> None:
    """Its noise is wider than the guard band, and in enough pictures it flips an index."""
    flips = dict.fromkeys((torch.float32, torch.float64), 0)
    noise = dict.fromkeys(flips, 0.0)
    for picture in pictures.values():
        for dtype in flips:
            reference, *others = table_indices(picture, dtype)
            expected = round_to_table(reference, 64)
            flips[dtype] += sum(int((round_to_table(t, 64) != expected).sum()) for t in others)
            noise[dtype] = max(
                [noise[dtype], *(float(np.abs(t - reference).max()) for t in others)]
            )
    assert noise[torch.float32] > GUARD
    assert flips[torch.float32] > 0 or len(pictures) < ENOUGH_PICTURES
    assert noise[torch.float64] < GUARD / 1000
    assert flips[torch.float64] == 0
