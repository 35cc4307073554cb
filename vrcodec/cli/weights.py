"""`vrcodec weights`"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from vrcodec.catalog import (
    Index,
    Release,
    Wanted,
    WeightsEntry,
    encoder_path,
    find_release,
    installed_weights,
    shipped_index,
    store_folder,
)
from vrcodec.cli.shared import options, output
from vrcodec.cli.shared.option_groups import MESSAGES, OUTPUT, GroupedCommand, option_group
from vrcodec.errors import UsageError, WeightsError

_HELP = """Keep the weights of models: those that files need, and those that encode.

Weights are called by their id (16 digits, as `vrcodec info` shows it), by family and generation (qvrf@3, or
qvrf-3), or by family, which is its newest generation. Those of an imported network have its name in place of a
family.
"""


def _complete_weights(
    entries: Callable[[], Iterable[WeightsEntry | Release]],
) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Shell completion for the names of ``entries``."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        names = {entry.name for entry in entries()}
        return [name for name in sorted(names) if name.startswith(incomplete)]

    return complete


def _known_weights() -> list[WeightsEntry | Release]:
    return [*installed_weights(), *shipped_index()]


def _stored_weights() -> list[WeightsEntry]:
    """What is in the store, which `remove` can take out of it."""
    return [entry for entry in installed_weights() if entry.path.parent.parent == store_folder()]


hub_option = click.option(
    "--hub",
    metavar="URL|FOLDER",
    shell_complete=options.complete_files,
    help="Where to get weights from.  [default: as VRCODEC_HUB says, else the project's releases]",
)


@click.group(help=_HELP)
def command() -> None:
    """Run the command."""


_LIST_HELP = """List the weights that are here, and those that can be fetched."""


@command.command("list", cls=GroupedCommand, help=_LIST_HELP)
@option_group(
    OUTPUT,
    click.option("--here", is_flag=True, help="Only those that are here."),
    hub_option,
    options.json_option,
)
@option_group(MESSAGES, options.verbosity_options)
def list_command(here: bool, hub: str | None, as_json: bool) -> None:
    """Run the command."""
    index = () if here else _index(hub)
    rows = [
        _describe(entry, find_release(shipped_index(), entry.id)) for entry in installed_weights()
    ]
    known = {row["id"] for row in rows}
    rows += [_describe(None, release) for release in index if release.id.hex() not in known]
    rows.sort(key=lambda row: (row["family"], row["version"] or 0))
    if as_json:
        output.print_json(rows)
        return
    output.print_table(
        ("weights", "id", "tuned for", "date", "MB", "where"),
        [
            (
                row["name"],
                row["id"],
                row["tune"],
                # A card may have any value here.
                str(row["date"] or ""),
                f"{row['bytes'] / 1e6:.1f}",
                row["path"] or "not here",
            )
            for row in rows
        ],
    )


def _index(hub: str | None) -> Index:
    """That of a hub, if one is named: the network is not asked for a list."""
    if hub is None:
        return shipped_index()
    from vrcodec.weights.hub import Hub

    return Hub(hub).index


def _describe(entry: WeightsEntry | None, release: Release | None) -> dict[str, Any]:
    """What is known of weights that are here, that were released, or both."""
    known = entry or release
    assert known is not None
    return {
        "name": known.name,
        "id": known.id.hex(),
        "family": known.family,
        "version": known.version or None,
        "tune": known.tune,
        "date": entry.card.get("date") if entry else release.date if release else None,
        "bytes": _size_here(entry) if entry else release.size if release else None,
        "path": str(entry.path) if entry else None,
    }


def _size_here(entry: WeightsEntry) -> int:
    """Bytes of the files of weights that are here, without the card."""
    files = [entry.path] + ([encoder_path(entry.path)] if entry.encoder_id else [])
    return sum(file.stat().st_size for file in files if file.exists())


_SHOW_HELP = """Show what is known of WEIGHTS: their card, and where their files are."""


@command.command("show", cls=GroupedCommand, help=_SHOW_HELP)
@click.argument("weights", shell_complete=_complete_weights(_known_weights))
@option_group(OUTPUT, options.json_option)
@option_group(MESSAGES, options.verbosity_options)
def show_command(weights: str, as_json: bool) -> None:
    """Run the command."""
    wanted = Wanted.parse(weights)
    entry, release = _find_here(wanted), wanted.find(shipped_index())
    if entry is not None:
        release = find_release(shipped_index(), entry.id)
    if entry is None and release is None:
        raise WeightsError(f"{weights}: no such weights are here, or known to this version")
    facts = _describe(entry, release)
    if as_json:
        output.print_json({**facts, "card": entry.card if entry else None})
        return
    fields = {key: str(value) for key, value in facts.items() if value is not None}
    if release is not None:
        fields["files"] = ", ".join(
            f"{file.name} ({file.size} bytes)" for file in release.files.values()
        )
        if release.replaces is not None:
            fields["replaces"] = release.replaces.hex()
        if release.commit is not None:
            fields["history"] = f"replaced; last in commit {release.commit}"
    if entry is None and release is not None:
        fields["path"] = f"not here; vrcodec weights fetch {release.name}"
    output.print_fields(fields)


_FETCH_HELP = """Get WEIGHTS into the store, unless they are here: from the hub, or from a place.

