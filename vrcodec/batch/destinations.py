"""Where results go: a tree like that of the sources, and no two to one file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from vrcodec.batch import places
from vrcodec.errors import UsageError


def targets(
    sources: Mapping[str, PurePosixPath], folder: str | None, suffix: str
) -> dict[str, str]:
    """The target of each source: with ``suffix`` in place of its own, in ``folder`` or beside the source.

    Of several that would get one name, the first has it, and the others keep their own suffix: a.jpg and a.png
    become a.vrc and a.png.vrc. Raises UsageError where that does not help, or a target is a source.
    """
    if len(set(sources.values())) < len(sources):
        twice = [below for below, count in Counter(sources.values()).items() if count > 1]
        raise UsageError(f"{twice[0]}: two inputs would be written to one file")
    taken: dict[str, str] = {}
    for source in sorted(sources, key=lambda source: str(sources[source])):
        below = sources[source]
        names = (below.with_suffix(suffix), below.with_name(below.name + suffix))
        candidates = [_place(source, name, folder) for name in names]
        free = next((place for place in candidates if place not in taken), None)
        if free is None:
            raise UsageError(f"{candidates[0]}: two inputs would be written to this file")
        taken[free] = source
    found = {source: target for target, source in taken.items()}
    _refuse_sources(found)
    return {source: found[source] for source in sources}


def _place(source: str, below: PurePosixPath, folder: str | None) -> str:
    if folder is None:
        return str(Path(source).with_name(below.name))
    return places.join(folder, str(below))


def _refuse_sources(found: Mapping[str, str]) -> None:
    sources = {str(Path(source).resolve()) for source in found}
    for target in found.values():
        if not places.is_url(target) and str(Path(target).resolve()) in sources:
            raise UsageError(f"{target}: is one of the inputs; name another folder with -o")
