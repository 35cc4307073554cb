"""Quality maps: in the file, as people give them, and what becomes of the picture."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

import vrcodec
from tests.conftest import GOLDEN, Command, Pixels
from vrcodec.bench.metrics import psnr
from vrcodec.bitstream import schema
from vrcodec.bitstream.container import Chunk, build_container, parse_container
from vrcodec.bitstream.qmap import MAP_STRIDE, QualityMap, build_map, parse_map
from vrcodec.codec import Decoder, Encoder, Engine
from vrcodec.errors import CorruptError, InputError, LimitError, UsageError
from vrcodec.limits import DEFAULT_LIMITS, Limits
from vrcodec.picture import Picture
from vrcodec.qmaps import Region, checked_levels, on_grid, read_levels, regions_map
from vrcodec.rate import RATE_CODE_MAX
from vrcodec.ratecontrol import BYTES_TOLERANCE, Target, encode_to_target
from vrcodec.setting import Setting, setting_of

Shape = npt.NDArray[np.uint8]

shapes = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)))
level_maps = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.floats(0, 1)
)
sides = st.integers(1, 300)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder("qmap")


def random_map(picture: Picture, seed: int = 0) -> QualityMap:
    grid = QualityMap.sides(picture.width, picture.height)
    return QualityMap(np.random.default_rng(seed).integers(0, 256, grid, dtype=np.uint8))


def with_maps(data: bytes, *payloads: bytes) -> bytes:
    """``data`` with these maps in place of its own."""
    container = parse_container(data)
    chunks = [Chunk(schema.CHUNK_QMAP, p) for p in payloads]
    streams = [c for c in container.chunks if c.type != schema.CHUNK_QMAP]
    return build_container(replace(container, chunks=[*chunks, *streams]))


# --- in the file ---


@given(shapes, st.integers(1, MAP_STRIDE), st.integers(1, MAP_STRIDE))
def test_payload_round_trip(shape: Shape, right: int, bottom: int) -> None:
    """For every picture that has this grid."""
    rows, columns = shape.shape
    width, height = (columns - 1) * MAP_STRIDE + right, (rows - 1) * MAP_STRIDE + bottom
    found = parse_map(build_map(QualityMap(shape)), width, height)
    assert (found.shape == shape).all()


def test_a_smooth_map_costs_little_and_a_random_one_hardly_more_than_itself() -> None:
    smooth = np.linspace(0, 255, 24).astype(np.uint8) * np.ones((16, 1), np.uint8)
    assert len(build_map(QualityMap(smooth))) < 40
    noise = np.random.default_rng(0).integers(0, 256, (16, 24), dtype=np.uint8)
    assert len(build_map(QualityMap(noise))) <= noise.size + 8


@given(st.binary(max_size=80), sides, sides)
def test_any_bytes_are_a_map_or_refused(payload: bytes, width: int, height: int) -> None:
    try:
        found = parse_map(payload, width, height)
    except CorruptError:
        return
    assert found.shape.shape == QualityMap.sides(width, height)


def test_a_bomb_is_not_unpacked() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(bytes(1 << 26)) + packer.flush()
    with pytest.raises(CorruptError, match="not of the picture's size"):
        parse_map(bomb, 64, 64)


def test_a_map_that_is_uniform_takes_no_room(encoder: Encoder, photograph: Pixels) -> None:
    picture = Picture.from_array(photograph)
    grid = QualityMap.sides(picture.width, picture.height)
    uniform = QualityMap(np.full(grid, 51, np.uint8))
    assert encoder.encode(picture, Setting.at(None, uniform)) == encoder.encode(
        picture, Setting.at(0.2)
    )


def test_at_the_ends_of_the_rate_a_map_takes_no_room(
    encoder: Encoder, decoder: Decoder, photograph: Pixels
) -> None:
    """All its levels are cut off there; a file that has one all the same decodes to the same."""
    picture = Picture.from_array(photograph)
    shape = random_map(picture)
    for code in (0, RATE_CODE_MAX):
        data = encoder.encode(picture, Setting(code, qmap=shape))
        assert data == encoder.encode(picture, code)
        other = decoder.decode(with_maps(data, build_map(shape)))
        assert (other.pixels == decoder.decode(data).pixels).all()


def test_hostile_chunks(encoder: Encoder, decoder: Decoder, photograph: Pixels) -> None:
    picture = Picture.from_array(photograph)
    shape = random_map(picture)
    data = encoder.encode(picture, Setting.at(None, shape))
    good = build_map(shape)
    smaller = build_map(QualityMap(shape.shape[1:]))
    for payloads in [
        (b"",),
        (good[:-1],),
        (good + b"\0",),
        (smaller,),
        (good, good),
        (b"\xff" * 9,),
    ]:
        for use in (decoder.decode, vrcodec.inspect, vrcodec.quality_map):
            with pytest.raises(CorruptError, match="quality map"):
                use(with_maps(data, *payloads))


def test_another_map_than_the_encoders_is_noticed(
    encoder: Encoder, decoder: Decoder, photograph: Pixels
) -> None:
    """The map scales what tables are chosen from: the symbols' checksum does not fit."""
    picture = Picture.from_array(photograph)
    data = encoder.encode(picture, Setting.at(None, random_map(picture)))
    for other in (with_maps(data), with_maps(data, build_map(random_map(picture, 1)))):
        with pytest.raises(CorruptError):
            decoder.decode(other)