WEIGHTS is an id, a family, FAMILY@VERSION, the URL or the path of a weights file, or hf://OWNER/NAME. Every
file is checked, by the hash of the index and the id of the weights. What was cut off goes on when the command
is repeated.
"""


@command.command("fetch", cls=GroupedCommand, help=_FETCH_HELP)
@click.argument(
    "weights", nargs=-1, required=True, shell_complete=_complete_weights(_known_weights)
)
@option_group("Where from", hub_option)
@option_group(OUTPUT, options.json_option)
@option_group(MESSAGES, options.verbosity_options)
def fetch_command(weights: tuple[str, ...], hub: str | None, as_json: bool) -> int:
    """Run the command."""
    from vrcodec.weights import fetch

    def work(name: str) -> dict[str, Any]:
        entry = fetch(name, hub=hub, progress=_show_progress)
        return _report(entry, as_json)

    code, results = output.for_each(weights, work, parts=True)
    if as_json:
        output.print_json(results)
    return code


def _show_progress(name: str, done: int, total: int | None) -> None:
    if total:
        output.part_done(done / total)


def _report(entry: WeightsEntry, as_json: bool) -> dict[str, Any]:
    if not as_json:
        output.say(f"{entry.name} {entry.id.hex()}: {entry.path}")
    return _describe(entry, None)


_ADD_HELP = """Copy weights into the store: weights files (*.safetensors), or folders of such.

A card (*.json, or config.json) and an encoder (*.encoder.safetensors) beside a file are taken along.
"""


@command.command("add", cls=GroupedCommand, help=_ADD_HELP)
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH..."
)
@option_group(OUTPUT, options.json_option)
@option_group(MESSAGES, options.verbosity_options)
def add_command(paths: tuple[Path, ...], as_json: bool) -> int:
    """Run the command."""
    from vrcodec.weights import add

    def work(name: str) -> list[dict[str, Any]]:
        return [_report(entry, as_json) for entry in add(Path(name))]

    code, results = output.for_each([str(path) for path in paths], work)
    if as_json:
        output.print_json([result for per_path in results for result in per_path])
    return code


_REMOVE_HELP = (
    """Remove WEIGHTS from the store. Files that need them decode again once they are fetched."""
)


@command.command("remove", cls=GroupedCommand, help=_REMOVE_HELP)
@click.argument(
    "weights", nargs=-1, required=True, shell_complete=_complete_weights(_stored_weights)
)
@option_group(MESSAGES, options.verbosity_options)
def remove_command(weights: tuple[str, ...]) -> int:
    """Run the command."""
    from vrcodec.weights import remove

    def work(name: str) -> None:
        remove(_find(name, stored_only=True))

    return output.for_each(weights, work, progress=False)[0]


_PATH_HELP = """Print the folder of the store; of WEIGHTS, the folder that has them.

With that folder in VRCODEC_WEIGHTS, those weights encode, as long as --tune is what they are tuned for.
"""


@command.command("path", cls=GroupedCommand, help=_PATH_HELP)
@click.argument("weights", required=False, shell_complete=_complete_weights(installed_weights))
@option_group(MESSAGES, options.verbosity_options)
def path_command(weights: str | None) -> None:
    """Run the command."""
    output.echo(str(store_folder() if weights is None else _find(weights).path.parent))


_EXPORT_HELP = """Write weights to a folder, for others.

Without options, as a hub: with an index, to be put on a web server or to be named by VRCODEC_HUB; WEIGHTS are
added to those that are in it. Without WEIGHTS, all that are here.
"""


@command.command("export", cls=GroupedCommand, help=_EXPORT_HELP)
@click.argument("weights", nargs=-1, shell_complete=_complete_weights(installed_weights))
@option_group(
    OUTPUT,
    click.option(
        "-o",
        "--output",
        "target",
        required=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="The folder.",
    ),
    click.option(
        "--hub",
        "hugging_face",
        is_flag=True,
        help="In the layout of the Hugging Face hub instead, with a model card: of one set of weights.",
    ),
    options.force_option,
)
@option_group(MESSAGES, options.verbosity_options)
def export_command(weights: tuple[str, ...], target: Path, hugging_face: bool, force: bool) -> None:
    """Run the command."""
    from vrcodec.weights import hugging_face as hub
    from vrcodec.weights.mirror import write_mirror

    entries = [_find(name) for name in weights] or installed_weights()
    if not hugging_face:
        write_mirror(entries, target, overwrite=force)
    elif len(entries) == 1:
        hub.export(entries[0], target, overwrite=force)
    else:
        raise UsageError("--hub takes one set of WEIGHTS")


def _find(name: str, *, stored_only: bool = False) -> WeightsEntry:
    """The weights called ``name``, which are here. Raises WeightsError."""
    wanted = Wanted.parse(name)
    entry = _find_here(wanted, stored_only)
    if entry is None:
        place = (
            f"in {store_folder()}"
            if stored_only
            else "here; vrcodec weights list --here tells which are"
        )
        raise WeightsError(
            f"{name}: no such weights are {place}", wanted.id.hex() if wanted.id else None
        )
    return entry


def _find_here(wanted: Wanted, stored_only: bool = False) -> WeightsEntry | None:
    return wanted.find(_stored_weights() if stored_only else installed_weights())
