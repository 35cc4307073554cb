"""The command line as people and scripts use it."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import GOLDEN, ROOT, Command, Pixels
from vrcodec import encode
from vrcodec.catalog import DEFAULT_MODEL
from vrcodec.cli.main import COMMANDS

Run = Callable[..., int]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_round_trip_by_file_names(run: Run, picture_file: Path, photograph: Pixels) -> None:
    assert run("encode", "picture.png", "--rate", 0.6) == 0
    picture_file.rename(picture_file.with_name("original.png"))
    assert run("decode", "picture.vrc") == 0
    with Image.open(picture_file) as image:
        assert (image.size, image.mode) == ((200, 150), "RGB")
    assert files(picture_file.parent) == ["original.png", "picture.png", "picture.vrc"]


def test_round_trip_through_pipes(vrcodec: Command, picture_file: Path) -> None:
    encoded = vrcodec("encode", "-", "-q", input=picture_file.read_bytes())
    assert (encoded.returncode, encoded.stderr) == (0, b"")
    for output, kind in (("png", "PNG"), ("ppm", "PPM")):
        decoded = vrcodec("decode", "-", "-q", "--format", output, input=encoded.stdout)
        with Image.open(io.BytesIO(decoded.stdout)) as image:
            assert (image.format, image.size) == (kind, (200, 150))
    decoded = vrcodec("decode", "-", "--format", "npy", input=encoded.stdout)
    assert np.load(io.BytesIO(decoded.stdout)).shape == (150, 200, 3)


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
    assert files(tmp_path / "out") == ["picture.vrc", "vrcodec-log.jsonl"]
    assert "broken.png" in capsys.readouterr().err
    assert run("encode", "broken.png", "picture.png", "-o", "new.vrc") == 2


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ["encode"]),
        (2, ["encode", "picture.png", "--rate", "1.5"]),
        (2, ["encode", "picture.png", "--rate", "0.5", "--bpp", "1"]),
        (2, ["encode", "picture.png", "--size", "many"]),
        (2, ["encode", "picture.png", "--device", "abacus"]),
        (2, ["encode", "picture.png", "-o", "picture.png", "-f"]),
        (2, ["nonsense"]),
        (2, ["encode", "picture.png", "picture.png", "-o", "."]),
        (2, ["encode", "picture.png", "twin/picture.png", "-o", "twin", "-f"]),
        (2, ["decode", "photograph.vrc", "-o", "taken.vrc", "-f"]),
        (2, ["encode", "picture.png", "--bpp", "nan"]),
        (2, ["encode", "picture.png", "--strip", "gps"]),
        (2, ["encode", "picture.png", "--icc", "adobe"]),
        (2, ["encode", "picture.png", "--frame", "-1"]),
        (3, ["encode", "picture.png", "--frame", "1"]),
        (3, ["encode", "."]),
        (3, ["encode", ""]),
        (3, ["encode", "absent.png"]),
        (3, ["encode", "photograph.vrc", "-o", "out.vrc"]),
        (3, ["decode", "absent.vrc"]),
        (4, ["decode", "picture.png", "-o", "out.png"]),
        (4, ["info", "picture.png"]),
        (5, ["decode", "cut.vrc"]),
        (5, ["info", "cut.vrc"]),
        (5, ["verify", "cut.vrc"]),
        (6, ["encode", "picture.png", "--model", "absent"]),
        (6, ["decode", "foreign.vrc"]),
        (7, ["encode", "picture.png", "--max-pixels", "10"]),
        (7, ["decode", "photograph.vrc", "--max-pixels", "10"]),
        (8, ["encode", "picture.png", "--strict", "--size", "50"]),
        (8, ["encode", "picture.png", "--psnr", "80", "--strict"]),
        (4, ["decode", "future.vrc"]),
        (9, ["encode", "picture.png", "-o", "nowhere/out.vrc"]),
        (9, ["encode", "picture.png", "-o", "nowhere/"]),
        (9, ["encode", "picture.png", "-o", "taken.vrc"]),
        (10, ["encode", "picture.png", "--device", "cuda:77"]),
    ],
)
def test_exit_codes(
    run: Run,
    picture_file: Path,
    vrc_file: Path,
    capsys: pytest.CaptureFixture[str],
    code: int,
    arguments: list[str],
) -> None:
    folder = picture_file.parent
    data = vrc_file.read_bytes()
    (folder / "twin").mkdir()
    (folder / "twin" / "picture.png").write_bytes(picture_file.read_bytes())
    (folder / "cut.vrc").write_bytes(data[:-9])
    (folder / "taken.vrc").write_bytes(b"precious")
    (folder / "foreign.vrc").write_bytes(changed(data, weights_id=b"\1" * 8))
    (folder / "future.vrc").write_bytes(changed(data, method=9))
    before = contents(folder)
    assert run(*arguments) == code
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert message.strip()
    assert contents(folder) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {
        name: (folder / name).read_bytes() for name in files(folder) if (folder / name).is_file()
    }


def changed(data: bytes, **fields: object) -> bytes:
    """The same file with another header."""
    from dataclasses import replace

    from vrcodec.bitstream.container import build_container, parse_container

    parsed = parse_container(data)
    return build_container(replace(parsed, header=replace(parsed.header, **fields)))


def test_errors_name_the_file(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.vrc").write_bytes((GOLDEN / "dot.vrc").read_bytes()[:-1])
    for command in ("decode", "info", "verify"):
        run(command, "bad.vrc")
        assert "bad.vrc" in capsys.readouterr().err


def test_traceback_only_on_request(vrcodec: Command) -> None:
    assert b"Traceback" not in vrcodec("decode", "absent.vrc", "-v").stderr
    assert b"Traceback" in vrcodec("decode", "absent.vrc", "-vv").stderr


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
    assert families == {"gained", "qarv", "qmap", "qvrf", "slim"}


def test_info_and_models_say_the_same_in_words(
    run: Run, vrc_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("info", vrc_file.name) == 0
    text = capsys.readouterr().out
    assert f"{vrc_file.stat().st_size} bytes" in text
    assert "130x131 RGB" in text
    assert run("models") == 0
    assert "gained" in capsys.readouterr().out


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


def test_binary_output_is_kept_off_the_terminal(picture_file: Path) -> None:
    main, child = pty.openpty()
    result = subprocess.run(
        [sys.executable, "-m", "vrcodec", "encode", str(picture_file), "-o", "-"],
        stdout=child,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    os.close(child)
    os.close(main)
    assert result.returncode == 9
    assert b"terminal" in result.stderr


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vrcodec", "decode", str(GOLDEN / "photograph.vrc")]
    process = subprocess.Popen(
        [*command, "-o", "-", "-q", "--format", "npy"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(60) == 141


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_interruption_leaves_nothing(tmp_path: Path, number: int, code: int) -> None:
    """The process waits for its input when the signal comes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vrcodec", "encode", "-", "-o", "out.vrc"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        # A shell that runs the tests in the background has them ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not _waits_for_input(process.pid):
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == code
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    assert files(tmp_path) == []


def _waits_for_input(pid: int) -> bool:
    return "pipe_read" in Path(f"/proc/{pid}/wchan").read_text() or _sleeping_long(pid)


def _sleeping_long(pid: int) -> bool:
    """Whether the process has used no processor time over a second: it is blocked on stdin."""
    times = []
    for _ in range(2):
        times.append(Path(f"/proc/{pid}/stat").read_text().split()[13:15])
        time.sleep(1)
    return times[0] == times[1]


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
