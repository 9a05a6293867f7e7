"""The evidence by which turns find their conversations (`otel_convlog.identity.evidence`), in the catalog's database.

It is shared by all processes that write to the directory, and survives them. It is bounded: the oldest turns are
forgotten, and a dialogue that goes on after that is a new conversation. Like all of the catalog it can be made anew
from the files.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from time import monotonic
from typing import TYPE_CHECKING

from otel_convlog.identity.evidence import Kind, KnownTurn, Match
from otel_convlog.times import format_datetime

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from otel_convlog.store.catalog import Catalog

EVIDENCE_SCHEMA = """
    CREATE TABLE known_turns (
        number INTEGER PRIMARY KEY,
        turn_id TEXT NOT NULL UNIQUE,
        conversation_id TEXT NOT NULL,
        evidence TEXT NOT NULL,
        continues TEXT,
        thread TEXT,
        started_at TEXT NOT NULL,
        system BLOB NOT NULL,
        opening BLOB NOT NULL,
        chain BLOB NOT NULL,
        answered INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        continued INTEGER NOT NULL
    );
    CREATE TABLE evidence (
        key BLOB NOT NULL,
        number INTEGER NOT NULL,    -- of the turn
        kind INTEGER NOT NULL,
        PRIMARY KEY (key, number, kind)
    ) WITHOUT ROWID;
    CREATE INDEX evidence_by_turn ON evidence (number);
    CREATE TABLE openings (
        seed TEXT PRIMARY KEY,
        count INTEGER NOT NULL,
        last_at TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX openings_by_time ON openings (last_at);
"""

MOST_DAYS = 60
MOST_TURNS = 500_000  # about 300 MB
_MOST_FORGOTTEN = 200  # in one step, so that no turn waits long
_FORGETTING_INTERVAL_S = 5.0

_MOST_MATCHES = 64
_MOST_LOOKED_AT = 1_000  # turns that have the same key: an exchange of greetings
_MOST_VARIABLES = 500  # of one statement; SQLite before 3.32 allows 999

_COLUMNS = (
    "number, turn_id, conversation_id, evidence, continues, thread, started_at,"
    " system, opening, chain, answered, failed, continued"
)


class Evidence:
    """The evidence of one directory.

    Args:
        catalog: The directory's catalog.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._next_forgetting = monotonic() + _FORGETTING_INTERVAL_S

    @contextmanager
    def session(self) -> Iterator[EvidenceTables | None]:
        """Give the evidence to one user at a time; None where it cannot be had."""
        with self._catalog.transaction() as connection:
            if connection is None:
                yield None
                return
            with closing(EvidenceTables(connection)) as tables:
                yield tables
            if monotonic() >= self._next_forgetting:
                self._next_forgetting = monotonic() + _FORGETTING_INTERVAL_S
                _forget_oldest(connection)


class EvidenceTables:
    """The evidence within one transaction.

    Args:
        connection: To the catalog's database.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._cursor = connection.cursor()
        self._cursor.row_factory = None  # plain tuples: there may be many

    def close(self) -> None:
        """End. Nobody may have the connection meanwhile.

        A cursor that went only with its last user would reset a statement that the connection has for all of them,
        perhaps while the next one runs it, whom SQLite then refuses ("bad parameter or other API misuse").
        """
        self._cursor.close()

    def turn(self, turn_id: str) -> KnownTurn | None:
        """Return a turn that was kept."""
        row = self._cursor.execute(
            f"SELECT {_COLUMNS} FROM known_turns WHERE turn_id = ?",  # noqa: S608  our own names
            (turn_id,),
        ).fetchone()
        return KnownTurn._make(row) if row is not None else None

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of the keys that some turn has."""
        found: set[bytes] = set()
        for start in range(0, len(keys), _MOST_VARIABLES):
            some = keys[start : start + _MOST_VARIABLES]
            values = ",".join(["(?)"] * len(some))
            rows = self._cursor.execute(
                f"WITH wanted (key) AS (VALUES {values}) SELECT key FROM wanted"  # noqa: S608  question marks only
                " WHERE EXISTS (SELECT 1 FROM evidence WHERE evidence.key = wanted.key)",
                some,
            )
            found.update(row[0] for row in rows)
        return found

    def matches(self, key: bytes, conversation_id: str | None = None) -> list[Match]:
        """Return the turns that have the key, the newest first, a bounded number of them."""
        rows = self._cursor.execute(
            f"SELECT newest.kind, {_PREFIXED} FROM"  # noqa: S608  our own names
            " (SELECT kind, number FROM evidence WHERE key = ? ORDER BY number DESC LIMIT ?) newest"
            " JOIN known_turns USING (number) WHERE ? IS NULL OR conversation_id = ?"
            " ORDER BY newest.number DESC LIMIT ?",
            (key, _MOST_LOOKED_AT, conversation_id, conversation_id, _MOST_MATCHES),
        )
        return [Match(_KINDS[kind], KnownTurn._make(turn)) for kind, *turn in rows]

    def next_opening(self, seed: str) -> int:
        """Count a request that opens a conversation; return how many this seed has had, with this one."""
        row = self._cursor.execute("SELECT count FROM openings WHERE seed = ?", (seed,)).fetchone()
        count: int = row[0] + 1 if row is not None else 1
        self.note_opening(seed, count)
        return count

    def note_opening(self, seed: str, number: int) -> None:
        """Note that a seed has had so many openings at least."""
        self._cursor.execute(
            "INSERT INTO openings VALUES (?, ?, ?) ON CONFLICT (seed)"
            " DO UPDATE SET count = max(count, excluded.count), last_at = excluded.last_at",
            (seed, number, format_datetime(datetime.now(timezone.utc))),
        )

    def add(self, turn: KnownTurn, keys: Iterable[tuple[bytes, Kind]]) -> None:
        """Keep a turn and its keys, and note that the turn which it continues is continued."""
        number = self._cursor.execute(
            f"INSERT INTO known_turns ({_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  our own names
            (
                *(database_text(turn.turn_id), database_text(turn.conversation_id), database_text(turn.evidence)),
                *(turn.continues and database_text(turn.continues), turn.thread and database_text(turn.thread)),
                *(database_text(turn.started_at), turn.system, turn.opening, turn.chain, turn.answered, turn.failed),
                turn.continued,
            ),
        ).lastrowid
        self._cursor.executemany(
            "INSERT OR IGNORE INTO evidence VALUES (?, ?, ?)", [(key, number, int(kind)) for key, kind in keys]
        )
        if turn.continues is not None:
            self._cursor.execute("UPDATE known_turns SET continued = 1 WHERE turn_id = ?", (turn.continues,))

    def forget(self, turn: KnownTurn) -> None:
        """Forget a turn that was kept."""
        _forget(self._cursor, [(turn.number,)])


_KINDS = {int(kind): kind for kind in Kind}
_PREFIXED = ", ".join(f"known_turns.{name.strip()}" for name in _COLUMNS.split(","))


def forget_turns(connection: sqlite3.Connection, turn_ids: Iterable[str]) -> None:
    """Forget turns, and that others continue them."""
    for turn_id in turn_ids:
        rows = connection.execute("SELECT number FROM known_turns WHERE turn_id = ?", (database_text(turn_id),))
        _forget(connection, [(row[0],) for row in rows])
        connection.execute("UPDATE known_turns SET continues = NULL WHERE continues = ?", (database_text(turn_id),))


def forget_conversation(connection: sqlite3.Connection, conversation_id: str) -> None:
    """Forget all turns of a conversation, and how often one has opened like it."""
    known = database_text(conversation_id)
    rows = connection.execute("SELECT number, turn_id FROM known_turns WHERE conversation_id = ?", (known,)).fetchall()
    _forget(connection, [(row[0],) for row in rows])
    forget_turns(connection, [row[1] for row in rows])
    connection.execute("DELETE FROM openings WHERE seed = ?", (known,))


def _forget_oldest(connection: sqlite3.Connection) -> None:
    """Forget the oldest turns that are past the bounds, a few at a time."""
    newest = connection.execute("SELECT max(number) FROM known_turns").fetchone()[0] or 0
    oldest_kept = format_datetime(datetime.now(timezone.utc) - timedelta(days=MOST_DAYS))
    rows = connection.execute(
        "SELECT number FROM (SELECT number, started_at FROM known_turns ORDER BY number LIMIT ?)"
        " WHERE number <= ? OR started_at < ?",
        (_MOST_FORGOTTEN, newest - MOST_TURNS, oldest_kept),
    ).fetchall()
    _forget(connection, rows)
    connection.execute("DELETE FROM openings WHERE last_at < ?", (oldest_kept,))


def _forget(connection: sqlite3.Connection | sqlite3.Cursor, numbers: Sequence[tuple[int]]) -> None:
    connection.executemany("DELETE FROM evidence WHERE number = ?", numbers)
    connection.executemany("DELETE FROM known_turns WHERE number = ?", numbers)


def database_text(text: str) -> str:
    """Return text that SQLite takes: no lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
