"""The user's store of weights: a folder for each id, which is there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from vrcodec.bitstream.schema import LOSSLESS, METHODS
from vrcodec.catalog import (
    Wanted,
    WeightsEntry,
    encoder_path,
    installed_weights,
    read_card,
    same_folder,
    store_folder,
    weights_id,
)
from vrcodec.errors import OutputError, UsageError, WeightsError
from vrcodec.files import write_atomically
from vrcodec.models.weights import check_content, load_description, open_model, read_bytes

# Of what is on its way, or about to be removed. No id begins with a dot.
_INCOMING, _LEAVING = ".incoming", ".leaving"
_SUFFIX = ".safetensors"
# Of the card in a folder in the layout of the Hugging Face hub.
CONFIG_NAME = "config.json"
# Names that mean something else.
_RESERVED = (*METHODS.values(), LOSSLESS, "all")
_MAX_NAME = 31


@contextmanager
def as_output_errors(path: Path) -> Iterator[None]:
    """OSError in the body, where something at ``path`` is written, as OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def incoming(name: str) -> Iterator[Path]:
    """A folder for files on their way, which only one process at a time has under ``name``; others wait.

    What is in it stays for the next time, unless it was installed. Raises OutputError.
    """
    folder = store_folder() / _INCOMING / name
    with as_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_suffix(".lock"))
        lock.acquire()
    try:
        # The process that had the lock before may have removed it.
        with as_output_errors(folder):
            folder.mkdir(exist_ok=True)
        yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()
        lock.release()


def find_whole(identity: bytes) -> WeightsEntry | None:
    """The weights with this id that are here, unless they are damaged."""
    for entry in installed_weights():
        if entry.id == identity:
            with contextlib.suppress(WeightsError):
                check_content(entry)
                return entry
    return None


def install(folder: Path, identity: bytes) -> WeightsEntry:
    """Check the weights in ``folder``, one of `incoming`, and move it to the place of this id in the store.

    What is refused is removed. Raises WeightsError where they have another id, or are not what this version can
    code with, or OutputError.
    """
    card_path = next(folder.glob("*.json"))
    try:
        entry = check(card_path)
        if entry.id != identity:
            raise WeightsError(
                f"{identity.hex()}: what came for it are the weights {entry.id.hex()}"
            )
    except WeightsError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    target = store_folder() / identity.hex()
    with as_output_errors(target):
        if target.exists():
            # Damaged, or else nothing would be installed.
            _discard(target)
        os.rename(folder, target)
    return read_card(target / card_path.name)


def check(card_path: Path) -> WeightsEntry:
    """The weights of a card. Raises WeightsError where they are not its, or not for this version."""
    try:
        entry = read_card(card_path)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{card_path}: is no card of weights: {error}") from error
    check_content(entry)
    if load_description(entry.path)["family"] != entry.family:
        raise WeightsError(f"{card_path}: its weights are of another family")
    if entry.model != entry.family:
        try:
            check_name(entry.model)
        except UsageError as error:
            raise WeightsError(f"{card_path}: {error}") from error
    open_model(entry, encoder=True)
    return entry


def add(path: str | os.PathLike[str]) -> list[WeightsEntry]:
    """Copy weights into the store: a weights file, or all in a folder. Raises WeightsError or OutputError.

    Cards lie beside them, with the suffix .json, or as `CONFIG_NAME`; a file needs none.
    """
    path = Path(path)
    if not path.is_dir():
        return [_add_file(path)]
    files = [p for p in sorted(path.glob(f"*{_SUFFIX}")) if ".encoder" not in p.suffixes]
    if not files:
        raise WeightsError(f"{path}: there are no weights (*{_SUFFIX}) in this folder")
    return [_add_file(file) for file in files]


def check_name(name: str) -> None:
    """Raise UsageError unless ``name`` may be that of a network of one's own."""
    try:
        family = Wanted.parse(name).family
    except WeightsError:
        family = None
    if family != name or len(name) > _MAX_NAME or name in _RESERVED:
        raise UsageError(
            f"{name!r} cannot name a network: a name has up to {_MAX_NAME} small letters, digits and _, a "
            f"letter first, and is none of {', '.join(_RESERVED)}"
        )


def add_named(path: Path, name: str) -> WeightsEntry:
    """`add` a weights file, whose card calls it ``name``.

    Raises UsageError where others have that name, or where these have another.
    """
    identity, installed = weights_id(read_bytes(path)), installed_weights()
    same = next((entry for entry in installed if entry.id == identity), None)
    if same and same.model != name:
        raise UsageError(f"{name}: these weights are here already, as {same.name}")
    others = [entry.id.hex() for entry in installed if entry.model == name]
    if others and not same:
        raise UsageError(
            f"{name}: there are weights of this name, {others[0]}; choose another, or remove them first: "
            f"vrcodec weights remove {' '.join(others)}"
        )
    return _add_file(path)


def _add_file(path: Path) -> WeightsEntry:
    card = _read_card_beside(path) or {"family": load_description(path)["family"]}
    files = {_SUFFIX: path, f".encoder{_SUFFIX}": encoder_path(path)}
    keys = {_SUFFIX: "id", f".encoder{_SUFFIX}": "encoder_id"}
    contents = {
        suffix: read_bytes(file)
        for suffix, file in files.items()
        if suffix == _SUFFIX or file.exists()
    }
    for suffix, data in contents.items():
        card.setdefault(keys[suffix], weights_id(data).hex())
    identity = weights_id(contents[_SUFFIX])
    with incoming(identity.hex()) as folder:
        if entry := find_whole(identity):
            return entry
        for suffix, data in (*contents.items(), (".json", json.dumps(card, indent=1).encode())):
            write_atomically(folder / f"{identity.hex()}{suffix}", data, overwrite=True)
        try:
            return install(folder, identity)
        except WeightsError as error:
            # Who added it knows it by its own name.
            message = str(error).replace(str(folder / identity.hex()), str(path.with_suffix("")))
            raise WeightsError(message, error.id) from error


def _read_card_beside(path: Path) -> dict[str, Any] | None:
    for card_path in (path.with_suffix(".json"), path.with_name(CONFIG_NAME)):
        if card_path.exists():
            try:
                card = json.loads(read_bytes(card_path))
            except (ValueError, RecursionError) as error:
                raise WeightsError(f"{card_path}: is no card of weights: {error}") from error
            if isinstance(card, dict):
                return card
    return None


def remove(entry: WeightsEntry) -> None:
    """Remove weights from the store. Raises UsageError for others, or OutputError."""
    folder = entry.path.parent
    if not same_folder(folder.parent, store_folder()):
        raise UsageError(f"{entry.path}: not in the store of {store_folder()}; remove it there")
    with as_output_errors(folder):
        _discard(folder)


def _discard(folder: Path) -> None:
    """Remove a folder of the store, which is there whole until it is no longer there at all."""
    leaving = folder.parent / f"{_LEAVING}-{secrets.token_hex(6)}"
    os.rename(folder, leaving)
    shutil.rmtree(leaving)
