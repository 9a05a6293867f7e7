"""Changing what a shared log has already: a document that somebody has rewritten, or removed, in a copy of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.identity.grouping import Grouping
from otel_convlog.jsontext import from_any_json
from otel_convlog.shared.away import ChangedError
from otel_convlog.shared.database import text, texts
from otel_convlog.shared.evidence import forget_evidence
from otel_convlog.shared.keeping import MOST_BYTES, MOST_TURNS, NewTurn, keep
from otel_convlog.shared.objects import turn_object
from otel_convlog.shared.rows import file_row, write_files
from otel_convlog.store.entries import describe
from otel_convlog.store.reading import iterate_bodies

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from psycopg import Connection

    from otel_convlog.shared.database import Database
    from otel_convlog.shared.objects import Objects
    from otel_convlog.store.entries import TurnEntry


def put_file(database: Database, objects: Objects, file: str, path: Path, *, only_add: bool = False) -> int:
    """Bring the turns of a document to the shared log, in the conversation that they say.

    Args:
        database: The database.
        objects: The store.
        file: The document's name.
        path: The document.
        only_add: Whether turns that the shared log has besides stay there.

    Returns:
        How many turns it did not have, or not with this content.

    Raises:
        AwayError: The database or the store cannot be used now. The same again ends what has been begun.
    """
    new, superseded = 0, []
    present: list[str] = []
    for batch in _batches(path):
        wait = objects.put_turns((turn.object, body) for turn, body in batch)
        kept = keep(database, Grouping(), [turn for turn, _ in batch], as_they_say=True, wait_before=wait)
        new += kept.new
        superseded += kept.superseded
        present += [str(turn.value.get("turn_id", "")) for turn, _ in batch]
    if not only_add:
        with database.transaction() as connection:
            superseded += _remove_turns(connection, "file = %s AND NOT turn_id = ANY(%s)", (text(file), texts(present)))
            _describe_anew(connection, file, path)
    objects.remove(superseded)
    return new


def remove_file(database: Database, objects: Objects, file: str) -> None:
    """Remove a document and its turns from the shared log: from the store, the catalog and the evidence.

    Raises:
        AwayError: The database or the store cannot be used now. The same again ends what has been begun.
    """
    with database.transaction() as connection:
        row = connection.execute(
            "DELETE FROM convlog_files WHERE file = %s RETURNING conversation_id", (text(file),)
        ).fetchone()
        gone = _remove_turns(connection, "file = %s", (text(file),))
        if row is not None:
            connection.execute(
                "DELETE FROM convlog_openings WHERE seed = %s"
                " AND NOT EXISTS (SELECT 1 FROM convlog_files WHERE conversation_id = %s)",
                (row[0], row[0]),
            )
        objects.remove([file, *gone])  # before it is said, so that what is left can be removed once more


def remove_conversation(database: Database, objects: Objects, conversation_id: str) -> None:
    """Remove all documents of a conversation, as `remove_file` does one."""
    with database.transaction() as connection:
        files = connection.execute(
            "SELECT file FROM convlog_files WHERE conversation_id = %s", (text(conversation_id),)
        ).fetchall()
    for (file,) in files:
        remove_file(database, objects, file)


def unchanged(connection: Connection, file: str, version: int) -> None:
    """See that a document is what it was.

    Raises:
        ChangedError: It is not.
    """
    row = connection.execute("SELECT version FROM convlog_files WHERE file = %s", (text(file),)).fetchone()
    if row is None or row[0] != version:
        raise ChangedError(f"{file} has been changed by somebody else meanwhile; try again")


def _batches(path: Path) -> Iterator[list[tuple[NewTurn, bytes]]]:
    batch: list[tuple[NewTurn, bytes]] = []
    size = 0
    for body in iterate_bodies(path):
        value = from_any_json(body)
        if not isinstance(value, dict):
            continue
        name = turn_object(str(value.get("turn_id", "")), str(value.get("started_at", "")), body)
        batch.append((NewTurn(value, name, len(body)), body))
        size += len(body)
        if len(batch) >= MOST_TURNS or size >= MOST_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _remove_turns(connection: Connection, where: str, values: Sequence[object]) -> list[str]:
    """Remove turns and their evidence from the database; return the names of their objects."""
    rows = connection.execute(
        f"DELETE FROM convlog_turns WHERE {where} RETURNING number, turn_id, object, keys",  # noqa: S608  our own texts
        values,
    ).fetchall()
    forget_evidence(connection, [(number, keys) for number, _, _, keys in rows])
    connection.execute(
        "UPDATE convlog_turns SET continues = NULL WHERE continues = ANY(%s)", ([row[1] for row in rows],)
    )
    return [name for _, _, name, _ in rows]


def _describe_anew(connection: Connection, file: str, path: Path) -> None:
    turns = sorted(_described(path), key=lambda turn: turn[0])
    connection.execute("UPDATE convlog_turns SET in_document = FALSE WHERE file = %s", (text(file),))
    document = connection.execute(
        "DELETE FROM convlog_files WHERE file = %s RETURNING document", (text(file),)
    ).fetchone()
    with connection.cursor() as cursor:
        write_files(
            cursor, [file_row(file, turns[0][1], [(entry, size) for *_, entry, size in turns], disordered=False)]
        )
    connection.execute(
        "UPDATE convlog_files SET document = %s, rebuild = TRUE, touched = now() - interval '1 day' WHERE file = %s",
        (document and document[0], text(file)),
    )


def _described(path: Path) -> Iterator[tuple[str, str, TurnEntry, int]]:
    for body in iterate_bodies(path):
        value = from_any_json(body)
        if isinstance(value, dict):
            yield str(value.get("started_at")), str(value.get("conversation_id", "")), describe(value), len(body)
