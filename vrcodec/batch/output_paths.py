"""Output paths of many inputs: a tree like that of the sources, and no two inputs to one file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePath, PurePosixPath

from vrcodec.batch import storage
from vrcodec.errors import UsageError


def choose_targets(
    sources: Mapping[str, PurePosixPath],
    folder: str | None,
    suffix: str,
    previous: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The target of each source: with ``suffix`` in place of its own, in ``folder`` or beside the source.

    ``sources``: the path of each below the output folder. Of several that would get one name, the first has it,
    and the others keep their own suffix: a.jpg and a.png become a.vrc and a.png.vrc. ``previous``: by target,
    the source that an earlier run made it of; it stays with that one, and no other gets it. Raises UsageError
    where that does not help, or a target is a source.
    """
    owners = previous or {}
    if folder is not None and len(set(sources.values())) < len(sources):
        twice = [path for path, count in Counter(sources.values()).items() if count > 1]
        raise UsageError(f"{twice[0]}: two inputs would be written to one file")
    taken: dict[str, str] = {}
    possible = {source: _candidates(source, sources[source], folder, suffix) for source in sources}
    owned = {
        source: [t for t in targets if t in owners and is_of(owners[t], source)]
        for source, targets in possible.items()
    }
    for source in sorted(
        sources, key=lambda source: (not owned[source], str(sources[source]), source)
    ):
        unowned = [target for target in possible[source] if target not in owners]
        # Where all are of other pictures, writing says so.
        candidates = owned[source] + unowned or possible[source]
        free = next((target for target in candidates if target not in taken), None)
        if free is None:
            raise UsageError(f"{candidates[0]}: two inputs would be written to this file")
        taken[free] = source
    targets = {source: target for target, source in taken.items()}
    _refuse_sources(targets)
    return {source: targets[source] for source in sources}


def is_of(previous: str, source: str) -> bool:
    """Whether what was made of a source called ``previous`` is of ``source``, perhaps by another path."""
    return PurePath(previous).name == PurePath(source).name


def _candidates(source: str, relative: PurePosixPath, folder: str | None, suffix: str) -> list[str]:
    names = (relative.with_suffix(suffix), relative.with_name(relative.name + suffix))
    return [_target_location(source, name, folder) for name in names]


def _target_location(source: str, relative: PurePosixPath, folder: str | None) -> str:
    if folder is None:
        return str(Path(source).with_name(relative.name))
    return storage.join(folder, str(relative))


def _refuse_sources(targets: Mapping[str, str]) -> None:
    sources = {os.path.realpath(source) for source in targets}
    for target in targets.values():
        if not storage.is_url(target) and os.path.realpath(target) in sources:
            raise UsageError(f"{target}: is one of the inputs; name another folder with -o")
