"""Finding conversations, from the catalog alone: a conversation that crosses midnight, of several files, is one."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.store.catalog import Catalog
from otel_convlog.store.evidence import database_text
from otel_convlog.store.reading import ALL_READ, reindex

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

ORDERS = {
    "updated": "max(c.updated_at)",
    "created": "min(c.created_at)",
    "turns": "count(t.turn_id)",
    "tokens": "total(t.input_tokens) + total(t.output_tokens)",
    "duration": "total(t.duration_ms)",
    "errors": "total(t.error)",
}
_OF_FILES_ALONE = frozenset({"updated", "created"})
_LAST_CHARACTER = "\U0010ffff"


class UnknownConversationError(LookupError):
    """There is no such conversation, or there are several."""


@dataclass(frozen=True)
class Filters:
    """Which conversations are wanted; what is None, or empty, does not matter.

    Attributes:
        day: With a turn that started on this UTC day, ``YYYY-MM-DD``.
        since: Written to at or after this time, or day; `until` before it.
        model: A part of a model's name, asked for by the client or upstream; likewise `backend`.
        route: The route.
        text: A part of what its user said first, or of the last reply, as the catalog has them in short.
        errors: Whether one of its turns has an error.
        complete: Whether nothing of it was cut off.
        evidence: By which one of its turns has found it.
        min_tokens: At least so many went in and out, together.
        min_duration_ms: At least so long did its turns take, together.
    """

    day: str | None = None
    since: str | None = None
    until: str | None = None
    model: str | None = None
    backend: str | None = None
    route: str | None = None
    text: str | None = None
    errors: bool | None = None
    complete: bool | None = None
    evidence: str | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    min_duration_ms: float | None = None
    max_duration_ms: float | None = None


@dataclass(frozen=True)
class ConversationSummary:
    """A conversation, with all its days' files.

    Attributes:
        evidence: By which its turns have found it.
        complete: Whether nothing of it was cut off.
        files: Its files, the first day's first.
    """

    conversation_id: str
    route: str
    created_at: str
    updated_at: str
    turn_count: int
    first_user_text: str
    last_reply: str
    models: tuple[str, ...]  # that clients asked for, and that were asked upstream
    backends: tuple[str, ...]
    input_tokens: int
    output_tokens: int
    duration_ms: float
    errors: int
    complete: bool
    evidence: tuple[str, ...]
    files: tuple[Path, ...]


def bring_up_to_date(directory: Path, on_progress: Callable[[int, int], object] | None = None) -> None:
    """Read the files into a catalog that was never made whole: a new one, or one of another release.

    A catalog that was whole once hears of every turn from its writers; `otel_convlog.store.reindex` reads what others
    have changed.

    Raises:
        OSError: The catalog cannot be written.
    """
    if not directory.is_dir():
        return
    with closing(Catalog(directory)) as catalog:
        whole = catalog.noted(ALL_READ) or catalog.noted(ALL_READ)  # one of another release has just been removed
    if not whole:
        reindex(directory, on_progress=on_progress)


def find_conversations(  # noqa: PLR0913  each says what is wanted
    directory: Path,
    filters: Filters | None = None,
    *,
    order: str = "updated",
    ascending: bool = False,
    limit: int | None = None,
    offset: int = 0,
) -> list[ConversationSummary]:
    """Find conversations, the ones written last first.

    Args:
        directory: The log's directory.
        filters: Which ones; all where nothing is said.
        order: One of `ORDERS`.
        ascending: The smallest first.
        limit: How many at most.
        offset: How many to leave out at the beginning.
    """
    statement, values = _statement(filters or Filters(), order, ascending=ascending)
    found: list[ConversationSummary] = []
    with closing(Catalog(directory)) as catalog, catalog.transaction("BEGIN") as connection:
        if connection is not None:
            rows = connection.execute(
                f"{statement} LIMIT ? OFFSET ?", (*values, -1 if limit is None else limit, offset)
            )
            found = [_summary(directory, connection, row[0]) for row in rows]
    return found


def find_one(directory: Path, filters: Filters, conversation_id: str) -> ConversationSummary | None:
    """Return a conversation where the filters let it through; None where they do not, or it is not there."""
    statement, values = _statement(filters, "updated", ascending=False, conversation_id=conversation_id)
    with closing(Catalog(directory)) as catalog, catalog.transaction("BEGIN") as connection:
        if connection is not None and connection.execute(statement, values).fetchone() is not None:
            return _summary(directory, connection, database_text(conversation_id))
    return None


def _statement(
    filters: Filters, order: str, *, ascending: bool, conversation_id: str | None = None
) -> tuple[str, list[object]]:
    of_files, values = _of_files(filters)
    of_turns, turn_values = _of_turns(filters)
    if conversation_id is not None:
        of_files.append("c.conversation_id = ?")
        values.append(database_text(conversation_id))
    if order == "updated" and not (ascending or of_files or of_turns):
        # The last file of each conversation, by the index: the first page costs the same however many there are.
        newer = "SELECT 1 FROM conversations n WHERE n.conversation_id = c.conversation_id"
        newer += " AND (n.updated_at > c.updated_at OR (n.updated_at = c.updated_at AND n.file > c.file))"
        statement = f"SELECT c.conversation_id FROM conversations c WHERE NOT EXISTS ({newer})"  # noqa: S608  our own texts
        return f"{statement} ORDER BY c.updated_at DESC, c.conversation_id", []
    joined = of_turns or order not in _OF_FILES_ALONE
    statement = "SELECT c.conversation_id FROM conversations c"
    statement += " JOIN turns t ON t.file = c.file" if joined else ""
    statement += f" WHERE {' AND '.join(of_files)}" if of_files else ""
    statement += " GROUP BY c.conversation_id"
    statement += f" HAVING {' AND '.join(of_turns)}" if of_turns else ""
    statement += f" ORDER BY {ORDERS[order]} {'ASC' if ascending else 'DESC'}, c.conversation_id"
    return statement, [*values, *turn_values]


def resolve(directory: Path, shortened: str) -> ConversationSummary:
    """Find a conversation by its id, or by as much of its beginning as tells it from others.

    ``conv_`` before an id that was made by this package may be left out.

    Raises:
        UnknownConversationError: There is none, or there are several.
    """
    with closing(Catalog(directory)) as catalog:
        known = catalog.query("SELECT 1 FROM conversations WHERE conversation_id = ?", (database_text(shortened),))
        found = [shortened] if known else []
        for beginning in (shortened, f"conv_{shortened}"):
            if not found and shortened:
                rows = catalog.query(
                    "SELECT DISTINCT conversation_id FROM conversations"
                    " WHERE conversation_id >= ? AND conversation_id < ? LIMIT 6",
                    (database_text(beginning), database_text(beginning) + _LAST_CHARACTER),
                )
                found = [row[0] for row in rows]
        if len(found) == 1:
            with catalog.transaction("BEGIN") as connection:
                if connection is not None:
                    return _summary(directory, connection, found[0])
    if found:
        raise UnknownConversationError(f"{shortened} is the beginning of several: {', '.join(found[:5])}…")
    raise UnknownConversationError(f"no conversation has the id {shortened}")


def _of_files(filters: Filters) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    values: list[object] = []
    if filters.day is not None:
        conditions.append("c.file >= ? AND c.file < ?")
        values += [f"{filters.day}/", f"{filters.day}0"]  # 0 is the character behind /
    for condition, value in (
        ("c.updated_at >= ?", filters.since),
        ("c.created_at < ?", filters.until),
        ("c.route = ?", filters.route),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if filters.text is not None:
        conditions.append("(c.first_user_text LIKE ? ESCAPE '\\' OR c.last_reply LIKE ? ESCAPE '\\')")
        values += [_containing(filters.text)] * 2
    return conditions, values


def _of_turns(filters: Filters) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    values: list[object] = []

    def wanted(condition: str, *parameters: object) -> None:
        conditions.append(condition)
        values.extend(parameters)

    if filters.model is not None:
        pattern = _containing(filters.model)
        wanted("max(t.client_model LIKE ? ESCAPE '\\' OR t.upstream_model LIKE ? ESCAPE '\\')", pattern, pattern)
    if filters.backend is not None:
        wanted("max(t.backend LIKE ? ESCAPE '\\')", _containing(filters.backend))
    if filters.errors is not None:
        wanted("max(t.error) = ?", int(filters.errors))
    if filters.complete is not None:
        wanted("min(t.complete) = ?", int(filters.complete))
    if filters.evidence is not None:
        wanted("max(t.evidence = ?)", filters.evidence)
    for expression, least, most in (
        (ORDERS["tokens"], filters.min_tokens, filters.max_tokens),
        (ORDERS["duration"], filters.min_duration_ms, filters.max_duration_ms),
    ):
        if least is not None:
            wanted(f"{expression} >= ?", least)
        if most is not None:
            wanted(f"{expression} <= ?", most)
    return conditions, values


def _containing(text: str) -> str:
    escaped = database_text(text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _summary(directory: Path, connection: sqlite3.Connection, conversation_id: str) -> ConversationSummary:
    files = connection.execute(
        "SELECT * FROM conversations WHERE conversation_id = ? ORDER BY file", (conversation_id,)
    ).fetchall()
    sums = connection.execute(
        "SELECT count(*) AS turns, total(input_tokens) AS input_tokens, total(output_tokens) AS output_tokens,"
        " total(duration_ms) AS duration_ms, total(error) AS errors, min(complete) AS complete,"
        " json_group_array(DISTINCT client_model) AS models,"
        " json_group_array(DISTINCT upstream_model) AS upstream_models,"
        " json_group_array(DISTINCT backend) AS backends,"
        " json_group_array(DISTINCT evidence) AS evidence"
        " FROM turns WHERE file IN (SELECT file FROM conversations WHERE conversation_id = ?)",
        (conversation_id,),
    ).fetchone()
    return ConversationSummary(
        conversation_id=conversation_id,
        route=files[0]["route"],
        created_at=files[0]["created_at"],
        updated_at=max(row["updated_at"] for row in files),
        turn_count=sums["turns"],
        first_user_text=files[0]["first_user_text"],
        last_reply=files[-1]["last_reply"],
        models=_names(sums["models"], sums["upstream_models"]),
        backends=_names(sums["backends"]),
        input_tokens=int(sums["input_tokens"]),
        output_tokens=int(sums["output_tokens"]),
        duration_ms=sums["duration_ms"],
        errors=int(sums["errors"]),
        complete=bool(sums["complete"]),
        evidence=_names(sums["evidence"]),
        files=tuple(directory / row["file"] for row in files),
    )


def _names(*arrays: str) -> tuple[str, ...]:
    return tuple(sorted({name for array in arrays for name in json.loads(array) if name}))
