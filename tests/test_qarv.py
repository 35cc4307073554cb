"""The hierarchical family: any prefix of a file is a picture, and a decoder needs half of the weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import vrcodec
from tests.conftest import GOLDEN, Command, Pixels
from vrcodec.bitstream import schema
from vrcodec.bitstream.container import build_container, parse_container
from vrcodec.bitstream.progressive import build_progressive
from vrcodec.catalog import encoder_path, find_by_family
from vrcodec.codec import Decoder, Encoder, Engine
from vrcodec.errors import CorruptError, FormatError, UsageError, VrcError, WeightsError
from vrcodec.metrics import psnr
from vrcodec.models import Qarv, Qvrf
from vrcodec.models.networks.hierarchy import (
    ALL_PHASES,
    LatentSpec,
    gather_samples,
    scatter_samples,
)
from vrcodec.models.weights import load_trainable
from vrcodec.picture.picture import Picture
from vrcodec.training.recipes.recipe import Recipe
from vrcodec.training.session import Session, train
from vrcodec.training.transfer import initialise_qarv

Run = Callable[..., int]

LEVELS = 9
# Of three sizes, one of them of two blocks.
FILES = ("qarv_dot", "qarv_grey", "qarv_two_blocks")


@pytest.fixture
def qarv() -> Encoder:
    return Encoder("qarv", Engine("cpu", "float32"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "photograph.vrc"
    shutil.copy(GOLDEN / "qarv_photograph.vrc", path)
    return path


def level_ends(data: bytes) -> list[int]:
    """At which byte of a file each level is complete."""
    offset = parse_container(data).latent_chunks()[0].offset
    ends = offset + np.cumsum(vrcodec.inspect(data).levels)
    found: list[int] = ends.tolist()
    return found


@pytest.mark.parametrize("name", FILES)
def test_any_prefix_is_an_error_or_the_picture_of_its_levels(decoder: Decoder, name: str) -> None:
    data = (GOLDEN / f"{name}.vrc").read_bytes()
    whole, ends = decoder.read(data), level_ends(data)
    assert len(ends) == LEVELS
    for length in range(len(data)):
        cut = data[:length]
        with pytest.raises(FormatError if length == 0 else CorruptError):
            decoder.read(cut)
        complete = sum(end <= length for end in ends)
        if not complete:
            with pytest.raises(VrcError):
                decoder.read(cut, partial=True)
            continue
        coded = decoder.read(cut, partial=True)
        assert (coded.available_levels, coded.level_count, coded.complete) == (
            complete,
            LEVELS,
            False,
        )
        # What decides the picture: then it is the picture of these levels.
        assert coded.streams == [stream.truncate(complete) for stream in whole.streams]
    for level, end in enumerate(ends, 1):
        expected = decoder.decode(data, level).pixels
        assert (decoder.decode(data[:end], partial=True).pixels == expected).all()


def test_more_levels_are_a_better_picture(qarv: Encoder, photograph: Pixels) -> None:
    decoder, picture = Decoder(), Picture.from_array(photograph)
    coded = decoder.read(qarv.encode(picture, 50_000))
    quality = [psnr(photograph, decoder.reconstruct(coded, k).pixels) for k in range(1, LEVELS + 1)]
    # Those at 1/16, from the first to the last; the coarse ones tell what to expect of them.
    assert quality[2:] == sorted(quality[2:])
    assert quality[-1] > quality[1] + 6


def test_a_whole_file_needs_no_mercy(decoder: Decoder) -> None:
    data = (GOLDEN / "qarv_photograph.vrc").read_bytes()
    coded = decoder.read(data, partial=True)
    assert (coded.complete, coded.available_levels) == (True, LEVELS)
    with pytest.raises(CorruptError):
        decoder.read(data + b"\0", partial=True)


@given(st.data())
def test_damage_in_a_file_that_ends_early_is_noticed(draw: st.DataObject) -> None:
    """There the chunk's checksum is missing; those of its levels stand in."""
    decoder = Decoder(Engine("cpu", "float32"))
    data = (GOLDEN / "qarv_grey.vrc").read_bytes()
    ends = level_ends(data)
    length = draw.draw(st.integers(ends[3], len(data) - 1))
    place = draw.draw(st.integers(0, length - 1))
    damaged = bytearray(data[:length])
    damaged[place] ^= 1 << draw.draw(st.integers(0, 7))
    complete = sum(end <= length for end in ends)
    try:
        coded = decoder.read(bytes(damaged), partial=True)
        pixels = decoder.reconstruct(coded).pixels
    except VrcError:
        return
    # The damage lies behind the last complete level, or says that there are fewer.
    assert coded.available_levels <= complete
    assert (pixels == decoder.decode(data, coded.available_levels).pixels).all()


