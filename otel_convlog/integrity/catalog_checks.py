"""The catalog against the files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.integrity.problem import Problem
from otel_convlog.store.catalog_database import FILE_NAME, VERSION
from otel_convlog.store.evidence import MOST_DAYS, MOST_TURNS
from otel_convlog.store.locked_file import Stamp
from otel_convlog.times import format_datetime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_convlog.integrity.file_checks import CheckedFile


class _Evidence(NamedTuple):
    oldest: str  # of what is kept
    any_is_kept: bool  # not with GROUPING=seed


def catalog_problems(directory: Path) -> Iterator[Problem]:
    """Yield what is wrong with the database itself."""
    path = directory / FILE_NAME
    if not path.exists():
        yield Problem(path, "catalog", "there is none")
        return
    try:
        with closing(_connect(path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            connection.execute("SELECT count(*) FROM conversations").fetchone()
    except sqlite3.Error as error:
        yield Problem(path, "catalog", str(error))
        return
    if version != VERSION:
        yield Problem(path, "catalog", f"of version {version}; this release writes {VERSION}")
    elif state != "ok":
        yield Problem(path, "catalog", state)


class CatalogCheck:
    """Compares what the catalog says with the files, one after another.

    Args:
        directory: The log's directory; its catalog is a database of this release.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._connection = _connect(directory / FILE_NAME)
        self._connection.row_factory = sqlite3.Row
        kept = self._connection.execute("SELECT count(*) FROM known_turns").fetchone()[0]
        oldest = format_datetime(datetime.now(timezone.utc) - timedelta(days=MOST_DAYS))
        self._evidence = _Evidence(oldest, any_is_kept=0 < kept < MOST_TURNS)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def of_file(self, checked: CheckedFile) -> Iterator[Problem]:
        """Yield where the catalog differs from a file that is a whole document and was not written meanwhile."""
        path = checked.path
        row = self._connection.execute("SELECT * FROM conversations WHERE file = ?", (self._name(path),)).fetchone()
        try:
            if Stamp.of(path.lstat()) != checked.stamp:
                return
        except OSError:
            return
        if row is None:
            yield Problem(path, "catalog-lacks")
            return
        if Stamp(int(row["inode"]), row["size"], row["modified_ns"]) != checked.stamp:
            yield Problem(path, "catalog-behind")
            return
        if checked.turns and (difference := _difference(row, checked)):
            yield Problem(path, "catalog-conversation", difference)
        yield from self._of_turns(checked)

    def gone(self) -> Iterator[Problem]:
        """Yield the files that the catalog has and the log has not."""
        for (file,) in self._connection.execute("SELECT file FROM conversations").fetchall():
            if not (self._directory / file).exists():
                yield Problem(self._directory / file, "catalog-gone")

    def _name(self, path: Path) -> str:
        return path.relative_to(self._directory).as_posix()

    def _of_turns(self, checked: CheckedFile) -> Iterator[Problem]:
        rows = self._connection.execute(
            "SELECT * FROM turns WHERE file = ? ORDER BY offset", (self._name(checked.path),)
        ).fetchall()
        known = [tuple(row)[1:] for row in rows]
        there = [(entry.turn_id, offset, length, *entry.values) for entry, offset, length in checked.turns]
        if known != there:
            differing = next((str(turn[0]) for turn, other in zip(there, known, strict=False) if turn != other), "")
            yield Problem(checked.path, "catalog-turns", f"{len(known)} turns, and there are {len(there)}", differing)
        for entry, _, _ in checked.turns if self._evidence.any_is_kept else ():
            row = self._connection.execute(
                "SELECT conversation_id FROM known_turns WHERE turn_id = ?", (entry.turn_id,)
            ).fetchone()
            is_kept = entry.turn_id in checked.recognisable and str(entry.values[0]) > self._evidence.oldest
            if row is None and is_kept:
                yield Problem(checked.path, "evidence", "not kept", entry.turn_id)
            elif row is not None and row[0] != checked.conversation_id:
                yield Problem(checked.path, "evidence", f"kept for {row[0]}", entry.turn_id)


def _difference(row: sqlite3.Row, checked: CheckedFile) -> str:
    first, last = checked.turns[0][0], checked.turns[-1][0]
    there = {
        "conversation_id": checked.conversation_id,
        "created_at": checked.head.get("created_at"),
        "updated_at": checked.head.get("updated_at"),
        "turn_count": len(checked.turns),
        "first_user_text": first.first_user_text,
        "last_reply": last.reply,
        "last_client_model": last.client_model,
        "last_backend": last.backend,
    }
    return ", ".join(name for name, value in there.items() if row[name] != value)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
