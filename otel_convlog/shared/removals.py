"""What is to be removed from the store because nothing refers to it any more.

It is noted in the transaction that drops the last reference, and removed behind that: whoever is killed in between
leaves it to the next one. What comes once more meanwhile is taken out of the notes, and written once more
(`otel_convlog.shared.keeping`); so notes are kept for a while behind the removal too.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from otel_convlog.shared.database import texts
from otel_convlog.store.layout import is_conversation_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

    from otel_convlog.shared.database import Database
    from otel_convlog.shared.objects import Objects

_INTERVAL_S = 5.0
_MOST = 500  # in one step
_REMEMBERED = "1 hour"  # longer than it takes from the writing of an object to the row that refers to it


def note_removals(connection: Connection, names: Iterable[str]) -> None:
    """Have objects and documents removed from the store, once the transaction has ended.

    Args:
        connection: The database's, within the transaction in which their rows go.
        names: Their names.
    """
    if wanted := sorted(set(texts(names))):
        connection.execute(
            "INSERT INTO convlog_removals (name) SELECT unnest(%s::text[])"
            " ON CONFLICT (name) DO UPDATE SET noted_at = now(), removed_at = NULL",
            (wanted,),
        )


def remove_noted(database: Database, objects: Objects) -> int:
    """Remove all that is to be removed, but for what somebody else is at; return how much that was.

    Raises:
        AwayError: The database or the store cannot be used now. What is left is removed later.
    """
    removed = 0
    while done := _remove_some(database, objects):
        removed += done
    return removed


def _remove_some(database: Database, objects: Objects) -> int:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT name FROM convlog_removals WHERE removed_at IS NULL ORDER BY name LIMIT %s FOR UPDATE SKIP LOCKED",
            (_MOST,),
        ).fetchall()
        names = [row[0] for row in rows]
        if names:
            objects.remove(set(names) - _made_anew(connection, names))
            _made_anew(connection, names)  # what its maker has made since is gone with what it was
            connection.execute("UPDATE convlog_removals SET removed_at = now() WHERE name = ANY(%s)", (names,))
    return len(names)


def _made_anew(connection: Connection, names: Iterable[str]) -> set[str]:
    """Have documents made once more whose conversations go on; return their names."""
    rows = connection.execute(
        "UPDATE convlog_files SET pending = TRUE, rebuild = TRUE WHERE file = ANY(%s) RETURNING file",
        ([name for name in names if is_conversation_name(name)],),
    ).fetchall()
    return {row[0] for row in rows}


class Remover:
    """Removes now and then what others have left.

    Args:
        database: The database.
        objects: The store.
    """

    def __init__(self, database: Database, objects: Objects) -> None:
        self._database = database
        self._objects = objects
        self._next = 0.0

    def remove_sometimes(self) -> None:
        """Remove what is to be removed.

        Raises:
            AwayError: The database or the store cannot be used now.
        """
        if monotonic() < self._next:
            return
        self._next = monotonic() + _INTERVAL_S
        remove_noted(self._database, self._objects)
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM convlog_removals WHERE removed_at < now() - %s::interval", (_REMEMBERED,))