def test_levels_can_be_asked_for(decoder: Decoder) -> None:
    data = (GOLDEN / "qarv_photograph.vrc").read_bytes()
    for levels in (0, LEVELS + 1):
        with pytest.raises(UsageError, match=f"no level {levels}: the file has {LEVELS}"):
            decoder.decode(data, levels)
    image = vrcodec.decode(data, levels=4)
    assert image.info["levels"] == (4, LEVELS)
    cut = vrcodec.decode(data[: level_ends(data)[3]], partial=True)
    assert cut.info["levels"] == (4, LEVELS)
    assert cut.tobytes() == image.tobytes()
    other = (GOLDEN / "photograph.vrc").read_bytes()
    assert vrcodec.decode(other, levels=1).info["levels"] == (1, 1)
    with pytest.raises(UsageError, match="no level 2: the file has 1"):
        vrcodec.decode(other, levels=2)
    with pytest.raises(CorruptError, match="truncated"):
        vrcodec.decode(other[:-1], partial=True)


def test_blocks_do_not_know_of_each_other(qarv: Encoder) -> None:
    """So a block decodes alone, and the files of one are the streams of the other."""
    random = np.random.default_rng(5)
    left, right = random.integers(0, 256, (2, 48, 1024, 3), np.uint8)
    both = Picture.from_array(np.concatenate([left, right], axis=1))
    # The analysis sees across the border, so the latents are given.
    latents = qarv.analyse(both)
    streams = qarv.model.compress(latents, qarv.model.rate_parameters(20_000))
    half = replace(latents, y=latents.y[..., 64:])
    assert qarv.model.compress(half, qarv.model.rate_parameters(20_000)) == streams[1:]


@pytest.mark.parametrize("height", range(1, 6))
@pytest.mark.parametrize("width", range(1, 6))
def test_phases_are_all_samples_once(height: int, width: int) -> None:
    x = torch.rand(1, 2, height, width)
    sums = torch.zeros_like(x)
    for phase in ALL_PHASES:
        places = LatentSpec(2, (phase,)).positions(height, width, x.device)
        sums += scatter_samples(gather_samples(x, places), places, (height, width))
    assert (sums == x).all()
    assert len(LatentSpec(2, (0,)).positions(height, width, x.device)) == -(-height // 2) * -(
        -width // 2
    )


def test_latents_that_are_not_those_of_the_model_are_refused(decoder: Decoder) -> None:
    data = (GOLDEN / "qarv_photograph.vrc").read_bytes()
    container = parse_container(data)
    progressive = container.latent_chunks()[0]
    as_stream = replace(container, chunks=[replace(progressive, type=schema.CHUNK_STREAM)])
    with pytest.raises(CorruptError, match="not those of its model"):
        decoder.decode(build_container(as_stream))
    streams = decoder.read(data).streams
    fewer = [
        replace(s.truncate(3), symbols_crc=0, ends=s.ends[:2], data=s.data[: s.ends[2].size])
        for s in streams
    ]
    short = replace(container, chunks=[replace(progressive, payload=build_progressive(fewer))])
    with pytest.raises(CorruptError, match="3 levels, and its model has 9"):
        decoder.decode(build_container(short))
    twice = replace(container, chunks=[progressive, progressive])
    with pytest.raises(CorruptError):
        decoder.decode(build_container(twice))


# --- the command line ---


