"""The records of a run: CSV files that a resumed run goes on with."""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vrcodec.errors import OutputError
from vrcodec.files import write_atomically
from vrcodec.training.objectives import Loss
from vrcodec.training.schedule import Position


class Record:
    """A CSV file with the given ``columns``. A row that cannot be written costs a message, not the run."""

    def __init__(self, path: Path, columns: Sequence[str], say: Callable[[str], None]) -> None:
        self.path = path
        self._columns = columns
        self._say = say

    def forget_after(self, step: int) -> None:
        """Remove rows of later steps, from a process that was killed behind its checkpoint, and cut ones."""
        try:
            lines = self.path.read_text(errors="replace").splitlines()
        except OSError:
            return
        column = self._columns.index("step")
        rows = ((line, line.split(",")) for line in lines[1:])
        kept = [
            line
            for line, cells in rows
            if len(cells) == len(self._columns) and _number(cells[column]) <= step
        ]
        if len(kept) < len(lines) - 1:
            data = "\n".join([*lines[:1], *kept, ""]).encode()
            with contextlib.suppress(OutputError):
                write_atomically(self.path, data, overwrite=True)

    def add(self, row: Sequence[object]) -> None:
        """Append ``row``: a value for each column."""
        try:
            new = not self.path.exists()
            with self.path.open("a", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                if new:
                    writer.writerow(self._columns)
                writer.writerow(row)
        except OSError as error:
            self._say(f"{self.path}: a row was not written: {error.strerror or error}")


def _number(cell: str) -> float:
    """The number in ``cell``; infinite where there is none."""
    try:
        return float(cell)
    except ValueError:
        return math.inf


class Log:
    """What a run says of its loss: rows of a record, and lines for the user. ``path``: on rank 0, else None."""

    COLUMNS = (
        "step",
        "minutes",
        "samples",
        "loss",
        "bpp",
        "psnr",
        "gradient_norm",
        "learning_rate",
        "skipped",
    )

    def __init__(self, path: Path | None, say: Callable[[str], None]) -> None:
        self.say = say if path else _say_nothing
        self.record = Record(path, self.COLUMNS, say) if path else None

    def add(
        self, position: Position, loss: Loss, norm: Tensor, learning_rate: float, rejected: Tensor
    ) -> None:
        """Record a step that led to ``position``; waits for the device."""
        if self.record is None:
            return
        psnr = float((-10 * torch.log10(loss.mse.detach())).mean())
        quality = "" if math.isnan(psnr) else f" psnr {psnr:.2f}"
        total, minutes = float(loss.total.detach()), position.seconds / 60
        values = (
            position.step,
            f"{minutes:.3f}",
            position.samples,
            f"{total:.4f}",
            f"{float(loss.bpp.detach().mean()):.4f}",
            f"{psnr:.3f}",
            f"{float(norm):.4f}",
            f"{learning_rate:.3g}",
            int(rejected),
        )
        self.record.add(values)
        self.say(f"step {position.step} {minutes:.1f} min loss {total:.3f}{quality}")


def _say_nothing(message: str) -> None:
    """Other ranks than the first."""
