"""The command line as people and scripts use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import GOLDEN, Command, Pixels, file_names
from vrcodec import encode
from vrcodec.catalog import DEFAULT_MODEL
from vrcodec.cli.main import COMMANDS

Run = Callable[..., int]


def test_round_trip_by_file_names(run: Run, picture_file: Path, photograph: Pixels) -> None:
    assert run("encode", "picture.png", "--rate", 0.6) == 0
    picture_file.rename(picture_file.with_name("original.png"))
    assert run("decode", "picture.vrc") == 0
    with Image.open(picture_file) as image:
        assert (image.size, image.mode) == ((200, 150), "RGB")
    assert file_names(picture_file.parent) == ["original.png", "picture.png", "picture.vrc"]


def test_output_name_chooses_the_format(run: Run, vrc_file: Path, tmp_path: Path) -> None:
    assert run("decode", vrc_file, "-o", "out.ppm") == 0
    assert (tmp_path / "out.ppm").read_bytes().startswith(b"P6")
    assert run("decode", vrc_file, "-o", "out.gif") == 2
    assert run("decode", vrc_file, "-o", "out.gif", "--format", "png") == 0


def test_several_inputs_and_one_that_fails(
    run: Run, picture_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    (tmp_path / "out").mkdir()
    assert run("encode", "broken.png", "picture.png", "-o", "out") == 1
    assert file_names(tmp_path / "out") == ["picture.vrc", "vrcodec-log.jsonl"]
    assert "broken.png" in capsys.readouterr().err
    assert run("encode", "broken.png", "picture.png", "-o", "new.vrc") == 2


def test_choices_about_pictures(
    run: Run, photograph: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.fromarray(photograph), Image.fromarray(255 - photograph)]
    exif = Image.Exif()
    exif[0x0112] = 6
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], exif=exif)
    assert run("encode", "a.png") == 3
    assert "choose one with --frame" in capsys.readouterr().err
    assert run("encode", "a.png", "--frame", 1, "--strip", "exif,xmp", "--strip", "icc") == 0
    upright = np.ascontiguousarray(np.rot90(255 - photograph, -1))
    assert (tmp_path / "a.vrc").read_bytes() == encode(upright)
    assert run("encode", "a.png", "--frame", 1, "--strip", "all", "--icc", "srgb", "-f") == 0
    assert (tmp_path / "a.vrc").read_bytes() == encode(upright)


def test_force_overwrites(run: Run, picture_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "picture.vrc"
    target.write_bytes(b"old")
    assert run("encode", "picture.png") == 9
    assert target.read_bytes() == b"old"
    assert run("encode", "picture.png", "-f") == 0
    assert target.read_bytes().startswith(b"\x8dVRC")


def test_targets(run: Run, picture_file: Path, tmp_path: Path) -> None:
    assert run("encode", "picture.png", "--size", "2.4kB") == 0
    assert (tmp_path / "picture.vrc").stat().st_size <= 2400
    assert run("encode", "picture.png", "--bpp", "0.6", "-f") == 0
    assert (tmp_path / "picture.vrc").stat().st_size * 8 / 30000 <= 0.6


def test_json(run: Run, picture_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = lambda: (picture_file.parent / "picture.vrc").stat().st_size  # noqa: E731
    assert run("encode", "picture.png", "--json", "-q") == 0
    encoded = json.loads(capsys.readouterr().out)[0]
    assert encoded["bytes"] == size()
    assert encoded["bpp"] == pytest.approx(8 * size() / 30000)
    assert run("info", "picture.vrc", "--json") == 0
    info = json.loads(capsys.readouterr().out)[0]
    assert (info["width"], info["height"], info["mode"], info["model"]) == (
        200,
        150,
        "RGB",
        DEFAULT_MODEL,
    )
    assert info["bytes"] == size()
    assert run("verify", "picture.vrc", "--json", "--full") == 0
    assert json.loads(capsys.readouterr().out)[0]["decoded"] is True
    assert run("decode", "picture.vrc", "-o", "again.png", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["output"] == "again.png"
    assert run("models", "--json") == 0
    families = {card["family"] for card in json.loads(capsys.readouterr().out)}
    assert families == {"gained", "hyperprior", "qarv", "qmap", "qvrf", "slim"}


def test_info_and_models_say_the_same_in_words(
    run: Run, vrc_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("info", vrc_file.name) == 0
    text = capsys.readouterr().out
    assert f"{vrc_file.stat().st_size} bytes" in text
    assert "130x131 RGB" in text
    assert run("models") == 0
    assert "gained" in capsys.readouterr().out


@pytest.mark.parametrize(
    "odd",
    [
        {"curve": [{"bpp": 0.1}]},
        {"curve": {}, "widths": [], "kmac_per_pixel": 3},
        {"bd_rate_percent": None, "parameters": "many"},
        {"date": 20260101, "widths": {"8": None}},
    ],
)
def test_an_odd_card_does_not_hide_the_others(
    run: Run,
    tmp_path: Path,
    odd: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("gained", "qvrf"):
        (tmp_path / f"{name}.safetensors").symlink_to(GOLDEN / f"{name}.safetensors")
        card = json.loads((GOLDEN / f"{name}.json").read_text())
        changed = {**card, **odd} if name == "gained" else card
        (tmp_path / f"{name}.json").write_text(json.dumps(changed))
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(tmp_path))
    for command in (("models",), ("weights", "list", "--here")):
        assert run(*command) == 0
        shown = capsys.readouterr().out
        assert "gained" in shown
        assert "qvrf" in shown


def test_verify_finds_what_only_decoding_can(
    run: Run, vrc_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    from vrcodec.bitstream.container import build_container, parse_container
    from vrcodec.bitstream.latent_stream import build_stream, parse_stream

    assert run("verify", "--full", vrc_file.name) == 0
    parsed = parse_container(vrc_file.read_bytes())
    stream = parse_stream(parsed.chunks[0].payload)
    swapped = bytes([stream.data[0] ^ 1]) + stream.data[1:]
    chunk = replace(parsed.chunks[0], payload=build_stream(replace(stream, data=swapped)))
    vrc_file.write_bytes(build_container(replace(parsed, chunks=[chunk])))
    assert run("verify", vrc_file.name) == 0
    assert run("verify", "--full", vrc_file.name) == 5


def test_help_is_there_for_every_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    overview = capsys.readouterr().out
    for command in COMMANDS:
        assert command in overview
        assert run(command, "--help") == 0
        assert "Usage: vrcodec " + command in capsys.readouterr().out


def test_shell_completion(vrcodec: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_VRCODEC_COMPLETE", "bash_source")
    assert b"complete" in vrcodec().stdout