def test_progressive_writes_the_ladder(
    run: Run, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("decode", file.name, "--progressive", "out-%02d.png", "--json") == 0
    results = json.loads(capsys.readouterr().out)
    assert [r["output"] for r in results] == [f"out-{k:02d}.png" for k in range(1, LEVELS + 1)]
    assert [r["levels"] for r in results] == list(range(1, LEVELS + 1))
    assert run("decode", file.name, "--levels", 4, "-o", "four.png") == 0
    assert (tmp_path / "four.png").read_bytes() == (tmp_path / "out-04.png").read_bytes()
    assert run("decode", file.name, "-o", "whole.png") == 0
    assert (tmp_path / "whole.png").read_bytes() == (tmp_path / "out-09.png").read_bytes()


def test_progressive_overwrites_only_when_told(run: Run, file: Path, tmp_path: Path) -> None:
    (tmp_path / "7.ppm").touch()
    assert run("decode", file.name, "--progressive", "%d.ppm") == 9
    assert not (tmp_path / "1.ppm").exists()
    assert run("decode", file.name, "--progressive", "%d.ppm", "-f") == 0
    assert len(list(tmp_path.glob("?.ppm"))) == LEVELS


@pytest.mark.parametrize(
    "arguments",
    [
        ("--progressive", "out.png"),
        ("--progressive", "%d-%d.png"),
        ("--progressive", "%s.png"),
        ("--progressive", "%d%.png"),
        ("--progressive", "%d.png", "-o", "x.png"),
        ("--progressive", "%d.png", "--levels", "2"),
        ("--progressive", "%d.png", "other.vrc"),
        ("--levels", "0"),
        ("--levels", "10"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    run: Run, file: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert run("decode", file.name, *arguments) == 2
    assert list(tmp_path.iterdir()) == [file]


def test_a_percent_sign_can_be_in_a_name(run: Run, file: Path, tmp_path: Path) -> None:
    assert run("decode", file.name, "--progressive", "%d%%.png") == 0
    assert (tmp_path / "1%.png").exists()


def test_a_truncated_file_decodes_when_asked(
    run: Run, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: level_ends(data)[5] + 1])
    assert run("decode", file.name, "-o", "out.png") == 5
    assert run("info", file.name) == 5
    assert run("verify", file.name) == 5
    assert not (tmp_path / "out.png").exists()
    assert "--partial decodes the levels" in capsys.readouterr().err
    assert run("decode", file.name, "-o", "out.png", "--partial") == 0
    assert "6 of 9 levels are complete" in capsys.readouterr().err
    assert run("decode", file.name, "--progressive", "p%d.png", "--partial") == 0
    assert len(list(tmp_path.glob("p*.png"))) == 6
    assert (tmp_path / "p6.png").read_bytes() == (tmp_path / "out.png").read_bytes()
    file.write_bytes(data[: level_ends(data)[0] - 1])
    assert run("decode", file.name, "-o", "none.png", "--partial") == 5
    assert not (tmp_path / "none.png").exists()


def test_a_pipe_that_ends_early(vrcodec: Command, file: Path) -> None:
    data = file.read_bytes()
    cut = data[: level_ends(data)[3]]
    assert vrcodec("decode", "-", "-o", "-", input=cut).returncode == 5
    done = vrcodec("decode", "-", "-o", "-", "--partial", input=cut)
    assert done.returncode == 0
    assert b"4 of 9 levels" in done.stderr
    assert done.stdout.startswith(b"\x89PNG")


def test_info_lists_the_levels(run: Run, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", file.name, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert len(found["levels"]) == LEVELS
    assert sum(found["levels"]) == sum(found["streams"])
    assert run("info", file.name) == 0
    assert f"9, {found['levels'][0]} + {found['levels'][1]} + " in capsys.readouterr().out
    assert run("info", str(GOLDEN / "dot.vrc")) == 0
    assert "levels" not in capsys.readouterr().out


# --- two files of weights ---


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny weights, to be damaged."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for path in GOLDEN.glob("qarv*.*"):
        shutil.copy(path, folder)
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(folder))
    return folder


def test_a_decoder_does_not_need_the_encoders_weights(weights: Path, file: Path) -> None:
    apart = encoder_path(weights / "qarv.safetensors")
    apart.unlink()
    with Image.open(GOLDEN / "qarv_photograph.png") as image:
        expected = np.asarray(image).astype(int)
    pixels = Decoder().decode(file.read_bytes()).pixels
    assert np.abs(pixels - expected).max() <= 1
    with pytest.raises(WeightsError, match=apart.name):
        Encoder("qarv")


def test_damaged_weights_of_the_encoder_are_refused(weights: Path) -> None:
    apart = encoder_path(weights / "qarv.safetensors")
    data = bytearray(apart.read_bytes())
    data[-1] ^= 1
    apart.write_bytes(data)
    with pytest.raises(WeightsError, match="install them again"):
        Encoder("qarv")


# --- training ---


def test_training_starts_with_the_transforms_of_qvrf() -> None:
    source = load_trainable(find_by_family("qvrf"))
    assert isinstance(source, Qvrf)
    model = Qarv(load_trainable(find_by_family("qarv")).size)
    model.attach_training()
    x = torch.rand(2, 3, 64, 96)
    named = initialise_qarv(model, source, x)
    assert {name.split(".")[0] for name in named} == {"encoder", "synthesis_net"}
    y = source.analysis_net(x - 0.5)
    assert model.encoder is not None
    assert torch.equal(model.encoder.analysis_net(x - 0.5), y)
    rate = torch.tensor([0.7, 0.7])
    # At the finest steps what is decoded is what the source would decode.
    with torch.no_grad():
        for level in model.descent.levels()[-1]:
            level.log2_gain += 8
        model.eval()
        found = model(x, rate)["x_hat"]
        expected = source.synthesis_net(source.restore(y, source.gains(rate))) + 0.5
    assert isinstance(found, torch.Tensor)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("source", ["qvrf", "qarv", None])
def test_a_session_leaves_both_files(
    tmp_path: Path, photograph: Pixels, monkeypatch: pytest.MonkeyPatch, source: str | None
) -> None:
    folder, target = tmp_path / "data", tmp_path / "run"
    folder.mkdir()
    Image.fromarray(photograph).save(folder / "photograph.png")
    size = load_trainable(find_by_family("qarv")).size
    recipe = Recipe(family="qarv", size=size, crop=64, batch=2, optimizer="muon")
    init = GOLDEN / f"{source}.safetensors" if source else None
    train(Session(recipe, (folder,), target, steps=2, init=init, device="cpu"))
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(target))
    entry = find_by_family("qarv")
    assert entry.path.parent == target
    assert entry.card["training"][-1]["samples"] == 4
    assert entry.encoder_id is not None
    data = Encoder("qarv").encode(Picture.from_array(photograph), 30_000)
    assert Decoder().decode(data).pixels.shape == photograph.shape


def test_other_families_are_no_start(tmp_path: Path, photograph: Pixels) -> None:
    Image.fromarray(photograph).save(tmp_path / "photograph.png")
    size = load_trainable(find_by_family("qarv")).size
    recipe = Recipe(family="qarv", size=size, crop=64, batch=2)
    init = GOLDEN / "gained.safetensors"
    with pytest.raises(WeightsError, match="starts from the weights of qvrf"):
        train(Session(recipe, (tmp_path,), tmp_path / "run", steps=1, init=init, device="cpu"))


def test_gradient_reaches_every_parameter(photograph: Pixels) -> None:
    model = load_trainable(find_by_family("qarv")).train()
    x = torch.from_numpy(photograph[:128, :128]).permute(2, 0, 1).unsqueeze(0) / 255
    out = model(x, torch.tensor([0.43]))
    likelihoods = out["likelihoods"]
    assert isinstance(likelihoods, dict)
    assert len(likelihoods) == LEVELS
    bits = sum(-torch.log2(p).sum() for p in likelihoods.values())
    x_hat = out["x_hat"]
    assert isinstance(x_hat, torch.Tensor)
    (bits + 1e4 * (x_hat - x).square().sum()).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # Knots that this rate is not between.
    assert not [n for n in without if "log" not in n]


def test_training_estimate_and_bytes_agree(photograph: Pixels) -> None:
    picture = photograph[:144, :192]
    model = load_trainable(find_by_family("qarv"))
    x = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).unsqueeze(0) / 255
    with torch.no_grad():
        likelihoods = model(x, torch.tensor([0.5]))["likelihoods"]
    assert isinstance(likelihoods, dict)
    estimated = sum(float(-torch.log2(p).sum()) for p in likelihoods.values()) / 8
    data = Encoder("qarv").encode(Picture.from_array(np.ascontiguousarray(picture)), 32768)
    assert len(data) == pytest.approx(estimated, rel=0.05, abs=90)
