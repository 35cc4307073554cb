"""What the tests of many files share: works that are quick, slow, or deadly, and can be sent to processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import skimage.data
from PIL import Image

from vrcodec.batch.items import Item, UnbatchedWork
from vrcodec.bitstream.inspection import inspect
from vrcodec.cli import batch
from vrcodec.cli.shared.encode_work import EncodeWork
from vrcodec.errors import InputError


@dataclass
class Echo(UnbatchedWork):
    """Gives back what it gets, with a letter in front."""

    weights: str = "w"
    settings: str = "s"

    def code(self, name: str, data: bytes) -> dict[str, Any]:
        return {"data": b"!" + data, "input": name, "width": 10, "height": 10, "seconds": 0.0}


@dataclass
class Fragile(Echo):
    """Refuses what says bad; is killed by what says deadly, ``lives`` times, which ``folder`` counts."""

    folder: Path = Path()
    lives: int = 1 << 30

    def code(self, name: str, data: bytes) -> dict[str, Any]:
        if data == b"bad":
            raise InputError(f"{name}: bad")
        if data == b"bug":
            raise ZeroDivisionError
        deaths = len(list(self.folder.glob(f"{Path(name).name}.death*")))
        if data == b"deadly" and deaths < self.lives:
            (self.folder / f"{Path(name).name}.death{deaths}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().code(name, data)


@dataclass
class BatchPreparing(Fragile):
    """Prepares batches of four."""

    @property
    def batch_size(self) -> int:
        return 4

    def prepare_batch(self, pictures: Sequence[tuple[str, bytes]]) -> None:
        for name, data in pictures:
            self.code(name, data)


@dataclass
class DeadlyEncoding(UnbatchedWork):
    """Encodes as the command does; the worker is killed by the first picture named ``victim``."""

    work: Any
    victim: str
    folder: Path

    @property
    def weights(self) -> str:
        return self.work.weights

    @property
    def settings(self) -> str:
        return self.work.settings

    def code(self, name: str, data: bytes) -> dict[str, Any]:
        mark = self.folder / "killed"
        if Path(name).name == self.victim and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.work.code(name, data)


def encode_work(model: str, *options: str) -> EncodeWork:
    """What `vrcodec batch encode` would do."""
    arguments = ["--manifest", "", "--out", "", "--model", model, *options]
    given = batch.encode_command.make_context("encode", arguments).params
    return EncodeWork.from_options({**batch.split_options(given)[1], "keep_partial": False})


def make_photographs(folder: Path, count: int, side: int = 64) -> list[Path]:
    """Parts of a public-domain photograph, different from each other, in two folders."""
    photograph = skimage.data.astronaut()
    paths = []
    for number in range(count):
        path = folder / ("left" if number % 2 else "right") / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        top = 8 * number
        Image.fromarray(photograph[top : top + side, 100 : 100 + side]).save(path)
        paths.append(path)
    return paths


def make_sources(folder: Path, contents: dict[str, bytes]) -> list[Item]:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [Item(str(folder / n), str(folder / "out" / f"{n}.x")) for n in contents]


def is_whole(path: Path) -> bool:
    """Whether a .vrc file is as long as it says, and its checksums are right."""
    return inspect(path.read_bytes()).bytes == path.stat().st_size
