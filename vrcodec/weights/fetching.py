"""Fetching weights into the user's store: by name from a hub, from a URL, or from a path."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from vrcodec.catalog import (
    FILE_BYTES_MAX,
    PARTS,
    Release,
    Wanted,
    WeightsEntry,
    encoder_path,
    store_folder,
)
from vrcodec.errors import UsageError, WeightsError
from vrcodec.weights import hugging_face
from vrcodec.weights.hub import Hub, hub_address
from vrcodec.weights.places import NotThereError, read_from, scheme_of
from vrcodec.weights.store import add, as_output_errors, find_whole, incoming, install
from vrcodec.weights.transfer import Progress, fetch_file, no_progress

_SUFFIX = ".safetensors"


def fetch(what: str, *, hub: str | None = None, progress: Progress = no_progress) -> WeightsEntry:
    """Get weights into the store, and return them. Those that are here are fetched only if they are damaged.

    ``what``: an id (16 hexadecimal digits), a family, FAMILY@VERSION, the URL or path of a weights file, or
    hf://OWNER/NAME. ``hub``: the URL or folder of a hub instead of that of ``VRCODEC_HUB``. ``progress`` is
    called with the name of a file, its bytes so far, and all its bytes where that is known. Raises
    WeightsError, OutputError, or UsageError.
    """
    scheme = scheme_of(what)
    if scheme == hugging_face.SCHEME:
        return _add_one(hugging_face.download(what))
    if scheme:
        return _fetch_url(what, progress)
    if what.endswith(_SUFFIX) or os.sep in what or os.path.isdir(what):
        return _add_one(Path(what))
    return fetch_from(Hub(hub or hub_address()), Wanted.parse(what), progress)


def fetch_from(hub: Hub, wanted: Wanted, progress: Progress = no_progress) -> WeightsEntry:
    """Get what is ``wanted`` from ``hub``. Raises WeightsError or OutputError."""
    if wanted.id and (entry := find_whole(wanted.id)):
        return entry
    release = hub.find(wanted)
    with incoming(release.id.hex()) as folder:
        # They are here, or another process was faster.
        if entry := find_whole(release.id):
            return entry
        _clear_others(folder, release)
        for part in PARTS:
            if part in release.files:
                file = release.files[part]
                fetch_file(hub.places(release, part), file, folder / file.name, progress)
        return install(folder, release.id)


def _clear_others(folder: Path, release: Release) -> None:
    """Leave only what belongs to ``release``: a hub may have had other names for its files before."""
    names = {file.name for file in release.files.values()}
    with as_output_errors(folder):
        for path in folder.iterdir():
            if path.name not in names:
                path.unlink()


def _add_one(path: Path) -> WeightsEntry:
    entries = add(path)
    if len(entries) > 1:
        raise UsageError(f"{path}: several weights; use vrcodec weights add")
    return entries[0]


def _fetch_url(address: str, progress: Progress) -> WeightsEntry:
    """The weights file at a URL, with the card and the encoder that lie beside it, if there are any."""
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise UsageError(f"{address}: is no address: {error}") from error
    name = PurePosixPath(unquote(parts.path)).name
    if not name.endswith(_SUFFIX):
        raise UsageError(f"{address}: not the address of a weights file (*{_SUFFIX})")
    store = store_folder()
    with as_output_errors(store):
        store.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".url-", dir=store))
    try:
        target = folder / "weights.safetensors"
        _download(address, target, progress)
        for beside in (encoder_path(target), target.with_suffix(".json")):
            path = parts.path.removesuffix(_SUFFIX) + beside.name.removeprefix("weights")
            try:
                _download(parts._replace(path=path).geturl(), beside, progress)
            except NotThereError:
                beside.unlink(missing_ok=True)
        return _add_one(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _download(address: str, target: Path, progress: Progress) -> None:
    """Write what is at ``address`` to ``target``. Raises WeightsError or OutputError."""
    size = 0
    with as_output_errors(target), open(target, "wb") as output:
        for _, piece in read_from(address):
            size += len(piece)
            if size > FILE_BYTES_MAX:
                raise WeightsError(f"{address}: larger than any weights")
            output.write(piece)
            progress(target.name, size, None)
