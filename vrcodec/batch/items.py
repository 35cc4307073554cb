"""Items of a batch: source and target of one picture, the outcome, and the interface of the coding work."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Protocol, get_args

Status = Literal["done", "skipped", "failed", "left out"]


@dataclass(frozen=True)
class Outcome:
    """The outcome of an item: a line of the log.

    ``hash``: SHA-256 of the source. ``weights`` and ``settings``: as `Work` has them. ``bytes_in`` and
    ``bytes``: of source and target. ``seconds``: of coding alone. ``error`` and ``error_class``: of a failure;
    of a file that is left out, ``error_class`` is its kind.
    ``warnings``: what of the source is not in the target. ``transient``: whether the failure may be gone at
    another try. ``result``: what `Work.code` returned, but the data. The last two are not in the log.
    """

    source: str
    target: str
    outcome: Status
    hash: str = ""
    weights: str = ""
    settings: str = ""
    bytes_in: int = 0
    bytes: int = 0
    pixels: int = 0
    seconds: float = 0.0
    error: str = ""
    error_class: str = ""
    warnings: list[str] = field(default_factory=list)
    transient: bool = False
    result: dict[str, Any] = field(default_factory=dict, compare=False)

    def as_record(self) -> dict[str, Any]:
        """The fields that are in the log."""
        return {k: v for k, v in asdict(self).items() if k not in _NOT_IN_LOG}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Outcome:
        """Inverse of `as_record`. Raises TypeError for what is no such record."""
        known = {f.name: f.type for f in fields(cls) if f.name not in _NOT_IN_LOG}
        values = {name: value for name, value in record.items() if name in known}
        if not all(_LOGGED[str(known[name])](value) for name, value in values.items()):
            raise TypeError("a record of something else")
        return cls(**values)


_NOT_IN_LOG = frozenset({"result", "transient"})
# Whether a value of a log is one of a field of such a type.
_LOGGED: dict[str, Callable[[Any], bool]] = {
    "Status": lambda value: value in get_args(Status),
    "str": lambda value: isinstance(value, str),
    "int": lambda value: type(value) is int,
    "float": lambda value: type(value) in (int, float) and math.isfinite(value),
    "list[str]": lambda value: isinstance(value, list),
}


@dataclass(frozen=True)
class Item:
    """One picture to code: ``source`` -> ``target``, each a local path or a URL. ``attempt``: from 0.

    ``previous``: the target's last record in the log. ``reassigned``: a worker that had it died, perhaps after
    writing the target and before reporting it.
    """

    source: str
    target: str
    previous: Outcome | None = None
    attempt: int = 0
    reassigned: bool = False

    def failure(self, message: str, error_class: str, *, transient: bool = False) -> Outcome:
        """The outcome of an item that failed."""
        return Outcome(
            self.source,
            self.target,
            "failed",
            error=message,
            error_class=error_class,
            transient=transient,
        )


class Work(Protocol):
    """Encoding or decoding of one picture after the other. Loads its model with the first; can be pickled.

    ``weights``: the id of the weights, "" where each file names its own. ``settings``: a hash of everything
    that affects the result beside source and weights.
    """

    @property
    def weights(self) -> str: ...

    @property
    def settings(self) -> str: ...

    @property
    def batch_size(self) -> int:
        """How many pictures `prepare_batch` should get, 1 at least. May load libraries."""

    def prepare_batch(self, pictures: Sequence[tuple[str, bytes]]) -> None:
        """Prepare together the pictures (name, data) that `code` gets next.

        Raises only errors that are no single picture's fault.
        """

    def code(self, name: str, data: bytes) -> dict[str, Any]:
        """The result as ``data``, with ``width``, ``height``, ``seconds`` and further fields for --json.

        ``name``: of the picture, for messages. Raises VrcError.
        """


class UnbatchedWork:
    """The part of `Work` for what prepares nothing ahead."""

    @property
    def batch_size(self) -> int:
        return 1

    def prepare_batch(self, pictures: Sequence[tuple[str, bytes]]) -> None:
        pass
