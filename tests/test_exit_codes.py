"""The exit code and the message of every failure of a command, which leaves all files as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import GOLDEN, Command, file_names

Run = Callable[..., int]


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
        (2, ["encode", "picture.png", "--strict"]),
        (2, ["encode", "picture.png", "--null"]),
        (2, ["encode", "picture.png", "--memory", "9" * 400]),
        (2, ["encode", "p*.png", "-o", "pictures.vrc"]),
        (2, ["qmap", "picture.png", "--for", "gradient", "-o", "picture.png", "-f"]),
        (
            2,
            [
                "qmap",
                "picture.png",
                "--for",
                "gradient",
                "-o",
                "m.png",
                "--low",
                "1",
                "--high",
                "0",
            ],
        ),
        (2, ["info", "levels-9.png", "--qmap-out", "levels-9.png", "-f"]),
        (2, ["decode", "levels-9.png", "--progressive", "levels-%d.png", "-f"]),
        (2, ["decode", "levels-9.png", "--progressive", "x-%d.png", "--jobs", "2"]),
        (2, ["decode", "--files-from", "list", "--progressive", "x-%d.png"]),
        (2, ["weights", "fetch", "http://[::1"]),
        (3, ["encode", "picture.png", "--frame", "1"]),
        (3, ["encode", "."]),
        (3, ["encode", ""]),
        (3, ["encode", "absent.png"]),
        (3, ["encode", "std::absent.png"]),
        (3, ["batch", "report", "picture.png"]),
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
        (8, ["encode", "picture.png", "--psnr", "101", "--strict", "--lossless", "never"]),
        (4, ["decode", "future.vrc"]),
        (9, ["encode", "picture.png", "-o", "nowhere/out.vrc"]),
        (9, ["encode", "picture.png", "-o", "nowhere/"]),
        (9, ["encode", "picture.png", "-o", "taken.vrc"]),
        (9, ["encode", "picture.png", "-o", "twin", "--log", "picture.png"]),
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
    (folder / "levels-9.png").write_bytes((GOLDEN / "qarv_photograph.vrc").read_bytes())
    (folder / "list").write_text("levels-9.png")
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
        name: (folder / name).read_bytes()
        for name in file_names(folder)
        if (folder / name).is_file()
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
