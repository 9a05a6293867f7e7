"""Turns as they are written, by all processes of one directory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from otel_convlog.store.catalog import Catalog
from otel_convlog.store.reading import read_turn
from otel_convlog.times import earlier

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from otel_convlog.jsontext import Json

# A turn that has ended is written within this time; what has waited longer (for a disk) is not followed any more.
_LATE = timedelta(minutes=1)
_MOST_SEEN = 100_000
_COLUMNS = (
    "c.conversation_id, t.turn_id, t.updated_at, t.client_model, t.upstream_model, t.backend, t.input_tokens,"
    " t.output_tokens, t.duration_ms, t.first_token_ms, t.error, t.file, t.offset, t.length"
)


@dataclass(frozen=True)
class RecentTurn:
    """A turn that has been written, as the catalog has it."""

    conversation_id: str
    turn_id: str
    updated_at: str
    client_model: str
    upstream_model: str
    backend: str
    input_tokens: int | None
    output_tokens: int | None
    duration_ms: float
    first_token_ms: float | None
    error: bool
    path: Path
    offset: int
    length: int

    def read(self) -> dict[str, Json]:
        """Read the turn.

        Raises:
            FileNotFoundError: Its file is there no more.
            ValueError: It stands there no more.
        """
        return read_turn(self.path, self.offset, self.length)


class Follower:
    """Tells which turns are new since it was asked last.

    Args:
        directory: The log's directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._catalog = Catalog(directory)
        self._seen: dict[str, None] = {}
        self._newest = ""

    def last(self, count: int, *, follow: bool = True) -> list[RecentTurn]:
        """Return the turns that were written last, the newest last.

        Args:
            count: How many.
            follow: Whether `new` is to be asked afterwards.
        """
        most = max(count, 1)
        rows = self._rows("t.file IN (SELECT file FROM conversations ORDER BY updated_at DESC LIMIT ?)", (most,), most)
        if follow:
            self._note(self._rows("t.updated_at >= ? AND c.updated_at >= ?", (self._horizon(rows),) * 2))
            self._note(rows)
        return rows[len(rows) - count :] if count < len(rows) else rows

    def new(self) -> list[RecentTurn]:
        """Return the turns that have been written since."""
        horizon = earlier(self._newest, _LATE) if self._newest else ""
        rows = self._rows("t.updated_at >= ? AND c.updated_at >= ?", (horizon, horizon))
        fresh = [row for row in rows if row.turn_id not in self._seen]
        self._note(fresh)
        return fresh

    def close(self) -> None:
        """Close the catalog."""
        self._catalog.close()

    def _horizon(self, rows: Sequence[RecentTurn]) -> str:
        return earlier(rows[-1].updated_at, _LATE) if rows else ""

    def _note(self, turns: Sequence[RecentTurn]) -> None:
        for turn in turns:
            self._seen[turn.turn_id] = None
            self._newest = max(self._newest, turn.updated_at)
        while len(self._seen) > _MOST_SEEN:
            del self._seen[next(iter(self._seen))]

    def _rows(self, where: str, parameters: Sequence[object], limit: int = -1) -> list[RecentTurn]:
        rows = self._catalog.query(
            f"SELECT * FROM (SELECT {_COLUMNS} FROM conversations c JOIN turns t USING (file) WHERE {where}"  # noqa: S608  our own texts
            " ORDER BY t.updated_at DESC, t.turn_id DESC LIMIT ?) ORDER BY updated_at, turn_id",
            (*parameters, limit),
        )
        return [_turn(self._directory, row) for row in rows]


def _turn(directory: Path, row: sqlite3.Row) -> RecentTurn:
    values = {name: row[name] for name in row.keys() if name != "file"}  # noqa: SIM118  a row is no dict
    values["error"] = bool(values["error"])
    return RecentTurn(path=directory / row["file"], **values)
