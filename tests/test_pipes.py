"""Commands between pipes, on a terminal, and under signals."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import GOLDEN, ROOT, Command, file_names


def test_round_trip_through_pipes(vrcodec: Command, picture_file: Path) -> None:
    encoded = vrcodec("encode", "-", "-q", input=picture_file.read_bytes())
    assert (encoded.returncode, encoded.stderr) == (0, b"")
    for output, kind in (("png", "PNG"), ("ppm", "PPM")):
        decoded = vrcodec("decode", "-", "-q", "--format", output, input=encoded.stdout)
        with Image.open(io.BytesIO(decoded.stdout)) as image:
            assert (image.format, image.size) == (kind, (200, 150))
    decoded = vrcodec("decode", "-", "--format", "npy", input=encoded.stdout)
    assert np.load(io.BytesIO(decoded.stdout)).shape == (150, 200, 3)


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


@pytest.mark.parametrize(
    "arguments",
    [("models",), ("encode", "a.png", "b.png", "-o", ".", "--model", "gained", "--log", "-")],
)
def test_tables_and_logs_end_quietly_too(
    tmp_path: Path, picture_file: Path, arguments: tuple[str, ...]
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(picture_file.read_bytes())
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-m", "vrcodec", *arguments],
        stdout=writer,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        check=False,
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, b"")


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
    assert file_names(tmp_path) == []


def _waits_for_input(pid: int) -> bool:
    return "pipe_read" in Path(f"/proc/{pid}/wchan").read_text() or _sleeping_long(pid)


def _sleeping_long(pid: int) -> bool:
    """Whether the process has used no processor time over a second: it is blocked on stdin."""
    times = []
    for _ in range(2):
        times.append(Path(f"/proc/{pid}/stat").read_text().split()[13:15])
        time.sleep(1)
    return times[0] == times[1]
