"""Bad days: what a command leaves when it is killed, interrupted, or finds no room."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import trouble
from tests.conftest import GOLDEN, Pixels
from vrcodec import files
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import OutputError
from vrcodec.files import write_atomically
from vrcodec.picture.picture import Picture

Run = Callable[..., int]

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

WRITE_OVER_AND_OVER = """
import sys
from pathlib import Path
from vrcodec.files import write_atomically
path, size = Path(sys.argv[1]), 300_000
write_atomically(path, b"a" * size, overwrite=True)
print(flush=True)
while True:
    for letter in (b"b", b"a"):
        write_atomically(path, letter * size, overwrite=True)
"""


@pytest.fixture
def folder(tmp_path: Path, picture_file: Path) -> Path:
    (tmp_path / "photograph.vrc").write_bytes((GOLDEN / "photograph.vrc").read_bytes())
    return tmp_path


ENCODE = ("encode", "picture.png", "-o", "out.vrc", "--model", "slim", "-q")
DECODE = ("decode", "photograph.vrc", "-o", "out.png", "-q")


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "number"),
    [(ENCODE, signal.SIGKILL), (DECODE, signal.SIGINT), (ENCODE, signal.SIGTERM)],
    ids=["encode-kill", "decode-int", "encode-term"],
)
def test_at_any_moment(folder: Path, arguments: tuple[str, ...], number: int) -> None:
    """The output is absent or whole, with -f the old or the new one; no traceback, no temporary file."""
    trials = trouble.Trials(folder, arguments, folder / arguments[3], number)
    trials.run(2, random.Random(number))
    assert trials.absent + trials.old + trials.new == 2


@linux
@pytest.mark.parametrize("nameless", [True, False])
def test_a_kill_in_the_midst_of_writing(tmp_path: Path, nameless: bool) -> None:
    script = WRITE_OVER_AND_OVER
    if not nameless:
        script = "from vrcodec import files\nfiles._NAMELESS = 0\n" + script
    found = trouble.killed_while_writing(tmp_path, 12, random.Random(1), script)
    assert found <= {b"a" * 300_000, b"b" * 300_000}


def test_a_write_without_nameless_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_NAMELESS", 0)
    path = tmp_path / "out"
    write_atomically(path, b"one", overwrite=False)
    with pytest.raises(OutputError, match="-f"):
        write_atomically(path, b"two", overwrite=False)
    write_atomically(path, b"two", overwrite=True)
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["out"]


@linux
def test_a_file_system_that_cannot_give_a_name_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(handle: int, name: str) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(files, "_link", refused)
    path = tmp_path / "out"
    for content in (b"one", b"two"):
        write_atomically(path, content, overwrite=True)
        assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("nameless", [True, False])
def test_one_of_many_writers_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool
) -> None:
    if not nameless:
        monkeypatch.setattr(files, "_NAMELESS", 0)
    path, refused = tmp_path / "out", []

    def write(number: int) -> None:
        try:
            write_atomically(path, bytes([number]) * 100_000, overwrite=False)
        except OutputError:
            refused.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    assert len(set(path.read_bytes())) == 1
    assert os.listdir(tmp_path) == ["out"]


def test_temporary_files_can_be_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a signal does in the midst of writing."""
    monkeypatch.setattr(files, "_NAMELESS", 0)

    def interrupted(handle: int) -> None:
        files.discard_partials()
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "out", b"data", overwrite=False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("arguments", [ENCODE, DECODE], ids=["encode", "decode"])
def test_no_room(folder: Path, arguments: tuple[str, ...]) -> None:
    def short() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    before = sorted(os.listdir(folder))
    ended = trouble.run(folder, *arguments, preexec_fn=short)
    assert ended.code == 9
    assert arguments[3] in ended.errors
    assert sorted(os.listdir(folder)) == before


