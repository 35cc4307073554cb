"""A file decodes to the same symbols however its decoder computes.

Every picture is encoded once, with the shipped weights (the tiny ones of a family that has none), and decoded
under each variant; a wrong symbol
fails the checksum in the file. The companion test does the same sums in float32 and sees indices flip:
so the variants do differ, and the first test can fail.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from itertools import product

import numpy as np
import pytest
import torch

from tests.conftest import GOLDEN, random_map
from tests.extent import extent, photographs
from vrcodec import models
from vrcodec.bench.kernels import split_channel_sums, table_indices, use_threads
from vrcodec.bitstream.guard_band import GUARD, round_to_table
from vrcodec.bitstream.inspection import inspect
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.bitstream.symbol_coding import StreamReader
from vrcodec.catalog import find_by_family
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.models import GuardedModel, Slim, VariableRateModel
from vrcodec.models.device import torch_backend
from vrcodec.models.weights import load_model
from vrcodec.picture.picture import Picture
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.regions.tiling import Tiling

pytestmark = pytest.mark.long

# Of networks of one's own.
UNSHIPPED = ("hyperprior", "scale_hyperprior")
FAMILIES = sorted({*models.FAMILIES, *UNSHIPPED})
RATE_CODES = (0, 32768, 65535)
# A flip in float32 is rare enough that a few small pictures may have none.
ENOUGH_PICTURES = 20


@pytest.fixture(scope="module")
def unshipped(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("unshipped")
    for name, suffix in product(UNSHIPPED, (".safetensors", ".json")):
        shutil.copy(GOLDEN / f"{name}{suffix}", folder)
    return str(folder)


@pytest.fixture(autouse=True)
def shipped_weights(tiny_weights: None, unshipped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VRCODEC_WEIGHTS", unshipped)


@pytest.fixture(scope="module")
def pictures() -> dict[str, Picture]:
    return photographs()


@pytest.fixture(scope="module", params=FAMILIES)
def files(
    request: pytest.FixtureRequest, pictures: dict[str, Picture], unshipped: str
) -> dict[str, bytes]:
    """One file of every picture, by one family."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VRCODEC_WEIGHTS", unshipped)
        encoder = Encoder(request.param)
    codes = (RATE_CODES * len(pictures))[: len(pictures)]
    return {
        name: encoder.encode(picture, setting(encoder, picture, code))
        for (name, picture), code in zip(pictures.items(), codes, strict=True)
    }


def setting(encoder: Encoder, picture: Picture, code: int) -> RateSetting:
    """A rate; half-way between the ends with a random map, where the family has maps."""
    if not encoder.model.takes_quality_map or code in (0, RATE_CODE_MAX):
        return RateSetting(code)
    return RateSetting(code, qmap=random_map(picture, seed=picture.width))


def no_change(model: VariableRateModel) -> None:
    """The decoder as it is."""


def to_contiguous(model: VariableRateModel) -> None:
    narrow = model._networks.values() if isinstance(model, Slim) else ()
    for net in (model, *narrow):
        net.map(torch.Tensor.contiguous)


VARIANTS: dict[str, tuple[Engine, Callable[[], object], Callable[[VariableRateModel], None]]] = {
    "as usual": (Engine("cpu"), nullcontext, no_change),
    "one thread": (Engine("cpu"), lambda: use_threads(1), no_change),
    "two threads": (Engine("cpu"), lambda: use_threads(2), no_change),
    "without oneDNN": (
        Engine("cpu", "float32"),
        lambda: torch.backends.mkldnn.flags(enabled=False),
        no_change,
    ),
    "contiguous": (Engine("cpu", "float32"), nullcontext, to_contiguous),
    "in another order": (Engine("cpu", "float32"), lambda: split_channel_sums(None), no_change),
    "tiles of 4": (Engine("cpu", tiling=Tiling(side=4)), nullcontext, no_change),
    "tiles of 8": (Engine("cpu", tiling=Tiling(side=8)), nullcontext, no_change),
    "tiles of 20": (Engine("cpu", tiling=Tiling(side=20)), nullcontext, no_change),
    "inside autocast": (
        Engine("cpu", "float32"),
        lambda: torch.autocast("cpu", torch.bfloat16),
        no_change,
    ),
    "by NumPy": (Engine("cpu", library="numpy"), nullcontext, no_change),
    "float32 synthesis": (Engine("cpu", "float32"), nullcontext, no_change),
    "bfloat16 synthesis": (Engine("cpu", "bfloat16"), nullcontext, no_change),
}


