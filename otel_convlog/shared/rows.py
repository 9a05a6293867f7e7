"""What stands in which column of the database: of a turn, and of a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_convlog.shared.database import rows_into, text
from otel_convlog.store.layout import conversation_file, is_day

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg import Cursor

    from otel_convlog.record import Identity
    from otel_convlog.store.entries import TurnEntry

_DAY = len("YYYY-MM-DD")
_SLOT_BYTES = 4

FACTS = {
    "started_at": "text",
    "updated_at": "text",
    "route": "text",
    "client_model": "text",
    "upstream_model": "text",
    "backend": "text",
    "stream": "bool",
    "duration_ms": "float8",
    "input_tokens": "bigint",
    "output_tokens": "bigint",
    "error": "bool",
    "complete": "bool",
    "first_token_ms": "float8",
}
_IDENTITY = {"conversation_id": "text", "evidence": "text", "continues": "text", "thread": "text", "scope": "text"}
TURNS = {
    "number": "bigint",
    "turn_id": "text",
    "file": "text",
    "object": "text",
    "size": "bigint",
    "in_document": "bool",
    **_IDENTITY,
    "system": "bytea",
    "opening": "bytea",
    "chain": "bytea",
    "answered": "bool",
    "failed": "bool",
    "continued": "bool",
    "keys": "bytea",
    "slots": "bytea",
    "seal": "text",
    "unmatched": "bool",
    **FACTS,
}
EVIDENCE = {"key": "bytea", "number": "bigint", "kind": "smallint"}
FILES = {
    "file": "text",
    "conversation_id": "text",
    "route": "text",
    "created_at": "text",
    "updated_at": "text",
    "turn_count": "bigint",
    "size_bytes": "bigint",
    "first_user_text": "text",
    "last_reply": "text",
    "last_client_model": "text",
    "last_backend": "text",
    "last_started": "text",
    "disordered": "bool",
}
# A turn that began before another changes what is said of the first; one that began behind all others, of the last.
_ADD_TO_FILES = """
    ON CONFLICT (file) DO UPDATE SET
        route = CASE WHEN excluded.created_at < t.created_at THEN excluded.route ELSE t.route END,
        first_user_text =
            CASE WHEN excluded.created_at < t.created_at THEN excluded.first_user_text ELSE t.first_user_text END,
        created_at = least(t.created_at, excluded.created_at),
        updated_at = CASE WHEN excluded.last_started >= t.last_started THEN excluded.updated_at ELSE t.updated_at END,
        last_reply = CASE WHEN excluded.last_started >= t.last_started THEN excluded.last_reply ELSE t.last_reply END,
        last_client_model = CASE WHEN excluded.last_started >= t.last_started
            THEN excluded.last_client_model ELSE t.last_client_model END,
        last_backend =
            CASE WHEN excluded.last_started >= t.last_started THEN excluded.last_backend ELSE t.last_backend END,
        last_started = greatest(t.last_started, excluded.last_started),
        turn_count = t.turn_count + excluded.turn_count,
        size_bytes = t.size_bytes + excluded.size_bytes,
        disordered = t.disordered OR excluded.disordered OR excluded.created_at < t.last_started,
        version = excluded.version, touched = excluded.touched, pending = TRUE
"""
# Conversations that may go on from what has come late, or come together; but for those that somebody is at, since this
# would wait for him.
_ASK_AGAIN = """
    UPDATE convlog_files SET disordered = TRUE, pending = TRUE, touched = now() WHERE file IN (
        SELECT file FROM convlog_files WHERE NOT disordered AND file IN (
            SELECT file FROM convlog_turns WHERE unmatched AND started_at > %s
        ) ORDER BY file FOR UPDATE SKIP LOCKED
    )
"""


def file_of(started_at: str, conversation_id: str) -> str:
    """Return the name of the document that a turn belongs into.

    Raises:
        ValueError: The turn does not say on which day it began.
    """
    if not is_day(started_at[:_DAY]):
        raise ValueError(f"{started_at!r} is no time")
    return conversation_file(started_at[:_DAY], conversation_id)


def file_row(
    file: str, conversation_id: str, turns: Sequence[tuple[TurnEntry, int]], *, disordered: bool
) -> tuple[object, ...]:
    """Return what is said of a document, or added to what is said of it, in the order of `FILES`.

    Args:
        file: Its name.
        conversation_id: The conversation.
        turns: Turns of it, in the order in which they began, and how many bytes they have.
        disordered: Whether it has a turn that has come after another before which it was.
    """
    first, last = turns[0][0], turns[-1][0]
    return (
        file,
        text(conversation_id),
        text(str(first.values[2])),
        text(str(first.values[0])),
        text(str(last.values[1])),
        len(turns),
        sum(size for _, size in turns),
        text(first.first_user_text),
        text(last.reply),
        text(last.client_model),
        text(last.backend),
        text(str(last.values[0])),
        disordered,
    )


def write_files(cursor: Cursor[Any], rows: Sequence[tuple[object, ...]]) -> None:
    """Say of documents that they have turns to come; the rows are those of `file_row`."""
    also = {"version": "nextval('convlog_versions')", "touched": "now()", "pending": "TRUE", "rebuild": "FALSE"}
    rows_into(cursor, "convlog_files", FILES, rows, also=also, rest=_ADD_TO_FILES)


def ask_again(cursor: Cursor[Any], since: str) -> None:
    """Have conversations looked at once more that show turns which they have not found, from a time on."""
    cursor.execute(_ASK_AGAIN, (since,))


def identity_row(identity: Identity) -> tuple[str | None, ...]:
    """Return the columns that say which conversation a turn belongs to."""
    return (
        text(identity.conversation_id),
        text(identity.evidence),
        identity.continues and text(identity.continues),
        identity.thread and text(identity.thread),
        identity.scope,
    )


def packed_slots(slots: Iterable[int]) -> bytes:
    """Return the slots of a turn as its row has them."""
    return b"".join(slot.to_bytes(_SLOT_BYTES, "big") for slot in slots)


def slots_of(packed: bytes) -> list[int]:
    """Return the slots that a turn's row names."""
    return [int.from_bytes(packed[start : start + _SLOT_BYTES], "big") for start in range(0, len(packed), _SLOT_BYTES)]


def facts_row(entry: TurnEntry) -> tuple[object, ...]:
    """Return what a turn was, in the order of `FACTS`, from what a directory's catalog says of it."""
    (started, updated, route, client, upstream, backend, stream, duration, given, made, error, _, complete, first) = (
        entry.values
    )
    said = [text(str(value)) for value in (started, updated, route, client, upstream, backend)]
    return (*said, bool(stream), duration, given, made, bool(error), bool(complete), first)
