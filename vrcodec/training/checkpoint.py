"""Checkpoints: everything that a run needs to go on as if it had never stopped."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from vrcodec.errors import CorruptError, InputError, OutputError
from vrcodec.files import write_atomically
from vrcodec.training.distributed import ProcessGroup

CHECKPOINT = "checkpoint.pt"
_LOCK = ".lock"

State = dict[str, Any]


def write_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, text; dicts and lists of them). Raises OutputError.

    The one before stays until the new one is on the disk, whole.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomically(folder / CHECKPOINT, buffer.getvalue(), overwrite=True)


def read_checkpoint(folder: Path, device: str, group: ProcessGroup) -> State | None:
    """The state in ``folder`` of rank 0, on every rank, on ``device``; None where there is none.

    Machines need not share a folder: rank 0 reads, and sends the data. Raises InputError or CorruptError.
    """
    path = folder / CHECKPOINT
    exists = group.rank == 0 and os.path.exists(path)
    data = group.broadcast(_read(path) if exists else None)
    if data is None:
        return None
    try:
        state: State = torch.load(io.BytesIO(data), device, weights_only=True)
        if not isinstance(state, dict):
            raise ValueError("not a dictionary")
    except MemoryError:
        raise
    except Exception as error:  # A damaged pickle makes its reader fail in any way.
        raise CorruptError(f"{path}: this is no checkpoint: {error}") from error
    return state


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of ``folder``: of two that write a checkpoint, each would undo what the other learnt.

    Raises OutputError where another has it. The lock ends with the process, however that ends. Systems without
    `fcntl` do without it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        handle = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o666)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(f"{folder}: another process trains in this folder") from error
        yield
    finally:
        os.close(handle)
