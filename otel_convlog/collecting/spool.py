"""Spans that have been acknowledged and wait in memory for others of their calls, kept on the disk meanwhile.

One SQLite database for each process, in ``.collecting`` in the log's directory. Its process holds the lock on it; one
that nobody holds is of a process that was killed, and is taken over by the next that starts. It also knows which spans
have been settled lately, so that what such a process had not acknowledged yet may be sent once more.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, TypeAlias

from otel_convlog.assembly.call import Recent
from otel_convlog.collecting.received_span import SPAN_ID_BYTES, TRACE_ID_BYTES
from otel_convlog.store.access import OWNER, make_folder
from otel_convlog.store.locked_file import make_private_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from otel_convlog.collecting.received_span import ReceivedSpan

    Key: TypeAlias = "tuple[int, int]"  # a span's trace and span id

FOLDER = ".collecting"

_MOST_SETTLED = 65_536
_SCHEMA = """
    PRAGMA secure_delete = ON;
    CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY, key BLOB UNIQUE, span BLOB) STRICT;
    CREATE TABLE IF NOT EXISTS settled (number INTEGER PRIMARY KEY, key BLOB UNIQUE) STRICT;
"""

_logger = logging.getLogger(__name__)


class Spool:
    """Keeps the spans that wait. For one thread at a time.

    Args:
        directory: The log's directory.
        durable: Whether what is kept survives the loss of power, not only the end of the process.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, directory: Path, *, durable: bool) -> None:
        folder = directory / FOLDER
        make_folder(folder, OWNER)
        self.path = folder / f"{os.getpid()}-{secrets.token_hex(4)}.sqlite3"
        make_private_file(self.path, OWNER)
        self._waiting: dict[Key, None] = {}
        self._settled: Recent[Key, None] = Recent(_MOST_SETTLED)
        try:
            self._connection = _open(self.path)
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
            self._take_over(folder)
        except sqlite3.Error as error:
            raise OSError(f"{self.path} cannot be used: {error}") from error

    @property
    def waits(self) -> bool:
        """Whether it keeps any span."""
        return bool(self._waiting)

    def knows(self, key: Key) -> bool:
        """Say whether a span has come before."""
        return key in self._waiting or key in self._settled

    def keep(self, spans: Collection[ReceivedSpan]) -> None:
        """Keep spans; they are with the operating system when this returns.

        Raises:
            OSError: They could not be kept; none of them is.
        """
        rows = [(_packed(span.key), span.as_resource_spans()) for span in spans]
        try:
            with self._connection:
                self._connection.executemany("INSERT OR IGNORE INTO waiting (key, span) VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            raise OSError(f"{self.path}: {error}") from error
        self._waiting.update(dict.fromkeys(span.key for span in spans))

    def settle(self, still_waiting: Collection[Key]) -> None:
        """Let all spans go but some: what they tell is in the log.

        Raises:
            OSError: They could not be let go, and are still there.
        """
        settled = [key for key in self._waiting if key not in still_waiting]
        if not settled:
            return
        rows = [(_packed(key),) for key in settled]
        try:
            with self._connection as connection:
                connection.executemany("DELETE FROM waiting WHERE key = ?", rows)
                connection.executemany("INSERT OR IGNORE INTO settled (key) VALUES (?)", rows)
                connection.execute(
                    "DELETE FROM settled WHERE number <= (SELECT max(number) FROM settled) - ?", (_MOST_SETTLED,)
                )
        except sqlite3.Error as error:
            raise OSError(f"{self.path}: {error}") from error
        for key in settled:
            del self._waiting[key]
            self._settled.note(key, None)

    def note(self, keys: Iterable[Key]) -> None:
        """Remember, as long as this process runs, spans that need not be kept: they are in the log."""
        for key in keys:
            self._settled.note(key, None)

    def kept(self) -> Iterator[bytes]:
        """Yield the spans that are kept, each as `ReceivedSpan.as_resource_spans` has it, in their order.

        Raises:
            OSError: They cannot be read.
        """
        try:
            for (span,) in self._connection.execute("SELECT span FROM waiting ORDER BY number"):
                yield span
        except sqlite3.Error as error:
            raise OSError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """End; the database stays where there are spans that wait."""
        self._connection.close()
        if not self._waiting:
            _remove(self.path)

    def _take_over(self, folder: Path) -> None:
        """Take what processes have left that were killed."""
        for path in sorted(folder.glob("*.sqlite3")):
            if path == self.path:
                continue
            try:
                with closing(_open(path)) as other:
                    waiting = other.execute("SELECT key, span FROM waiting ORDER BY number").fetchall()
                    settled = other.execute("SELECT key FROM settled ORDER BY number").fetchall()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):  # else its process is alive
                    _logger.warning("%s cannot be taken over, and is left there: %s", path, error)
                continue
            except sqlite3.DatabaseError as error:
                damaged = path.with_name(f"{path.name}.damaged")
                _logger.warning("%s is damaged (%s), and kept as %s", path, error, damaged.name)
                path.replace(damaged)
                continue
            with self._connection as connection:
                connection.executemany("INSERT OR IGNORE INTO waiting (key, span) VALUES (?, ?)", waiting)
                connection.executemany("INSERT OR IGNORE INTO settled (key) VALUES (?)", settled)
            self._waiting.update(dict.fromkeys(_unpacked(key) for key, _ in waiting))
            self.note(_unpacked(key) for (key,) in settled)
            _remove(path)


def _open(path: Path) -> sqlite3.Connection:
    """Open a database for this process alone.

    Raises:
        sqlite3.OperationalError: Another process has it.
    """
    connection = sqlite3.connect(path, timeout=0.0, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
    except BaseException:
        connection.close()
        raise
    return connection


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        with suppress(OSError):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _packed(key: Key) -> bytes:
    return key[0].to_bytes(TRACE_ID_BYTES, "big") + key[1].to_bytes(SPAN_ID_BYTES, "big")


def _unpacked(key: bytes) -> Key:
    return int.from_bytes(key[:TRACE_ID_BYTES], "big"), int.from_bytes(key[TRACE_ID_BYTES:], "big")