@linux
@pytest.mark.parametrize("target", ["/dev/full", "/proc/out.png", "/proc/self/out.png"])
def test_outputs_that_take_nothing(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    assert run(*DECODE[:2], "-o", target, "--format", "png") == 9
    message = capsys.readouterr().err
    assert target in message
    assert "Traceback" not in message


@linux
@pytest.mark.parametrize(
    "arguments", [("info", "photograph.vrc"), ("--help",), (*DECODE[:2], "-o", "-")]
)
def test_a_standard_output_that_is_full(folder: Path, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = trouble.run(folder, *arguments, stdout=full)
    assert ended.code == 9
    assert ended.errors == "vrcodec: <stdout>: cannot be written: No space left on device\n"


@pytest.mark.parametrize("arguments", [("info", "photograph.vrc"), (*DECODE[:2], "-o", "-")])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_standard_output_with_too_little_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], unbuffered: str
) -> None:
    """A stream without a buffer writes what fits, and says nothing of the rest."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)

    def short() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    with (folder / "out").open("wb") as out:
        ended = trouble.run(folder, *arguments, stdout=out, preexec_fn=short)
    assert ended.code == 9
    assert ended.errors == "vrcodec: <stdout>: cannot be written: File too large\n"


def test_an_output_folder_that_goes_away(folder: Path) -> None:
    away = folder / "away"
    away.mkdir()
    process = trouble.start(
        folder, "encode", "-", "-o", "away/out.vrc", "--model", "slim", stdin=subprocess.PIPE
    )
    time.sleep(1)
    away.rmdir()
    ended = trouble.end(process, (folder / "picture.png").read_bytes())
    assert ended.code == 9
    assert "away/out.vrc" in ended.errors


def test_inputs_that_change_and_go_away(folder: Path) -> None:
    """While the first one, from stdin, keeps the command waiting."""
    picture = (folder / "picture.png").read_bytes()
    for name in ("gone.png", "cut.png", "folder.png"):
        (folder / name).write_bytes(picture)
    (folder / "out").mkdir()
    inputs = ("-", "gone.png", "cut.png", "folder.png", "picture.png")
    process = trouble.start(
        folder, "encode", *inputs, "-o", "out", "--model", "slim", "-q", stdin=subprocess.PIPE
    )
    time.sleep(1)
    (folder / "gone.png").unlink()
    (folder / "cut.png").write_bytes(picture[: len(picture) // 2])
    (folder / "folder.png").unlink()
    (folder / "folder.png").mkdir()
    ended = trouble.end(process, picture)
    assert ended.code == 1
    lines = ended.errors.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["gone.png", "cut.png", "folder.png"]
    assert sorted(os.listdir(folder / "out")) == ["picture.vrc", "stdin.vrc"]


def test_a_named_pipe_as_input(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    process = trouble.start(folder, "encode", "pipe.png", "-o", "out.vrc", "--model", "slim")
    (folder / "pipe.png").write_bytes((folder / "picture.png").read_bytes())
    assert trouble.end(process).code == 0
    assert trouble.is_whole(folder / "out.vrc")


def test_commands_at_once(folder: Path) -> None:
    """Into one folder all succeed, to one name one of them."""
    for number in range(2):
        (folder / f"{number}.png").write_bytes((folder / "picture.png").read_bytes())
    own = [trouble.start(folder, "encode", f"{n}.png", "--model", "slim") for n in range(2)]
    same = [trouble.start(folder, *ENCODE) for _ in range(2)]
    assert [trouble.end(process).code for process in own] == [0, 0]
    assert sorted(trouble.end(process).code for process in same) == [0, 9]
    assert all(trouble.is_whole(folder / name) for name in ("0.vrc", "1.vrc", "out.vrc"))
    assert not list(folder.glob(".*"))


@linux
def test_many_pictures_in_one_process(photograph: Pixels) -> None:
    encoder, decoder = Encoder("slim"), Decoder()
    pictures = [Picture.from_array(photograph[: 20 + n, : 30 + n].copy()) for n in range(10)]

    def work(rounds: int) -> tuple[int, int]:
        for _ in range(rounds):
            for picture in pictures:
                decoder.decode(encoder.encode(picture, 30000))
        return trouble.resident(), len(os.listdir("/proc/self/fd"))

    work(10)
    memory, opened = work(10)
    later, still = work(20)
    assert later - memory < 8 << 20
    assert still == opened


def test_signals_raise_where_there_is_something_to_keep() -> None:
    from vrcodec.cli.shared import signals

    before = {n: signal.getsignal(n) for n in signals._SIGNALS}
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signals.install()
        with pytest.raises(KeyboardInterrupt), signals.as_exceptions():
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(SystemExit), signals.as_exceptions():
            os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGINT) is signals._end_process
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signals.install()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
