"""NumPy and PyTorch: the same files, the same symbols, pixels within a step; and all of it without PyTorch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vrcodec
from tests.conftest import GOLDEN, ROOT, Pixels, needs_torch, random_map
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.catalog import find_by_family
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.errors import InputError, UsageError
from vrcodec.kernels.workers import WORKERS
from vrcodec.models import FAMILIES
from vrcodec.models.weights import open_model
from vrcodec.picture.picture import Picture
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.regions.region import Rectangle, Region
from vrcodec.regions.tiling import Tiling

NUMPY = Engine("cpu", library="numpy")
TORCH = Engine("cpu", "float32", library="torch")
ENGINES = {"numpy": NUMPY, "torch": TORCH}
OTHER = {"numpy": TORCH, "torch": NUMPY}


def setting_for(encoder: Encoder, picture: Picture, code: int) -> RateSetting:
    """A rate; with a map, a bin size or a width where the family has those."""
    family = encoder.model.family
    if family == "qmap":
        return RateSetting(code, qmap=random_map(picture, seed=code))
    if family == "slim":
        return RateSetting(code, width=encoder.model.size.widths[code % 3])
    has_bins = family in ("qvrf", "hyperprior")
    return encoder.bin_setting(0.7) if has_bins and code % 2 else RateSetting(code)


def assert_alike(one: Pixels, other: Pixels) -> None:
    assert np.abs(one.astype(int) - other).max() <= 1


@needs_torch
@pytest.mark.parametrize("maker", ENGINES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [(1, 1), (17, 33), (150, 200), (70, 1040)])
def test_each_reads_what_the_other_made(
    photograph: Pixels, family: str, maker: str, size: tuple[int, int]
) -> None:
    """Checksums of the symbols hold, at three rates."""
    height, width = size
    rows, columns = (np.arange(n) % m for n, m in zip(size, photograph.shape, strict=False))
    picture = Picture.from_array(np.ascontiguousarray(photograph[rows][:, columns]))
    encoder = Encoder(family, ENGINES[maker])
    own, other = Decoder(ENGINES[maker]), Decoder(OTHER[maker])
    for code in (0, 30_001, RATE_CODE_MAX):
        data = encoder.encode(picture, setting_for(encoder, picture, code))
        decoded = other.decode(data).pixels
        assert decoded.shape == (height, width, 3)
        assert_alike(own.decode(data).pixels, decoded)


@needs_torch
@pytest.mark.parametrize("family", FAMILIES)
def test_parts_of_pictures(photograph: Pixels, family: str) -> None:
    """Crops, previews, tiles and levels."""
    picture = Picture.from_array(np.tile(photograph, (1, 6, 1)))
    data = Encoder(family, NUMPY).encode(picture, 20_000)
    in_tiles = [Decoder(Engine("cpu", "float32", Tiling(side=5), library=name)) for name in ENGINES]
    whole = [Decoder(engine) for engine in ENGINES.values()]
    region = Region(Rectangle(900, 40, 250, 60), 2)
    for decoders in (in_tiles, whole):
        one, other = (decoder.decode(data, region=region).pixels for decoder in decoders)
        assert_alike(one, other)
    levels = 4 if family == "qarv" else None
    one, other = (decoder.decode(data, levels).pixels for decoder in whole)
    assert_alike(one, other)


@needs_torch
def test_tables_are_chosen_alike() -> None:
    """What the guard band is for: indices of both differ by the noise of float64."""
    pixels = np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8)
    for family in ("gained", "qmap", "qvrf", "hyperprior"):
        encoders = [Encoder(family, engine).model for engine in ENGINES.values()]
        latents = [model.analyse(pixels) for model in encoders]
        rates = [model.rate_parameters(40_000) for model in encoders]
        symbols = [
            model.quantise_z(model.latents_at_rate(y, rate), rate)  # type: ignore[operator]
            for model, y, rate in zip(encoders, latents, rates, strict=True)
        ]
        assert np.array_equal(*symbols)


@needs_torch
def test_names_of_engines(monkeypatch: pytest.MonkeyPatch, photograph: Pixels) -> None:
    monkeypatch.setenv("VRCODEC_ENGINE", "numpy")
    assert Encoder("gained").model.backend.kernels.name == "numpy"
    assert Encoder("gained", TORCH).model.backend.kernels.name == "torch"
    monkeypatch.setenv("VRCODEC_ENGINE", "cupy")
    with pytest.raises(UsageError, match="unknown engine 'cupy'"):
        Encoder("gained")
    for engine, words in (
        (Engine("cuda", library="numpy"), "has no device"),
        (Engine("cpu", "bfloat16", library="numpy"), "bfloat16 needs"),
    ):
        with pytest.raises(UsageError, match=words):
            Encoder("gained", engine)
    with pytest.raises(UsageError, match="needs --engine torch"):
        vrcodec.encode(photograph, model="gained", engine="numpy", effort=1)


def test_a_model_is_written_once() -> None:
    """Both libraries compute with the same modules, which know of neither."""
    model = open_model(find_by_family("qvrf"), encoder=True)
    assert {type(parameter) for parameter in model.parameters()} == {np.ndarray}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.filterwarnings("error")
def test_numbers_that_leave_all_bounds_are_an_error_not_a_warning(threads: int) -> None:
    """As by PyTorch: of a model that was broken."""
    encoder = Encoder("gained", NUMPY)
    encoder.model.analysis_net[1].weight *= np.float32(1e30)  # type: ignore[attr-defined]
    before = WORKERS.count
    WORKERS.set_count(threads)
    try:
        pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
        with pytest.raises(InputError, match="breaks down"):
            encoder.encode(Picture.from_array(pixels), 40_000)
    finally:
        WORKERS.set_count(before)


WITHOUT_TORCH = """
import sys
for name in ("torch", "compressai", "pytorch_msssim", "piq"):
    sys.modules[name] = None