# What acts on the float part alone, behind the symbols: a third of the pictures will do.
BEHIND_SYMBOLS = frozenset(
    name for name in VARIANTS if name.startswith("tiles") or name.endswith("synthesis")
)


def some(files: dict[str, bytes], precision: str = "float32") -> list[bytes]:
    """A third of the files; for bfloat16, which many a processor only emulates, the first by default."""
    third = list(files.values())[::3]
    return third[: extent(1, len(third))] if precision == "bfloat16" else third


@pytest.mark.parametrize("variant", VARIANTS)
def test_symbols_are_the_same(
    files: dict[str, bytes], variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, context, change = VARIANTS[variant]
    hashes: list[int] = []
    finish = StreamReader.finish
    monkeypatch.setattr(StreamReader, "finish", lambda r: (finish(r), hashes.append(r._crc)))
    decoder = Decoder(engine)
    chosen = list(files.values())
    if variant in BEHIND_SYMBOLS:
        chosen = some(files, variant.partition(" ")[0])
    with context():  # type: ignore[attr-defined]
        decoder.decode(chosen[0])
        for model in decoder._models.values():
            change(model)
        for data in chosen:
            decoder.decode(data)
    assert len(hashes) > len(chosen)


def test_files_by_numpy(files: dict[str, bytes], pictures: dict[str, Picture]) -> None:
    """The other way round: made by NumPy, read by PyTorch."""
    family = inspect(next(iter(files.values()))).model
    encoder, decoder = Encoder(family, Engine("cpu", library="numpy")), Decoder(Engine("cpu"))
    picture = next(iter(pictures.values()))
    for code in RATE_CODES:
        chosen = setting(encoder, picture, code)
        assert decoder.decode(encoder.encode(picture, chosen)).pixels.shape == picture.pixels.shape


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
    """But for `qmap` in bfloat16: there a sample in ten millions may differ by two."""
    reference = Decoder(Engine("cpu", "float32"))
    apart, samples = {}, 0
    for precision in ("float32", "bfloat16"):
        decoders = [Decoder(Engine("cpu", precision, Tiling(side=side))) for side in (None, 3)]
        apart[precision] = samples = 0
        for data in some(files, precision):
            expected = reference.decode(data).pixels.astype(np.int16)
            samples += expected.size
            for decoder in decoders:
                difference = np.abs(decoder.decode(data).pixels - expected)
                assert difference.max() <= 2
                apart[precision] += int((difference > 1).sum())
    mapped = inspect(next(iter(files.values()))).model == "qmap"
    assert apart["float32"] == 0
    # Two decoders; one such sample is no more than chance.
    assert apart["bfloat16"] <= (2 * max(1, samples / 1e7) if mapped else 0)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "slim"])
def test_float32_would_not_do(pictures: dict[str, Picture], family: str) -> None:
    """Its noise is wider than the guard band, and in enough pictures it flips an index."""
    entry = find_by_family(family)
    flips = dict.fromkeys(("float32", "float64"), 0)
    noise = dict.fromkeys(flips, 0.0)
    for dtype in flips:
        model = load_model(entry, torch_backend(exact_type=dtype))
        assert isinstance(model, GuardedModel)
        for picture in pictures.values():
            latents, rate = model.analyse(picture.pixels), model.rate_parameters(RATE_CODES[1])
            reference, *others = table_indices(model, latents, rate).values()
            expected = round_to_table(reference, 64)
            flips[dtype] += sum(int((round_to_table(t, 64) != expected).sum()) for t in others)
            noise[dtype] = max(
                [noise[dtype], *(float(np.abs(t - reference).max()) for t in others)]
            )
    assert noise["float32"] > GUARD
    assert flips["float32"] > 0 or len(pictures) < ENOUGH_PICTURES
    assert noise["float64"] < GUARD / 1000
    assert flips["float64"] == 0
