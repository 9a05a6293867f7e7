"""The turns of a conversation, one after another over all its days, each read when it is asked for."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.store.catalog import Catalog
from otel_convlog.store.locked_file import Stamp
from otel_convlog.store.reading import index_file, read_turn

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from otel_convlog.jsontext import Json
    from otel_convlog.reading.conversations import ConversationSummary


# In the order in which a place has them.
_COLUMNS = (
    "turn_id, offset, length, started_at, updated_at, client_model, upstream_model, backend, duration_ms,"
    " first_token_ms, input_tokens, output_tokens, evidence, stream, error, complete"
)


@dataclass(frozen=True)
class TurnPlace:
    """Where a turn stands, and what the catalog says of it.

    Attributes:
        number: From 1 on, over all files of its conversation.
        offset: In bytes from its file's beginning; `length` is in bytes too.
    """

    number: int
    path: Path
    turn_id: str
    offset: int
    length: int
    started_at: str
    updated_at: str
    client_model: str
    upstream_model: str
    backend: str
    duration_ms: float
    first_token_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    evidence: str
    stream: bool
    error: bool
    complete: bool

    def read(self) -> dict[str, Json]:
        """Read the turn.

        Raises:
            FileNotFoundError: Its file is there no more.
            ValueError: It stands there no more.
        """
        return read_turn(self.path, self.offset, self.length)


def places_of(directory: Path, conversation: ConversationSummary) -> list[TurnPlace]:
    """Return where the turns of a conversation stand, in the order of its days and files.

    A file that others than the writers of this log have changed is read anew.
    """
    places: list[TurnPlace] = []
    with closing(Catalog(directory)) as catalog:
        for path in conversation.files:
            name = path.relative_to(directory).as_posix()
            _renew(directory, catalog, path, name)
            rows = catalog.query(f"SELECT {_COLUMNS} FROM turns WHERE file = ? ORDER BY offset", (name,))  # noqa: S608  our own names
            places += [_place(path, len(places) + number, row) for number, row in enumerate(rows, 1)]
    return places


def turns_of(places: list[TurnPlace]) -> Iterator[tuple[TurnPlace, dict[str, Json]]]:
    """Yield turns with their places, no more than one of them in memory."""
    for place in places:
        yield place, place.read()


def _renew(directory: Path, catalog: Catalog, path: Path, name: str) -> None:
    rows = catalog.query("SELECT inode, size, modified_ns FROM conversations WHERE file = ?", (name,))
    known = Stamp(int(rows[0][0]), rows[0][1], rows[0][2]) if rows else None
    try:
        if Stamp.of(path.lstat()) != known:
            index_file(directory, catalog, path)
    except FileNotFoundError:
        catalog.forget(name)


def _place(path: Path, number: int, row: sqlite3.Row) -> TurnPlace:
    # A row's columns are a place's fields, in their order, from `turn_id` on.
    return TurnPlace(number, path, *row[:-3], *map(bool, row[-3:]))
