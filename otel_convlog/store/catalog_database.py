"""The catalog's database: what is in it, and how it is opened, by any number of processes at once."""

from __future__ import annotations

import sqlite3
from time import monotonic, sleep
from typing import TYPE_CHECKING

from otel_convlog.store.evidence import EVIDENCE_SCHEMA
from otel_convlog.store.locked_file import make_private_file

if TYPE_CHECKING:
    from pathlib import Path

    from otel_convlog.store.access import Access

FILE_NAME = "catalog.sqlite3"

VERSION = 4
_SCHEMA = f"""
    CREATE TABLE conversations (
        file TEXT PRIMARY KEY,      -- relative to the directory
        conversation_id TEXT NOT NULL,
        route TEXT NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        turn_count INTEGER NOT NULL,
        first_user_text TEXT NOT NULL,
        last_reply TEXT NOT NULL,
        last_client_model TEXT NOT NULL,
        last_backend TEXT NOT NULL,
        inode TEXT NOT NULL,        -- which file it is that has been read (as text: it may have 64 bits),
        tail_offset INTEGER NOT NULL,  -- how far, in bytes,
        size INTEGER NOT NULL,      -- how long it was then
        modified_ns INTEGER NOT NULL  -- and when it had been written last
    ) WITHOUT ROWID;
    CREATE INDEX conversations_by_id ON conversations (conversation_id);
    CREATE INDEX conversations_by_time ON conversations (updated_at);
    CREATE TABLE turns (
        file TEXT NOT NULL,
        turn_id TEXT NOT NULL,
        offset INTEGER NOT NULL,    -- of the turn's JSON in its file, in bytes
        length INTEGER NOT NULL,
        started_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        route TEXT NOT NULL,
        client_model TEXT NOT NULL,
        upstream_model TEXT NOT NULL,
        backend TEXT NOT NULL,
        stream INTEGER NOT NULL,
        duration_ms REAL NOT NULL,
        input_tokens INTEGER,
        output_tokens INTEGER,
        error INTEGER NOT NULL,
        evidence TEXT NOT NULL,     -- by which the turn has found its conversation
        complete INTEGER NOT NULL,  -- whether nothing of it was cut off
        first_token_ms REAL,
        PRIMARY KEY (file, turn_id)
    ) WITHOUT ROWID;
    CREATE TABLE notes (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
{EVIDENCE_SCHEMA}
    PRAGMA user_version = {VERSION};
"""


def connect(path: Path, patience_s: float, access: Access) -> sqlite3.Connection:
    """Open the database, and make it where it is not there.

    Args:
        path: Its file.
        patience_s: How long to wait for other processes.
        access: Who may read it, where it is made.

    Raises:
        sqlite3.DatabaseError: It is none, or of an older release (that class itself, not one of its subclasses).
        sqlite3.OperationalError: It cannot be used now, or is of a newer release.
        OSError: The file cannot be made.
    """
    if path.is_symlink() or not path.exists():  # SQLite would follow a link, and make a file readable to all
        make_private_file(path, access)
    connection = sqlite3.connect(path, timeout=patience_s, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(connection, monotonic() + patience_s)
        # No sync: after a power loss the catalog is made anew, and a write must not wait for the disk because of it.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA secure_delete = ON")  # what is forgotten is not left in the file's free pages
        connection.row_factory = sqlite3.Row
        _settle_schema(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection, deadline: float) -> None:
    """Switch to a write-ahead log. Where another process is just doing that, SQLite refuses without waiting."""
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal":
                return
        except sqlite3.OperationalError:
            if monotonic() > deadline:
                raise
        if monotonic() > deadline:
            raise sqlite3.OperationalError("no write-ahead log can be had there")  # which SQLite does not call an error
        sleep(0.01)


def _settle_schema(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:  # only then: who reads does not wait for those who write
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            version = VERSION
        connection.execute("COMMIT")
    if version > VERSION:
        raise sqlite3.OperationalError(f"it is of version {version}, and this release writes {VERSION}")
    if version != 0 and version < VERSION:
        raise sqlite3.DatabaseError(f"it is of version {version}, and this release writes {VERSION}")
