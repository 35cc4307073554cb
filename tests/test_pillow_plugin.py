"""Pillow opens and saves .vrc files once the plugin is imported."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

import vrcodec
import vrcodec.pillow_plugin
from tests.conftest import GOLDEN, ROOT, Pixels
from vrcodec import api


def test_opening_reads_the_header_and_loading_decodes(vrc_file: Path) -> None:
    data = vrc_file.read_bytes()
    with Image.open(vrc_file) as image:
        assert (image.format, image.mode) == ("VRC", "RGB")
        assert image.size == vrcodec.decode(data).size
        assert image.info["vrc"]["bytes"] == len(data)
        assert (np.asarray(image) == np.asarray(vrcodec.decode(data))).all()
        # Loaded once; the file is not needed any more.
        assert image.convert("L").size == image.size


def test_opening_needs_no_networks(tmp_path: Path) -> None:
    code = (
        "import sys, vrcodec.pillow_plugin; from PIL import Image\n"
        f"assert Image.open({str(GOLDEN / 'grey.vrc')!r}).mode == 'L'\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
def test_saving_keeps_the_mode(photograph: Pixels, tmp_path: Path, mode: str) -> None:
    source = Image.fromarray(photograph).convert(mode)
    source.save(tmp_path / "x.vrc", rate=0.3, model="gained")
    with Image.open(tmp_path / "x.vrc") as image:
        assert (image.mode, image.size) == (mode, source.size)
        image.load()
        assert image.mode == mode


def test_parameters_are_those_of_encode(photograph: Pixels) -> None:
    image, sizes = Image.fromarray(photograph), []
    for rate in (0.0, 1.0):
        buffer = io.BytesIO()
        image.save(buffer, "VRC", rate=rate, model="gained")
        assert buffer.getvalue() == vrcodec.encode(image, rate, model="gained")
        sizes.append(len(buffer.getvalue()))
    assert sizes[0] < sizes[1]
    with pytest.raises(ValueError, match="quality"):
        image.save(io.BytesIO(), "VRC", quality=90)


def test_damage_is_what_pillow_calls_it(vrc_file: Path) -> None:
    data = vrc_file.read_bytes()
    for damaged in (data[:-3], data[:40], data[:20] + b"x" + data[21:]):
        with pytest.raises(OSError, match=r"truncated|damaged"):
            Image.open(io.BytesIO(damaged))
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(b"x" + data))


def test_a_file_of_other_weights_opens_and_does_not_load(
    vrc_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What an earlier test has decoded is still in memory.
    api._load_decoder.cache_clear()
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(tmp_path))
    with Image.open(vrc_file) as image, pytest.raises(OSError, match="not installed"):
        image.load()


def test_imageio_reads_and_writes(photograph: Pixels, tmp_path: Path) -> None:
    imageio = pytest.importorskip("imageio.v3")
    path = tmp_path / "x.vrc"
    imageio.imwrite(path, photograph, plugin="pillow", model="gained")
    assert imageio.imread(path, plugin="pillow").shape == photograph.shape


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize(
    "copied",
    [
        lambda image: pickle.loads(pickle.dumps(image)),
        copy.deepcopy,
        copy.copy,
        lambda image: image.copy(),
    ],
)
def test_copies_have_the_pixels(
    vrc_file: Path, copied: Callable[[Image.Image], Image.Image], loaded: bool
) -> None:
    expected = np.asarray(vrcodec.decode(vrc_file.read_bytes()))
    image = Image.open(vrc_file)
    if loaded:
        image.load()
    for _ in range(2):
        image = copied(image)
        assert (np.asarray(image) == expected).all()
        assert image.crop((1, 2, 9, 9)).size == (8, 7)
