"""One picture of many: what is to be done with it, and what has become of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Protocol

Kind = Literal["done", "skipped", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of an item: a line of the log.

    ``hash``: SHA-256 of the source. ``weights`` and ``settings``: of the work, as `Work` has them. ``bytes_in``
    and ``bytes`` of source and target, ``seconds`` for coding alone, ``error`` in words and by its class.
    ``passing``: whether the failure may be gone at another try. ``facts``: what `Work.code` has said. Neither
    is in the log.
    """

    source: str
    target: str
    outcome: Kind
    hash: str = ""
    weights: str = ""
    settings: str = ""
    bytes_in: int = 0
    bytes: int = 0
    pixels: int = 0
    seconds: float = 0.0
    error: str = ""
    error_class: str = ""
    passing: bool = False
    facts: dict[str, Any] = field(default_factory=dict, compare=False)

    def as_record(self) -> dict[str, Any]:
        """What the log has of it."""
        return {k: v for k, v in asdict(self).items() if k not in _NOT_IN_LOG}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Outcome:
        """Inverse of `as_record`. Raises TypeError or KeyError for what is no such record."""
        known = {f.name for f in fields(cls)} - _NOT_IN_LOG
        found = cls(**{k: v for k, v in record.items() if k in known})
        if not isinstance(found.target, str) or not isinstance(found.source, str):
            raise TypeError("a record without names")
        return found


_NOT_IN_LOG = frozenset({"facts", "passing"})


@dataclass(frozen=True)
class Item:
    """``source`` -> ``target``, both places. ``known``: the last record of the target. ``attempt`` from 0.

    ``returned``: a worker died that had it, perhaps after writing the target and before saying so.
    """

    source: str
    target: str
    known: Outcome | None = None
    attempt: int = 0
    returned: bool = False

    def failed(self, words: str, error_class: str, *, passing: bool = False) -> Outcome:
        """The outcome of an item that nothing came of."""
        return Outcome(
            self.source,
            self.target,
            "failed",
            error=words,
            error_class=error_class,
            passing=passing,
        )


class Work(Protocol):
    """Codes one picture after the other; loads its model with the first. Can be sent to another process.

    ``weights``: the id of the weights, "" where each file names its own. ``settings``: a hash of all that has
    a say in the result beside source and weights.
    """

    @property
    def weights(self) -> str: ...

    @property
    def settings(self) -> str: ...

    @property
    def ahead(self) -> int:
        """How many pictures it likes to know of at a time, 1 at least. May load its libraries."""

    def foresee(self, coming: Sequence[tuple[str, bytes]]) -> None:
        """Prepare for these calls of `code`, which come next. Raises what is the fault of none of them."""

    def code(self, name: str, data: bytes) -> dict[str, Any]:
        """The result as ``data``, with ``width``, ``height``, ``seconds`` and what else there is to say.

        ``name``: how messages call the picture. Raises VrcError.
        """


class OneByOne:
    """The part of `Work` that does not look ahead."""

    @property
    def ahead(self) -> int:
        return 1

    def foresee(self, coming: Sequence[tuple[str, bytes]]) -> None:
        pass
