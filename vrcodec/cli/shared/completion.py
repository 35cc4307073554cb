"""Completion in shells, where click's own does not do."""

from __future__ import annotations

from click.shell_completion import FishComplete, add_completion_class


@add_completion_class
class WholeFishComplete(FishComplete):
    """As click's, whose script cuts an answer at its second comma: names in lists have commas, and help has."""

    source_template = FishComplete.source_template.replace(
        'string split ","', 'string split --max 1 ","'
    )