def test_a_map_in_a_file_of_another_family(decoder: Decoder, photograph: Pixels) -> None:
    shape = random_map(Picture.from_array(photograph))
    data = with_maps(vrcodec.encode(photograph, model="gained"), build_map(shape))
    with pytest.raises(CorruptError, match="no use for a chunk"):
        decoder.decode(data)


def test_families_without_maps_say_so(photograph: Pixels) -> None:
    for model in ("gained", "qvrf"):
        with pytest.raises(UsageError, match=f"{model} takes no quality map"):
            vrcodec.encode(photograph, qmap=[[0.1, 0.9]], model=model)
        with pytest.raises(UsageError, match=f"{model} takes no quality map"):
            vrcodec.encode(photograph, qmap=[[0.5]], model=model)
    with pytest.raises(UsageError, match="in place of"):
        vrcodec.encode(photograph, qmap=[[0.1, 0.9]], bin_size=1.0, model="qmap")


# --- round trips ---


@settings(max_examples=40)
@given(level_maps, sides, sides, st.one_of(st.none(), st.floats(0, 1)), st.booleans())
def test_any_map_on_any_picture(
    levels: npt.NDArray[np.float64], width: int, height: int, rate: float | None, grey: bool
) -> None:
    """Sizes come back, and both sides use the map that `quality_map` shows."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (height, width) if grey else (height, width, 3), dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VRCODEC_WEIGHTS", str(GOLDEN))
        data = vrcodec.encode(pixels, rate, qmap=levels, model="qmap")
        assert np.asarray(vrcodec.decode(data)).shape == pixels.shape
    shape = on_grid(levels, width, height)
    shown = vrcodec.quality_map(data)
    assert shown.shape == shape.shape.shape
    if rate is None:
        assert (on_grid(shown, width, height).shape == shape.shape).all()
    header = parse_container(data).header
    if rate is not None:
        assert header.rate_code == round(rate * RATE_CODE_MAX)
    if not shape.uniform:
        assert (shown == shape.levels(header.rate_code)).all()
    assert shown.mean() == pytest.approx(header.rate_code / RATE_CODE_MAX, abs=1 / 65280)


@pytest.mark.parametrize("units", [1, 3])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_strips_and_precision_do_not_matter(
    encoder: Encoder, photograph: Pixels, units: int, precision: str
) -> None:
    picture = Picture.from_array(photograph)
    data = encoder.encode(picture, Setting.at(None, random_map(picture)))
    whole = Decoder(Engine("cpu", "float32")).decode(data).pixels.astype(int)
    parts = Decoder(Engine("cpu", precision, units)).decode(data).pixels.astype(int)
    assert np.abs(whole - parts).max() <= 1
    in_strips = Encoder("qmap", Engine("cpu", precision, units))
    Decoder().decode(in_strips.encode(picture, Setting.at(None, random_map(picture))))


def test_bits_go_where_the_map_says(encoder: Encoder, decoder: Decoder, photograph: Pixels) -> None:
    picture = Picture.from_array(photograph)
    region = regions_map([Region(0, 0, 96, 150, 1.0)], 0.0, picture.width, picture.height)
    data = encoder.encode(picture, Setting.at(None, region))
    low, high = encoder.encode(picture, 0), encoder.encode(picture, RATE_CODE_MAX)
    assert len(low) < len(data) < len(high)
    found, worst, best = (decoder.decode(d).pixels for d in (data, low, high))
    for part, there in ((np.s_[:, :64], best), (np.s_[:, 128:], worst)):
        between = (psnr(worst[part], photograph[part]) + psnr(best[part], photograph[part])) / 2
        above = psnr(found[part], photograph[part]) > between
        assert above == (there is best)


def test_a_target_moves_the_level_and_keeps_the_shape(
    encoder: Encoder, decoder: Decoder, photograph: Pixels
) -> None:
    picture = Picture.from_array(photograph)
    shape = regions_map([Region(0, 0, 100, 100, 0.6)], 0.4, picture.width, picture.height)
    limit = len(encoder.encode(picture, Setting.at(0.62, shape)))
    found = encode_to_target(encoder, decoder, picture, Target("size", limit), qmap=shape)
    assert limit * (1 - 3 * BYTES_TOLERANCE) <= len(found.data) <= limit
    levels = vrcodec.quality_map(found.data)
    assert levels[0, 0] - levels[-1, -1] == pytest.approx(0.2, abs=1 / 255)
    chosen = setting_of(parse_container(found.data)).qmap
    assert chosen is not None
    assert (chosen.shape == shape.shape).all()


# --- maps as people give them ---


@given(st.floats(0, 1), sides, sides, st.integers(1, 50), st.integers(1, 50))
def test_a_flat_map_is_flat_on_any_grid(
    level: float, width: int, height: int, rows: int, columns: int
) -> None:
    found = on_grid(np.full((rows, columns), level), width, height)
    assert found.uniform
    assert found.level == pytest.approx(level, abs=0.51 / 255)


@given(level_maps, sides, sides)
def test_a_grids_mean_is_the_maps(levels: npt.NDArray[np.float64], width: int, height: int) -> None:
    """Each cell counts as much as the pixels that it covers."""
    found = on_grid(levels, width, height)
    assert found.shape.shape == QualityMap.sides(width, height)
    share = [
        np.diff(np.minimum(np.arange(cells + 1) * MAP_STRIDE, pixels)) / pixels
        for cells, pixels in zip(found.shape.shape, (height, width), strict=True)
    ]
    if levels.shape == found.shape.shape:
        return
    mean = share[0] @ (found.shape / 255) @ share[1]
    assert mean == pytest.approx(levels.mean(), abs=0.51 / 255)


@given(shapes, st.integers(0, RATE_CODE_MAX))
def test_a_moved_map_keeps_its_shape_and_has_the_rate_as_its_mean(shape: Shape, code: int) -> None:
    moved = QualityMap(shape).levels(code)
    assert moved.min() >= 0
    assert moved.max() <= 1
    mean = moved.mean()
    assert code / RATE_CODE_MAX - 1 / 65280 <= mean <= code / RATE_CODE_MAX + 1e-9
    offsets = (moved - shape / 255)[(moved > 0) & (moved < 1)]
    assert not offsets.size or np.ptp(offsets) < 1e-12


@given(shapes, st.lists(st.integers(0, RATE_CODE_MAX), min_size=2, max_size=2).map(sorted))
def test_no_level_falls_as_the_rate_rises(shape: Shape, codes: list[int]) -> None:
    low, high = (QualityMap(shape).levels(code) for code in codes)
    assert (low <= high).all()


def test_regions_take_every_cell_that_they_touch() -> None:
    regions = [Region(31, 0, 2, 1, 1.0), Region(64, 64, 500, 500, 0.4), Region(-5, 70, 6, 1, 0.8)]
    shape = regions_map(regions, 0.0, 100, 100).shape
    expected = np.zeros((4, 4))
    expected[0, :2], expected[2:, 2:], expected[2, 0] = 255, 102, 204
    assert (shape == expected).all()
    with pytest.raises(UsageError, match="outside the picture of 100x100"):
        regions_map([Region(100, 0, 5, 5, 1.0)], 0.0, 100, 100)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,2,3",
        "1,2,3,4,5",
        "a,b,c,d",
        "0,0,0,5",
        "0,0,5,5:1.1",
        "0,0,5,5:-0.1",
        "0,0,5,5:e",
        "0,0,-5,5",
    ],
)
def test_regions_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        Region.parse(text, 0.5)


def test_regions_as_words() -> None:
    assert Region.parse("1,2,3,4", 0.5) == Region(1, 2, 3, 4, 0.5)
    assert Region.parse("-1, 2, 3, 4:.25", 0.5) == Region(-1, 2, 3, 4, 0.25)


def test_maps_from_files(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8) * np.ones((32, 1), np.uint8)
    Image.fromarray(ramp).save(tmp_path / "map.png")
    np.save(tmp_path / "map.npy", ramp / 255)
    from_picture, from_array = (
        on_grid(read_levels(tmp_path / name, DEFAULT_LIMITS), 200, 100)
        for name in ("map.png", "map.npy")
    )
    assert (from_picture.shape == from_array.shape).all()
    assert (np.diff(from_array.shape[0].astype(int)) > 0).all()


def test_sixteen_bit_maps_keep_their_levels(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(tmp_path / "map.png")
    levels = read_levels(tmp_path / "map.png", DEFAULT_LIMITS)
    assert levels[0].tolist() == pytest.approx([0, 0.5, 1], abs=1e-4)


@pytest.mark.parametrize(
    "values",
    [[[1.01]], [[-0.01]], [[float("nan")]], [0.5], [[[0.5]]], [[]], [["a"]], [[1 + 1j]]],
)
def test_arrays_that_are_no_maps(values: object) -> None:
    with pytest.raises(InputError, match="quality map"):
        checked_levels(values, "map")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["map.npy", "map.png"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\x93NUMPY", b"\x89PNG\r\n\x1a\n"])
def test_files_that_are_no_maps(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_levels(tmp_path / name, DEFAULT_LIMITS)


def test_a_map_that_promises_too_much(tmp_path: Path) -> None:
    """Before its memory is taken: more values than the file has, or more than the limit allows."""
    np.save(tmp_path / "map.npy", np.zeros((20, 20)))
    data = (tmp_path / "map.npy").read_bytes()
    with pytest.raises(LimitError, match="--max-pixels"):
        read_levels(tmp_path / "map.npy", Limits(max_pixels=300))
    forged = data.replace(b"(20, 20), }      ", b"(99999, 999999), }")
    assert len(forged) > len(data)
    (tmp_path / "map.npy").write_bytes(forged)
    with pytest.raises(InputError, match=r"map\.npy"):
        read_levels(tmp_path / "map.npy", DEFAULT_LIMITS)


# --- on the command line ---

Run = Callable[..., int]


def test_regions_and_back(run: Run, vrcodec: Command, picture_file: Path, tmp_path: Path) -> None:
    arguments = ["--model", "qmap", "--roi", "0,0,64,64:0.9", "--roi-background", "0.2"]
    assert run("encode", picture_file, "-o", "a.vrc", *arguments) == 0
    assert run("info", "a.vrc", "--qmap-out", "map.npy") == 0
    levels = np.load(tmp_path / "map.npy")
    assert levels[:64, :64] == pytest.approx(0.9, abs=1 / 255)
    assert levels[64:, 64:] == pytest.approx(0.2, abs=1 / 255)
    assert b"quality map of" in vrcodec("info", "a.vrc").stdout
    shown = json.loads(vrcodec("info", "--json", "a.vrc").stdout)[0]
    assert shown["qmap_bytes"] < 40
    assert levels.shape == (150, 200)
    # The map that a file shows encodes to the same file.
    assert run("encode", picture_file, "-o", "b.vrc", "--model", "qmap", "--qmap", "map.npy") == 0
    assert (tmp_path / "a.vrc").read_bytes() == (tmp_path / "b.vrc").read_bytes()
    assert run("decode", "a.vrc", "-o", "a.png") == 0


def test_a_map_meets_a_target(run: Run, picture_file: Path, tmp_path: Path) -> None:
    arguments = ["--model", "qmap", "--roi", "0,0,64,64", "--size", "2000"]
    assert run("encode", picture_file, "-o", "a.vrc", *arguments) == 0
    assert 1900 <= (tmp_path / "a.vrc").stat().st_size <= 2000


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model", "gained", "--roi", "0,0,9,9"],
        ["--model", "qmap", "--roi", "0,0,9,9", "--bin-size", "1"],
        ["--model", "qmap", "--roi", "0,0,9"],
        ["--model", "qmap", "--roi", "900,0,9,9"],
        ["--model", "qmap", "--roi", "0,0,9,9", "--qmap", "picture.png"],
        ["--model", "qmap", "--qmap", "none.png"],
        ["--model", "qmap", "--roi-background", "0.1"],
    ],
)
def test_what_does_not_go_together(
    run: Run, picture_file: Path, tmp_path: Path, arguments: list[str]
) -> None:
    assert run("encode", picture_file, "-o", "a.vrc", *arguments) == 2
    assert not (tmp_path / "a.vrc").exists()


@pytest.mark.parametrize("purpose", ["saliency", "text", "uniform", "gradient"])
@pytest.mark.parametrize("name", ["map.png", "map.npy"])
def test_maps_made_from_a_picture(
    run: Run, picture_file: Path, tmp_path: Path, purpose: str, name: str
) -> None:
    arguments = ["--for", purpose, "-o", name, "--low", "0.1", "--high", "0.7"]
    assert run("qmap", picture_file, *arguments) == 0
    levels = read_levels(tmp_path / name, DEFAULT_LIMITS)
    assert levels.shape == (150, 200)
    assert levels.min() >= 0.1 - 1 / 255
    assert levels.max() <= 0.7 + 1 / 255
    assert (levels.max() - levels.min() > 0.3) == (purpose != "uniform")
    assert run("encode", picture_file, "-o", "a.vrc", "--model", "qmap", "--qmap", name) == 0
    assert run("qmap", picture_file, *arguments) == 9
    assert run("qmap", picture_file, *arguments, "-f") == 0


def test_a_text_map_finds_writing(photograph: Pixels) -> None:
    """More of it than of anything else in the picture."""
    from PIL import ImageDraw

    from vrcodec.mapmaking import text

    image = Image.fromarray(photograph)
    ImageDraw.Draw(image).text((110, 100), "small writing\nin a corner", fill=(20, 20, 20))
    levels = text(np.asarray(image))
    assert levels[100:130, 110:180].mean() > 2 * levels.mean()


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, photograph: Pixels) -> None:
    from vrcodec.mapmaking import saliency

    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(UsageError, match=r"vrcodec\[maps\]"):
        saliency(photograph)


TASKS = """
import torch