import importlib.util as util
find = util.find_spec
util.find_spec = lambda name, package=None: None if name in ("torch", "compressai") else find(name, package)
"""


@pytest.fixture
def without_torch(tmp_path: Path) -> Callable[[str], str]:
    """Run Python code in a process that has no PyTorch; returns what it prints."""

    def run(code: str) -> str:
        result = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH + code],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def command(*arguments: str) -> str:
    return f"from vrcodec.cli.main import run\nassert run({list(arguments)!r}) == 0\n"


PHOTOGRAPH = str(GOLDEN / "photograph.png")


@pytest.mark.parametrize(
    "code",
    [
        "".join(
            command("encode", PHOTOGRAPH, "--model", family, "-o", f"{family}.vrc")
            + command("decode", f"{family}.vrc", "-o", f"{family}.png")
            + command("verify", "--full", f"{family}.vrc")
            for family in FAMILIES
        ),
        command("encode", PHOTOGRAPH, "--model", "gained", "--bpp", "0.5", "-o", "a.vrc"),
        command("encode", PHOTOGRAPH, "--model", "gained", "--ssimulacra2", "50", "-o", "a.vrc"),
        "import skimage.data\n"
        "from PIL import Image\n"
        "Image.fromarray(skimage.data.astronaut()[:170, :180]).save('a.png')\n"
        + command("encode", "a.png", "--model", "gained", "--ssim", "0.95", "-o", "a.vrc"),
        command("encode", PHOTOGRAPH, "--lossless", "always", "-o", "a.vrc"),
        command("info", str(GOLDEN / "photograph.vrc")) + command("models"),
        command("doctor"),
        command("bench", PHOTOGRAPH, "--models", "gained", "--rates", "0.2,0.8"),
        command("qmap", PHOTOGRAPH, "--for", "gradient", "-o", "map.png"),
        "import numpy, vrcodec\n"
        "pixels = numpy.zeros((40, 60, 3), 'uint8')\n"
        "data = vrcodec.encode(pixels, 0.3, model='qvrf')\n"
        "assert vrcodec.decode(data).size == (60, 40)\n"
        f"assert vrcodec.open({str(GOLDEN / 'photograph.vrc')!r}).size\n"
        "import vrcodec.pillow_plugin\n"
        "from PIL import Image\n"
        f"Image.open({str(GOLDEN / 'photograph.vrc')!r}).save('a.vrc')\n",
    ],
)
def test_everything_but_training_runs_without_torch(
    without_torch: Callable[[str], str], code: str
) -> None:
    without_torch(code + "\nassert sys.modules['torch'] is None\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "gained", "--data", "."),
        ("encode", PHOTOGRAPH, "--model", "gained", "--effort", "1", "-o", "a.vrc"),
        ("decode", str(GOLDEN / "photograph.vrc"), "--device", "cuda", "-o", "a.png"),
        ("decode", str(GOLDEN / "photograph.vrc"), "--engine", "torch", "-o", "a.png"),
    ],
)
def test_what_needs_torch_says_how_to_get_it(
    without_torch: Callable[[str], str], arguments: tuple[str, ...]
) -> None:
    code = (
        "import contextlib, io, json\n"
        "from vrcodec.cli.main import run\n"
        "with contextlib.redirect_stderr(io.StringIO()) as words:\n"
        f"    code = run({list(arguments)!r})\n"
        "print(json.dumps([code, words.getvalue()]))\n"
    )
    code, words = json.loads(without_torch(code))
    assert code == (10 if arguments[0] == "decode" else 2)
    assert "pip install 'vrcodec[t" in words
    assert words.count("\n") == 1
