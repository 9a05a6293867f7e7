"""What is in the files, in a database beside them: ``catalog.sqlite3``.

It is derived: a turn is in the log when it is in its file, and whatever the catalog lacks is found again from the files
(`otel_convlog.store.reindex`). So a catalog that is damaged is thrown away, one that cannot be used is done without,
and nothing here is ever a reason for a turn to fail.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import weakref
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING

from otel_convlog.store.access import OWNER, make_folder
from otel_convlog.store.catalog_database import FILE_NAME, connect
from otel_convlog.store.entries import database_value
from otel_convlog.store.full_text import compact_texts, forget_texts
from otel_convlog.store.locked_file import Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from otel_convlog.store.access import Access
    from otel_convlog.store.entries import FileState, PlacedTurn, TurnEntry

_TURN_COLUMNS = 18

# How long a writer of turns waits for other processes at the database. SQLite does not queue them: of eight that write
# all the time one may wait 0.3 s for its turn.
_BUSY_S = 1.0
_LOOK_S = 1.0  # how often to look whether the file is still the one that is open
# How long a catalog that cannot be used is left alone, since each try may take as long as said above.
_SHORTEST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0

_logger = logging.getLogger(__name__)

# SQLite has locks of its own in the process. A child that is forked while another thread holds one would wait for it
# for ever, so one lock of ours is around all that we do with it, and a fork waits for that.
_lock = threading.RLock()
_LOCK_S = 1.0
_READER_S = 10.0  # that who only reads waits for either: no turn waits for him
_catalogs: weakref.WeakSet[Catalog] = weakref.WeakSet()


class _Hold:
    """One hold on the lock. It is given up where a signal's handler raises, too, at whatever moment that may be.

    So it is the lock itself that is asked whose it is, and no variable, which might not have been written yet.
    """

    def __init__(self) -> None:
        self._lock = _lock
        self._asks = False

    def acquire(self, timeout_s: float) -> bool:
        """Return whether it is had: not by a handler that has come into a hold of its thread, nor after the time."""
        if self._lock._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001  as threading's own condition asks it
            return False
        self._asks = True
        return self._lock.acquire(timeout=timeout_s)

    def release(self) -> None:
        """Give it up, if it is had."""
        if self._asks and self._lock._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001  as above
            self._lock.release()


@contextmanager
def _held(timeout_s: float) -> Iterator[bool]:
    """Hold the lock within the block, and say whether it is had."""
    hold = _Hold()
    try:
        yield hold.acquire(timeout_s)
    finally:
        try:
            hold.release()
        finally:  # where a handler has raised in there
            hold.release()


def _before_fork() -> None:
    # SQLite shares what it knows of a database among the connections of a process, so that a child which has inherited
    # a connection, even an unused one, does not lock its own. The next use opens another, on both sides. In a signal's
    # handler this may end a transaction that it has come into.
    if _lock.acquire(timeout=_READER_S):
        for catalog in list(_catalogs):
            catalog.disconnect()


def _in_parent_after_fork() -> None:
    with suppress(RuntimeError):  # it was not had
        _lock.release()


def _in_child_after_fork() -> None:
    global _lock  # noqa: PLW0603  a thread may hold it that is not there any more
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent_after_fork, after_in_child=_in_child_after_fork)


class Catalog:
    """The catalog of one directory. For any number of threads and processes.

    Args:
        directory: The log's directory.
        for_writing: Whether the directory is made where there is none.
        patience_s: How long to wait for other processes; where nothing is said, longer where nothing is written.
        access: Who may read it, where it is made.
    """

    def __init__(
        self, directory: Path, *, for_writing: bool = False, patience_s: float | None = None, access: Access = OWNER
    ) -> None:
        self._access = access
        self.path = directory / FILE_NAME
        self._for_writing = for_writing
        self._patience_s = patience_s if patience_s is not None else _BUSY_S if for_writing else _READER_S
        self._lock_s = _LOCK_S if for_writing else _READER_S
        self._pause_s = _SHORTEST_PAUSE_S
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._next_look = 0.0
        self._left_alone_until = 0.0
        self._warned = False
        _catalogs.add(self)

    def add(self, state: FileState, known_to: int, turns: Sequence[PlacedTurn]) -> None:
        """Note turns that have been written to the end of a file.

        Args:
            state: The file as it is now.
            known_to: Its tail's offset before; 0 for a new file. Where the catalog has not read the file to there, it
                keeps what it has, and the file's size tells that it wants reading.
            turns: The turns.
        """
        with self.transaction() as connection:
            if connection is None:
                return
            first, last = turns[0][0], turns[-1][0]
            if known_to == 0:
                _insert_conversation(connection, state, first.first_user_text, last)
            elif not connection.execute(
                "UPDATE conversations SET updated_at = ?, turn_count = ?, last_reply = ?, last_client_model = ?,"
                " last_backend = ?, tail_offset = ?, size = ?, modified_ns = ?"
                " WHERE file = ? AND inode = ? AND tail_offset = ?",
                (
                    *(state.updated_at, state.turn_count, last.reply, last.client_model, last.backend),
                    *(state.tail_offset, state.stamp.size, state.stamp.modified_ns),
                    *(state.file, str(state.stamp.inode), known_to),
                ),
            ).rowcount:
                return
            _insert_turns(connection, state.file, turns)

    def replace(self, state: FileState, turns: Sequence[PlacedTurn]) -> bool:
        """Note what a file holds, whatever was known of it; return whether that could be noted.

        Args:
            state: The file.
            turns: All its turns.
        """
        noted = False
        with self.transaction() as connection:
            if connection is None or not turns:
                return connection is not None
            connection.execute("DELETE FROM turns WHERE file = ?", (state.file,))
            forget_texts(connection, state.file)
            _insert_conversation(connection, state, turns[0][0].first_user_text, turns[-1][0])
            _insert_turns(connection, state.file, turns)
            noted = True
        return noted  # noqa: RET504  an error of SQLite's ends within the transaction

    def forget(self, file: str) -> None:
        """Forget a file."""
        with self.transaction() as connection:
            if connection is not None:
                connection.execute("DELETE FROM turns WHERE file = ?", (file,))
                forget_texts(connection, file)
                connection.execute("DELETE FROM conversations WHERE file = ?", (file,))

    def purge(self) -> bool:
        """Leave nothing of what has been deleted: neither in free pages nor in the write-ahead log.

        Returns:
            Whether that was done; not where another process reads or writes all the time.
        """
        with _held(self._lock_s) as held:
            if not held:
                return False
            try:
                connection = self._open()
                if connection is None:
                    return not self.path.exists()
                compact_texts(connection)
                connection.execute("VACUUM")
                busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except (sqlite3.Error, OSError) as error:
                self._give_up(error)
                return False
            return not busy

    def known_files(self) -> dict[str, Stamp]:
        """Return every file's stamp as it was read."""
        rows = self.query("SELECT file, inode, size, modified_ns FROM conversations")
        return {file: Stamp(int(inode), size, modified_ns) for file, inode, size, modified_ns in rows}

    def query(self, statement: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Run a statement that reads; an unusable catalog has no rows."""
        with self.transaction("BEGIN") as connection:
            if connection is not None:
                return connection.execute(statement, parameters).fetchall()
        return []

    def note(self, name: str, value: str) -> None:
        """Keep a word about the catalog itself."""
        with self.transaction() as connection:
            if connection is not None:
                connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def noted(self, name: str) -> str | None:
        """Return what was kept under that name."""
        rows = self.query("SELECT value FROM notes WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with _held(self._lock_s) as held:
            if held:
                self.disconnect()

    @contextmanager
    def transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection | None]:
        """Give the connection for one transaction, or None where there is none; an error of SQLite's ends here."""
        with _held(self._lock_s) as held:
            if not held:
                yield None
                return
            connection = self._begin(begin)
            try:
                yield connection
                if connection is not None:
                    connection.execute("COMMIT")
                    self._pause_s = _SHORTEST_PAUSE_S
            except (sqlite3.Error, OSError) as error:
                if connection is None or connection is self._connection:  # and no fork has come between
                    self._give_up(error)
            except Exception:  # nothing here is a reason for a turn to fail
                self.disconnect()
                _logger.exception("%s has not been told of a turn", self.path)
            except BaseException:
                self.disconnect()
                raise

    def _begin(self, begin: str) -> sqlite3.Connection | None:
        connection = self._open()
        try:
            if connection is not None:
                connection.execute(begin)
        except Exception as error:  # noqa: BLE001  as above
            self._give_up(error)
            return None
        return connection

    def _open(self) -> sqlite3.Connection | None:
        if self._connection is not None and monotonic() >= self._next_look:
            self._next_look = monotonic() + _LOOK_S
            if not self._is_at_path():
                self.disconnect()  # somebody has deleted the catalog
        if self._connection is None and monotonic() >= self._left_alone_until:
            try:
                if self._for_writing:
                    make_folder(self.path.parent, self._access)
                self._connection = connect(self.path, self._patience_s, self._access)
                self._inode = self.path.stat().st_ino
            except (sqlite3.Error, OSError) as error:
                self._give_up(error)
        return self._connection

    def _is_at_path(self) -> bool:
        try:
            return self.path.stat().st_ino == self._inode and self.path.with_name(f"{FILE_NAME}-wal").exists()
        except OSError:
            return False

    def _give_up(self, error: Exception) -> None:
        """Do without the catalog for a while; throw it away where it is damaged."""
        self.disconnect()
        if (
            type(error) is sqlite3.DatabaseError and self._remove()
        ):  # not one of its subclasses: the file is no database
            _logger.warning("%s was damaged (%s) and has been removed; reindex reads the files again", self.path, error)
            return
        # One that others are busy with is free again soon.
        busy = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
        self._left_alone_until = monotonic() + (self._pause_s if busy else _LONGEST_PAUSE_S)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if not self._warned:
            self._warned = True
            _logger.warning("%s cannot be used (%s); the log goes on without it", self.path, error)

    def _remove(self) -> bool:
        try:
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(FILE_NAME + suffix).unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def __del__(self) -> None:
        self.disconnect()

    def disconnect(self) -> None:
        """Close the connection. The caller holds the lock."""
        if self._connection is not None:
            try:
                self._connection.close()
            except sqlite3.Error:
                _logger.debug("%s could not be closed", self.path, exc_info=True)
            self._connection = None


def _insert_conversation(connection: sqlite3.Connection, state: FileState, first_text: str, last: TurnEntry) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO conversations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(state.file, database_value(state.conversation_id), database_value(state.route)),
            *(state.created_at, state.updated_at, state.turn_count),
            *(first_text, last.reply, last.client_model, last.backend),
            *(str(state.stamp.inode), state.tail_offset, state.stamp.size, state.stamp.modified_ns),
        ),
    )


def _insert_turns(connection: sqlite3.Connection, file: str, turns: Sequence[PlacedTurn]) -> None:
    connection.executemany(
        f"INSERT OR REPLACE INTO turns VALUES ({', '.join('?' * _TURN_COLUMNS)})",  # noqa: S608  question marks only
        [(file, entry.turn_id, offset, length, *entry.values) for entry, offset, length in turns],
    )
