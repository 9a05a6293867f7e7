"""Changing what a shared log has already: a document that somebody has rewritten, or removed, in a copy of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.identity.grouping import Grouping
from otel_convlog.jsontext import from_any_json
from otel_convlog.shared.away import ChangedError
from otel_convlog.shared.database import text, texts
from otel_convlog.shared.documents import turn_value, turns_of_file
from otel_convlog.shared.evidence import forget_evidence
from otel_convlog.shared.keeping import MOST_BYTES, MOST_TURNS, NewTurn, keep
from otel_convlog.shared.objects import turn_object
from otel_convlog.shared.removals import note_removals, remove_noted
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


class _Described(NamedTuple):
    turn_id: str
    started_at: str
    conversation_id: str
    entry: TurnEntry
    size: int


class Seen(NamedTuple):
    """A document as somebody has seen it who has changed it since.

    Attributes:
        version: Of its row.
        turns: The numbers of its turns.
    """

    version: int
    turns: list[int]


def seen(database: Database, file: str, version: int) -> Seen:
    """See that a document is what it was.

    Args:
        database: The database.
        file: The document's name.
        version: What its row had.

    Raises:
        ChangedError: It is not.
        AwayError: The database cannot be used now.
    """
    with database.transaction() as connection:
        _lock(connection, file, version)
        rows = connection.execute("SELECT number FROM convlog_turns WHERE file = %s", (text(file),)).fetchall()
    return Seen(version, [row[0] for row in rows])


def add_turns(database: Database, objects: Objects, path: Path) -> int:
    """Bring the turns of a document to the shared log, in the conversation that they say.

    `describe_file` must follow.

    Returns:
        How many turns it did not have, or not with this content.

    Raises:
        AwayError: The database or the store cannot be used now. The same again ends what has been begun.
    """
    new = 0
    for batch in _batches(path):
        put = objects.put_turns((turn.object, body) for turn, body in batch)
        new += keep(database, Grouping(), [turn for turn, _ in batch], objects=put, as_they_say=True)
    return new


def describe_file(database: Database, objects: Objects, file: str, path: Path, known: Sequence[int] = ()) -> None:
    """Say of a document anew what it is, and remove from the shared log what has been removed from it.

    Args:
        database: The database.
        objects: The store.
        file: The document's name.
        path: The document; `add_turns` has brought its turns.
        known: The numbers of the turns that it had: those are removed that it does not have any more. What has come
            meanwhile stays.

    Raises:
        AwayError: The database or the store cannot be used now. The same again ends what has been begun.
    """
    turns = list(_described(path))
    conversation_id = turns[0].conversation_id
    present = texts(turn.turn_id for turn in turns)
    with database.transaction() as connection:
        _lock(connection, file)
        gone = "file = %s AND number = ANY(%s) AND NOT turn_id = ANY(%s)"
        note_removals(connection, _remove_turns(connection, gone, (text(file), list(known), present)))
        others = [turn for turn in turns_of_file(connection, file) if turn.turn_id not in set(present)]
        bodies = objects.get_turns((turn.object, turn.size) for turn in others)
        turns += [_described_turn(body) for body in bodies if body is not None]
        _write_row(connection, file, conversation_id, sorted(turns, key=lambda turn: turn.started_at))
    remove_noted(database, objects)


def remove_file(database: Database, objects: Objects, file: str, version: int) -> None:
    """Remove a document and its turns from the shared log: from the store, the catalog and the evidence.

    Args:
        database: The database.
        objects: The store.
        file: The document's name.
        version: What its row had when somebody decided that.

    Raises:
        ChangedError: It has been changed since, and is not removed.
        AwayError: The database or the store cannot be used now. Where it is not in the database any more, the rest is
            removed later.
    """
    with database.transaction() as connection:
        _lock(connection, file, version)
        _remove(connection, file)
    remove_noted(database, objects)


def remove_conversation(database: Database, objects: Objects, conversation_id: str, version: int) -> bool:
    """Remove all documents of a conversation, unless it has changed.

    Args:
        database: The database.
        objects: The store.
        conversation_id: The conversation.
        version: The highest of its documents' rows when somebody decided that.

    Returns:
        Whether it was removed.

    Raises:
        AwayError: As for `remove_file`.
    """
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT file, version FROM convlog_files WHERE conversation_id = %s ORDER BY file FOR UPDATE",
            (text(conversation_id),),
        ).fetchall()
        if max((row[1] for row in rows), default=None) != version:
            return False
        for file, _ in rows:
            _remove(connection, file)
    remove_noted(database, objects)
    return True


def _lock(connection: Connection, file: str, version: int | None = None) -> None:
    """Let no turn come to a document until the transaction ends.

    Raises:
        ChangedError: It has another version than that, if any is given.
    """
    row = connection.execute("SELECT version FROM convlog_files WHERE file = %s FOR UPDATE", (text(file),)).fetchone()
    if version is not None and (row is None or row[0] != version):
        raise ChangedError(f"{file} has been changed by somebody else meanwhile; try again")


def _remove(connection: Connection, file: str) -> None:
    row = connection.execute(
        "DELETE FROM convlog_files WHERE file = %s RETURNING conversation_id", (text(file),)
    ).fetchone()
    note_removals(connection, [file, *_remove_turns(connection, "file = %s", (text(file),))])
    if row is not None:
        connection.execute(
            "DELETE FROM convlog_openings WHERE seed = %s"
            " AND NOT EXISTS (SELECT 1 FROM convlog_files WHERE conversation_id = %s)",
            (row[0], row[0]),
        )


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
        f"DELETE FROM convlog_turns WHERE {where} RETURNING number, turn_id, conversation_id, object, keys",  # noqa: S608  our own texts
        values,
    ).fetchall()
    forget_evidence(connection, [(row[0], row[-1]) for row in rows])
    connection.execute(
        "UPDATE convlog_turns SET continues = NULL WHERE continues = ANY(%s)"
        " AND file IN (SELECT file FROM convlog_files WHERE conversation_id = ANY(%s))",
        ([row[1] for row in rows], list({row[2] for row in rows})),
    )
    return [row[3] for row in rows]


def _write_row(connection: Connection, file: str, conversation_id: str, turns: Sequence[_Described]) -> None:
    connection.execute("UPDATE convlog_turns SET in_document = FALSE WHERE file = %s", (text(file),))
    document = connection.execute(
        "DELETE FROM convlog_files WHERE file = %s RETURNING document", (text(file),)
    ).fetchone()
    with connection.cursor() as cursor:
        described = [(turn.entry, turn.size) for turn in turns]
        write_files(cursor, [file_row(file, conversation_id, described, disordered=False)])
    connection.execute(
        "UPDATE convlog_files SET document = %s, rebuild = TRUE, touched = now() - interval '1 day' WHERE file = %s",
        (document and document[0], text(file)),
    )


def _described(path: Path) -> Iterator[_Described]:
    for body in iterate_bodies(path):
        if isinstance(from_any_json(body), dict):
            yield _described_turn(body)


def _described_turn(body: bytes) -> _Described:
    value = turn_value(body)
    turn_id, started_at = str(value.get("turn_id", "")), str(value.get("started_at"))
    return _Described(turn_id, started_at, str(value.get("conversation_id", "")), describe(value), len(body))
