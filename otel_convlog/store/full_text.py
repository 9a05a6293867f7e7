"""The tables of the full-text search, in the catalog's database: made when somebody searches for the first time.

They hold what was said, so whatever is forgotten is forgotten here too. Which texts a turn adds, and how they are read,
is `otel_convlog.reading.search`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

_SCHEMA = (
    (
        "CREATE TABLE said ("
        " number INTEGER PRIMARY KEY,"
        " file TEXT NOT NULL, turn_id TEXT NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL)"
    ),
    "CREATE INDEX said_in_file ON said (file)",
    # How far a file has been read for its texts. Like the rest of the catalog it is of no use for another inode.
    "CREATE TABLE said_to (file TEXT PRIMARY KEY, inode TEXT NOT NULL, tail_offset INTEGER NOT NULL) WITHOUT ROWID",
    (
        "CREATE VIRTUAL TABLE said_words USING fts5 (text, content='said', content_rowid='number',"
        " tokenize='unicode61 remove_diacritics 2')"
    ),
    (
        "CREATE TRIGGER said_more AFTER INSERT ON said BEGIN"
        " INSERT INTO said_words (rowid, text) VALUES (new.number, new.text); END"
    ),
    (
        "CREATE TRIGGER said_less AFTER DELETE ON said BEGIN"
        " INSERT INTO said_words (said_words, rowid, text) VALUES ('delete', old.number, old.text); END"
    ),
)


def has_texts(connection: sqlite3.Connection) -> bool:
    """Say whether somebody has searched yet."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'said'").fetchone() is not None


def make_texts(connection: sqlite3.Connection) -> None:
    """Make the tables, where they are not there.

    Raises:
        sqlite3.OperationalError: This SQLite was built without FTS5.
    """
    if not has_texts(connection):
        for statement in _SCHEMA:
            connection.execute(statement)


def forget_texts(connection: sqlite3.Connection, file: str) -> None:
    """Forget what was said in a file; the next search reads it anew, where it is still there."""
    if has_texts(connection):
        connection.execute("DELETE FROM said WHERE file = ?", (file,))
        connection.execute("DELETE FROM said_to WHERE file = ?", (file,))


def compact_texts(connection: sqlite3.Connection) -> None:
    """Leave no word of what was forgotten: FTS5 only marks it as deleted until its parts are merged."""
    if has_texts(connection):
        connection.execute("INSERT INTO said_words (said_words) VALUES ('optimize')")
