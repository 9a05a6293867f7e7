"""One key for all machines of a log: without content, what is known of a turn depends on it, and its id may, too."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from otel_convlog.store.directory_key import DirectoryKey
from otel_convlog.store.locked_file import write_private_file

if TYPE_CHECKING:
    from pathlib import Path

    from otel_convlog.shared.database import Database

_BYTES = 32


def share_key(database: Database, directory: Path) -> None:
    """Give a spool the key that all have: the first one's.

    Raises:
        AwayError: The database cannot be used now.
        OSError: The key cannot be written.
    """
    key = DirectoryKey(directory)
    mine = key.read()
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO convlog_notes VALUES ('key', %s) ON CONFLICT (name) DO NOTHING",
            ((mine or secrets.token_bytes(_BYTES)).hex(),),
        )
        row = connection.execute("SELECT value FROM convlog_notes WHERE name = 'key'").fetchone()
    shared = bytes.fromhex(row[0]) if row else mine
    if shared != mine:
        write_private_file(key.path, shared)
