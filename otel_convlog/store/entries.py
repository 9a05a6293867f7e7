"""What the catalog says of turns and files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from otel_convlog.store.evidence import database_text
from otel_convlog.store.excerpt import first_user_text, reply_text
from otel_convlog.streams.first_token import first_token_ms
from otel_convlog.usage import token_counts

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json
    from otel_convlog.store.locked_file import Stamp


@dataclass(frozen=True)
class TurnEntry:
    """What the catalog says of a turn, but for its place in the file."""

    turn_id: str
    values: tuple[str | float | None, ...]  # the columns from started_at on
    first_user_text: str
    reply: str
    client_model: str
    backend: str


PlacedTurn: TypeAlias = tuple[TurnEntry, int, int]  # the turn, its offset in its file and its length in bytes


@dataclass(frozen=True)
class FileState:
    """A file, and how far it has been read.

    Attributes:
        stamp: What tells this state of it from others.
    """

    file: str
    conversation_id: str
    route: str
    created_at: str
    updated_at: str
    turn_count: int
    tail_offset: int
    stamp: Stamp


def describe(turn: dict[str, Json]) -> TurnEntry:
    """Return the catalog's entry for a turn, from its JSON."""
    duration = turn.get("duration_ms")
    otel = turn.get("otel")
    notes = otel if isinstance(otel, dict) else {}
    return TurnEntry(
        turn_id=database_value(turn.get("turn_id")),
        values=(
            database_value(turn.get("started_at")),
            database_value(turn.get("updated_at")),
            database_value(turn.get("route")),
            database_value(turn.get("client_model")),
            database_value(turn.get("upstream_model")),
            database_value(turn.get("backend")),
            int(turn.get("stream") is True),
            float(duration) if isinstance(duration, (int, float)) and abs(duration) < 1e300 else 0.0,
            *token_counts(turn.get("usage")),
            int(turn.get("error") is not None),
            database_value(notes.get("identity")),
            int(notes.get("complete") is not False),
            first_token_ms(turn),
        ),
        first_user_text=database_value(first_user_text(turn.get("client_request"))),
        reply=database_value(reply_text(turn)),
        client_model=database_value(turn.get("client_model")),
        backend=database_value(turn.get("backend")),
    )


def database_value(value: Json) -> str:
    """Return a value as text that SQLite takes."""
    return database_text(value if isinstance(value, str) else "" if value is None else str(value))
