"""Fixtures: a tiny frozen model, pictures made by code or carried by scikit-image, the command line."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
from hypothesis import settings
from PIL import Image

from tests.extent import examples
from vrcodec.bitstream import schema
from vrcodec.bitstream.container import Chunk, build_container, parse_container
from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.codec import Decoder, Encoder
from vrcodec.engine import Engine
from vrcodec.extras import is_installed
from vrcodec.picture.picture import Picture

Pixels = npt.NDArray[np.uint8]
Command = Callable[..., "subprocess.CompletedProcess[bytes]"]

# How fast an example runs says nothing on a machine that does other things, too.
settings.register_profile("vrcodec", examples(100), deadline=None)
settings.load_profile("vrcodec")

# A shell's background job ignores Ctrl-C, and so would every program that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
GOLDEN_NAMES = sorted(path.stem for path in GOLDEN.glob("*.vrc"))


needs_torch = pytest.mark.skipif(not is_installed("torch"), reason="needs PyTorch")
# Tests of what only PyTorch does.
_OF_TORCH = re.compile(
    r"^(import|from) (torch|vrcodec\.(training|models\.learning|refinement\.(?!effort)|bench\.kernels))"
    r"|^from tests\.(recipes|surrogates)",
    re.MULTILINE,
)
if not is_installed("torch"):
    collect_ignore = [
        str(path)
        for path in Path(__file__).parent.rglob("*.py")
        if _OF_TORCH.search(path.read_text())
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first: at the end it would run alone, while other workers wait."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True)
def tiny_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code with the frozen model beside the golden files, unless a test chooses otherwise."""
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(GOLDEN))


@pytest.fixture(autouse=True, scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the user of this machine has fetched or measured is not looked at, nor changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def assert_same_pixels(one: Pixels, other: Pixels) -> None:
    """Equal; within a step by NumPy, where sums depend on how many rows a product of matrices has."""
    tolerance = 0 if is_installed("torch") else 1
    assert one.shape == other.shape
    assert np.abs(one.astype(int) - other).max(initial=0) <= tolerance


def random_map(picture: Picture, seed: int = 0) -> QualityMap:
    """Levels that differ from cell to cell."""
    grid = QualityMap.grid_shape(picture.width, picture.height)
    return QualityMap(np.random.default_rng(seed).integers(0, 256, grid, dtype=np.uint8))


def with_chunks(chunk_type: int, data: bytes, *payloads: bytes) -> bytes:
    """``data`` with chunks of these payloads in place of its own of ``chunk_type``, and none that binds all."""
    container = parse_container(data)
    chunks = [Chunk(chunk_type, payload) for payload in payloads]
    replaced = (chunk_type, schema.CHUNK_BINDING)
    others = [chunk for chunk in container.chunks if chunk.type not in replaced]
    return build_container(replace(container, chunks=[*chunks, *others]))


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def close_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody list ``folder``, not even root."""
    list_folder = os.scandir

    def list_unless_closed(path: str) -> object:
        if os.path.abspath(path) == str(folder):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", list_unless_closed)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder("gained")


@pytest.fixture
def slim() -> Encoder:
    return Encoder("slim", Engine("cpu", "float32"))


@pytest.fixture
def qarv() -> Encoder:
    return Encoder("qarv", Engine("cpu", "float32"))


@pytest.fixture
def decoder() -> Decoder:
    return Decoder()


@pytest.fixture(scope="session")
def photograph() -> Pixels:
    """A part of a public-domain photograph, (150, 200, 3)."""
    return np.ascontiguousarray(skimage.data.astronaut()[:150, 100:300])


@pytest.fixture
def picture(photograph: Pixels) -> Picture:
    return Picture.from_array(photograph)


@pytest.fixture
def picture_file(tmp_path: Path, photograph: Pixels) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(photograph).save(path)
    return path


@pytest.fixture
def vrc_file(tmp_path: Path) -> Path:
    path = tmp_path / "photograph.vrc"
    path.write_bytes((GOLDEN / "photograph.vrc").read_bytes())
    return path


@pytest.fixture
def vrcodec(tmp_path: Path) -> Command:
    """Run the command line in a process of its own, in ``tmp_path``."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            [sys.executable, "-m", "vrcodec", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            **{"capture_output": True, "timeout": 120, **options},
        )

    return run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command line inside this process, which is faster; returns the exit code."""
    from vrcodec.cli import main
    from vrcodec.cli.shared import output

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "verbosity", output.NORMAL)
    return lambda *arguments: main.run([str(a) for a in arguments])
