"""The Python interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vrcodec
from tests.conftest import GOLDEN, Pixels, needs_torch
from vrcodec.errors import (
    FormatError,
    InputError,
    LimitError,
    TargetError,
    UnmetTargetWarning,
    UsageError,
    VrcError,
    WeightsError,
)
from vrcodec.limits import DEFAULT_LIMITS

GENERATIONS = GOLDEN.parent / "generations"


def test_exported_names_are_there() -> None:
    assert set(vrcodec.__all__) <= set(dir(vrcodec))
    for name in vrcodec.__all__:
        assert callable(getattr(vrcodec, name))
        assert getattr(vrcodec, name).__doc__
    with pytest.raises(AttributeError):
        _ = vrcodec.nonsense


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_images_arrays_and_paths_are_the_same(
    photograph: Pixels, mode: str, tmp_path: Path
) -> None:
    image = Image.fromarray(photograph).convert(mode)
    path = tmp_path / "picture.png"
    image.save(path)
    data = vrcodec.encode(image, rate=0.7)
    assert vrcodec.encode(np.asarray(image), rate=0.7) == data
    assert vrcodec.encode(path, rate=0.7) == data
    assert vrcodec.encode(str(path), rate=0.7) == data
    decoded = vrcodec.decode(data)
    assert (decoded.mode, decoded.size) == (mode, image.size)
    (tmp_path / "picture.vrc").write_bytes(data)
    assert vrcodec.open(tmp_path / "picture.vrc").tobytes() == decoded.tobytes()


def test_choices_reach_the_picture(photograph: Pixels, tmp_path: Path) -> None:
    frames = [Image.fromarray(photograph), Image.fromarray(255 - photograph)]
    animation, deep = tmp_path / "frames.png", tmp_path / "deep.png"
    exif = Image.Exif()
    exif[0x010E] = "a description"
    frames[0].save(animation, save_all=True, append_images=frames[1:], exif=exif)
    with pytest.raises(InputError, match="--frame"):
        vrcodec.encode(animation)
    second = vrcodec.encode(animation, frame=1, strip=["exif"])
    assert second == vrcodec.encode(255 - photograph)
    assert vrcodec.encode(animation, frame=1, strip=True, icc="srgb") == second
    Image.fromarray(photograph[..., 0].astype(np.uint16) * 257).save(deep)
    with pytest.raises(InputError, match="--reduce-depth"):
        vrcodec.encode(deep)
    assert vrcodec.encode(deep, reduce_depth=True) == vrcodec.encode(photograph[..., 0])
    for wrong in ({"strip": "gps"}, {"icc": "adobe"}, {"frame": -1}):
        with pytest.raises(UsageError):
            vrcodec.encode(photograph, **wrong)


@pytest.mark.parametrize(
    ("target", "given"),
    [
        ({"size": 1500}, {"engine": "numpy"}),
        ({"bpp": 0.8}, {"engine": "numpy", "model": "qarv"}),
        ({"psnr": 31.5}, {"engine": "numpy", "model": "slim", "max_width": 96}),
        pytest.param({"ssimulacra2": 60.0}, {"engine": "torch", "effort": 1}, marks=needs_torch),
        ({"bpp": 0.6}, {"engine": "numpy", "model": "qmap", "qmap": [[0.2, 0.8]]}),
    ],
)
def test_a_target_gives_the_commands_file(
    target: dict[str, float],
    given: dict[str, Any],
    run: Callable[..., int],
    picture_file: Path,
    tmp_path: Path,
) -> None:
    Image.fromarray(np.array([[51, 204]], np.uint8)).save(tmp_path / "map.png")
    options = {**target, **given, **({"qmap": "map.png"} if "qmap" in given else {})}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    assert run("encode", picture_file, "-o", "a.vrc", *words) == 0
    data = vrcodec.encode(picture_file, **target, **given)
    assert data == (tmp_path / "a.vrc").read_bytes()


def test_a_target_that_nothing_meets(photograph: Pixels) -> None:
    with pytest.warns(UnmetTargetWarning, match="at most 100 bytes") as told:
        nearest = vrcodec.encode(photograph, size=100)
    assert len(nearest) > 100
    assert told[0].filename == __file__
    with pytest.raises(TargetError, match="at most 100 bytes"):
        vrcodec.encode(photograph, size=100, strict=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 2000, "rate": 0.5},
        {"size": 2000, "bpp": 0.5},
        {"psnr": 40.0, "bin_size": 1.0},
        {"ssim": 1.0},
        {"bpp": float("nan")},
        {"rate": 0.5, "strict": True},
    ],
)
def test_targets_that_are_none(photograph: Pixels, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        vrcodec.encode(photograph, **wrong)


def test_inspect(photograph: Pixels) -> None:
    data = vrcodec.encode(photograph, rate=0.25)
    info = vrcodec.inspect(data)
    assert (info.width, info.height, info.bytes) == (200, 150, len(data))
    assert info.rate == pytest.approx(0.25, abs=1e-5)
    assert sum(info.streams) < len(data)


def test_errors_are_of_one_family(photograph: Pixels, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        vrcodec.encode(photograph, rate=2)
    with pytest.raises(InputError):
        vrcodec.encode(photograph.astype(float))
    with pytest.raises(InputError, match="absent"):
        vrcodec.encode(tmp_path / "absent.png")
    with pytest.raises(InputError, match="directory"):
        vrcodec.encode(tmp_path)
    with pytest.raises(InputError, match="list"):
        vrcodec.encode([[1, 2], [3, 4]])
    with pytest.raises(InputError):
        vrcodec.open(tmp_path / "absent.vrc")
    with pytest.raises(FormatError):
        vrcodec.decode(b"GIF89a")
    with pytest.raises(WeightsError, match="'absent'"):
        vrcodec.encode(photograph, model="absent")
    for unreadable in (vrcodec.encode, vrcodec.open):
        with pytest.raises(InputError, match="cannot be read"):
            unreadable("a\0b")
    with pytest.raises(InputError, match="rows"):
        vrcodec.encode(photograph, model="qmap", qmap=[[0.1], [0.2, 0.3]])
    with pytest.raises(UsageError, match="effort"):
        vrcodec.encode(photograph, effort=1.5)


@pytest.mark.parametrize("read", [vrcodec.decode, vrcodec.inspect, vrcodec.quality_map])
@pytest.mark.parametrize("given", ["photograph.vrc", Path("photograph.vrc"), 12, None])
def test_what_takes_bytes_takes_no_names(read: Callable[..., object], given: object) -> None:
    with pytest.raises(UsageError, match=r"vrcodec\.open"):
        read(given)


@pytest.mark.parametrize(
    "wrong",
    [
        {"crop": (0, 0, 5)},
        {"crop": (0.5, 0, 5, 5)},
        {"crop": "1,2,3,4"},
        {"scale": 2.0},
        {"levels": 1.5},
    ],
)
def test_numbers_that_are_none(wrong: dict[str, Any]) -> None:
    data = (GOLDEN / "qarv_photograph.vrc").read_bytes()
    for read, subject in ((vrcodec.decode, data), (vrcodec.open, GOLDEN / "qarv_photograph.vrc")):
        with pytest.raises(UsageError):
            read(subject, **wrong)


def test_a_crop_may_be_an_array(vrc_file: Path) -> None:
    crop = np.array([10, 20, 30, 40])
    assert vrcodec.open(vrc_file, crop=crop).size == (30, 40)


def test_a_file_without_an_end_is_refused(vrc_file: Path) -> None:
    limits = replace(DEFAULT_LIMITS, max_file_bytes=100)
    with pytest.raises(LimitError, match="more than 100 bytes"):
        vrcodec.open(vrc_file, limits=limits)


def test_an_error_says_which_weights_are_missing() -> None:
    path = GENERATIONS / "gained-1.vrc"
    weights = vrcodec.inspect(path.read_bytes()).weights_id
    for read in (lambda: vrcodec.open(path), lambda: vrcodec.decode(path.read_bytes())):
        with pytest.raises(WeightsError) as caught:
            read()
        assert caught.value.id == weights


def test_exit_codes_are_those_of_the_documentation() -> None:
    codes = {e.__name__: e.exit_code for e in VrcError.__subclasses__()}
    assert sorted(codes.values()) == list(range(2, 11))
    import vrcodec.errors

    assert vrcodec.errors.__doc__ is not None
    for name, code in codes.items():
        assert any(
            name in line and str(code) in line for line in vrcodec.errors.__doc__.splitlines()
        ), name
