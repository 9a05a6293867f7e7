"""What the protocols' streams share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection

    from otel_convlog.jsontext import Json

Object: TypeAlias = "dict[str, Json]"


class Stream(Protocol):
    """What has come of one stream."""

    def add(self, chunk: Object) -> None:
        """Take the next chunk."""

    def answer(self) -> Json:
        """Return the answer so far."""

    @property
    def ended(self) -> bool:
        """Whether the protocol's own end of an answer has passed."""


def index_of(value: Object, key: str = "index") -> int:
    """Return a position; 0 where there is none."""
    index = value.get(key)
    return index if isinstance(index, int) else 0


def collect(pieces: list[str], piece: Json) -> None:
    """Add a piece of text, where it is one."""
    if isinstance(piece, str):
        pieces.append(piece)


def items_of(value: Json) -> list[Object]:
    """Return the objects of a list; none where it is something else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def merge(known: Object, more: Json, *, without: Collection[str]) -> None:
    """Take over those of an object's entries that say something."""
    if isinstance(more, dict):
        known.update({name: value for name, value in more.items() if name not in without and value not in (None, "")})