def left(decoded, original):
    assert decoded.shape == original.shape == (1, 3, 150, 200)
    return 3000 * (decoded - original)[..., :64].square().mean()

def broken(decoded, original):
    raise RuntimeError("no such luck")

def array(decoded, original):
    return decoded

def constant(decoded, original):
    return torch.zeros(())

number = 5
"""


def test_a_task_gets_bits_where_it_looks(
    run: Run, picture_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    arguments = ["--for", "task", "--task", "my_tasks:left", "--steps", "12", "-o", "map.npy"]
    assert run("qmap", picture_file, *arguments) == 0
    levels = np.load(tmp_path / "map.npy")
    assert levels.shape == (150, 200)
    assert levels[:, :64].mean() > levels[:, 96:].mean() + 0.1


@pytest.mark.parametrize(
    "task",
    [
        "my_tasks",
        "no_such:left",
        ":left",
        "my_tasks:none",
        "my_tasks:number",
        "my_tasks:broken",
        "my_tasks:array",
        "my_tasks:constant",
    ],
)
def test_tasks_that_are_none(
    run: Run, picture_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    (tmp_path / "my_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run("qmap", picture_file, "--for", "task", "--task", task, "-o", "map.npy") == 2
    assert not (tmp_path / "map.npy").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--for", "task"], ["--for", "text", "--task", "a:b"], ["--for", "text", "-o", "map.jpg"]],
)
def test_map_making_that_does_not_go_together(
    run: Run, picture_file: Path, arguments: list[str]
) -> None:
    assert run("qmap", picture_file, "-o", "map.npy", *arguments) == 2
