"""The parts of a visit to a GPU, tried without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import gpu


def make_folder(folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    contents = {"checkpoint.pt": bytes(range(256)) * 9000, "log.csv": b"step\n50\n"}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (folder / ".lock").touch()
    return contents


def test_a_folder_travels_in_pieces(tmp_path: Path) -> None:
    contents = make_folder(tmp_path / "trunk")
    # Some of them at a time, as a connection with a limit needs it.
    first = gpu.pack(tmp_path / "trunk", tmp_path / "pieces", 1, slice(0, 2))
    assert [path.name for path in first] == ["piece-000-of-003", "piece-001-of-003"]
    assert max(path.stat().st_size for path in first) <= 2**20
    with pytest.raises(SystemExit, match="missing"):
        gpu.unpack(tmp_path / "pieces", tmp_path / "home")
    gpu.pack(tmp_path / "trunk", tmp_path / "pieces", 1, slice(2, None))
    gpu.unpack(tmp_path / "pieces", tmp_path / "home")
    assert {p.name: p.read_bytes() for p in (tmp_path / "home").iterdir()} == contents


def test_a_damaged_piece_is_noticed(tmp_path: Path) -> None:
    make_folder(tmp_path / "trunk")
    first, *_ = gpu.pack(tmp_path / "trunk", tmp_path / "pieces", 1)
    first.write_bytes(b"x" + first.read_bytes()[1:])
    with pytest.raises(SystemExit, match="damaged"):
        gpu.unpack(tmp_path / "pieces", tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_files_are_decoded_on_both_sides() -> None:
    crossings = gpu.check("cpu", ["slim"], [(96, 64)])
    assert [crossing.rate for crossing in crossings] == [0.1, 0.5, 0.9]
    assert all(crossing.largest_step == 0 and crossing.bytes > 50 for crossing in crossings)


def test_speed_is_measured_for_each_size() -> None:
    rows = gpu.speed("cpu", ["slim"], [(96, 64), (64, 64)])
    assert [row["size"] for row in rows] == ["96x64", "64x64"]
    assert all(row["encode_ms"] > 0 and row["decode_ms"] > 0 for row in rows)
