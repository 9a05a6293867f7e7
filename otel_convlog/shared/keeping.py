"""Keeping a batch of turns in the database: which conversations they belong to, and what is known of them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from otel_convlog.identity import explicit
from otel_convlog.identity.evidence import KnownTurn
from otel_convlog.identity.grouping import Grouping, Question, question_of, remember
from otel_convlog.identity.lookups import dialogue_keys, first_keys
from otel_convlog.identity.seal import unseal
from otel_convlog.shared.database import rows_into, text
from otel_convlog.shared.evidence import BatchEvidence, packed_keys, slot_of
from otel_convlog.store.document import turn_of
from otel_convlog.store.entries import describe
from otel_convlog.store.layout import conversation_file, is_day
from otel_convlog.times import format_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import Connection, Cursor

    from otel_convlog.jsontext import Json
    from otel_convlog.record import IdentifiedTurn, Identity
    from otel_convlog.shared.database import Database
    from otel_convlog.shared.evidence import WrittenTurn
    from otel_convlog.store.entries import TurnEntry

_DAY = len("YYYY-MM-DD")
_SLOT_BYTES = 4
_LATE = timedelta(seconds=10)
MOST_TURNS = 256  # of a batch: what one transaction holds up others for
MOST_BYTES = 16 << 20

_FACTS = {
    "started_at": "text",
    "updated_at": "text",
    "route": "text",
    "client_model": "text",
    "upstream_model": "text",
    "backend": "text",
    "stream": "bool",
    "duration_ms": "float8",
    "input_tokens": "bigint",
    "output_tokens": "bigint",
    "error": "bool",
    "complete": "bool",
    "first_token_ms": "float8",
}
_IDENTITY = {"conversation_id": "text", "evidence": "text", "continues": "text", "thread": "text", "scope": "text"}
_TURNS = {
    "number": "bigint",
    "turn_id": "text",
    "file": "text",
    "object": "text",
    "size": "bigint",
    "in_document": "bool",
    **_IDENTITY,
    "system": "bytea",
    "opening": "bytea",
    "chain": "bytea",
    "answered": "bool",
    "failed": "bool",
    "continued": "bool",
    "keys": "bytea",
    "slots": "bytea",
    "seal": "text",
    "unmatched": "bool",
    **_FACTS,
}
_EVIDENCE = {"key": "bytea", "number": "bigint", "kind": "smallint"}
FILES = {
    "file": "text",
    "conversation_id": "text",
    "route": "text",
    "created_at": "text",
    "updated_at": "text",
    "turn_count": "bigint",
    "size_bytes": "bigint",
    "first_user_text": "text",
    "last_reply": "text",
    "last_client_model": "text",
    "last_backend": "text",
    "last_started": "text",
    "disordered": "bool",
}
# A turn that began before another changes what is said of the first; one that began behind all others, of the last.
_ADD_TO_FILES = """
    ON CONFLICT (file) DO UPDATE SET
        route = CASE WHEN excluded.created_at < t.created_at THEN excluded.route ELSE t.route END,
        first_user_text =
            CASE WHEN excluded.created_at < t.created_at THEN excluded.first_user_text ELSE t.first_user_text END,
        created_at = least(t.created_at, excluded.created_at),
        updated_at = CASE WHEN excluded.last_started >= t.last_started THEN excluded.updated_at ELSE t.updated_at END,
        last_reply = CASE WHEN excluded.last_started >= t.last_started THEN excluded.last_reply ELSE t.last_reply END,
        last_client_model = CASE WHEN excluded.last_started >= t.last_started
            THEN excluded.last_client_model ELSE t.last_client_model END,
        last_backend =
            CASE WHEN excluded.last_started >= t.last_started THEN excluded.last_backend ELSE t.last_backend END,
        last_started = greatest(t.last_started, excluded.last_started),
        turn_count = t.turn_count + excluded.turn_count,
        size_bytes = t.size_bytes + excluded.size_bytes,
        disordered = t.disordered OR excluded.disordered OR excluded.created_at < t.last_started,
        version = excluded.version, touched = excluded.touched, pending = TRUE
"""


# Conversations that may go on from what has come late, or come together; but for those that somebody is at, since this
# would wait for him.
ASK_AGAIN = """
    UPDATE convlog_files SET disordered = TRUE, pending = TRUE, touched = now() WHERE file IN (
        SELECT file FROM convlog_files WHERE NOT disordered AND file IN (
            SELECT file FROM convlog_turns WHERE unmatched AND started_at > %s
        ) ORDER BY file FOR UPDATE SKIP LOCKED
    )
"""


class NewTurn(NamedTuple):
    """A turn that is to be kept.

    Attributes:
        value: Its JSON.
        object: The name of its object.
        size: How many bytes that has.
        seal: What is compared of it, where its JSON does not tell that: `otel_convlog.identity.seal`.
    """

    value: dict[str, Json]
    object: str
    size: int
    seal: str | None = None


class Kept(NamedTuple):
    """What has come of a batch.

    Attributes:
        new: How many of its turns had not come before.
        superseded: The objects in whose place others have come.
    """

    new: int
    superseded: list[str]


class _Asked(NamedTuple):
    new: NewTurn
    turn: IdentifiedTurn
    question: Question | None


class _Row(NamedTuple):
    asked: _Asked
    identity: Identity
    file: str
    entry: TurnEntry
    unmatched: bool


def keep(
    database: Database,
    grouping: Grouping,
    turns: Sequence[NewTurn],
    *,
    as_they_say: bool = False,
    wait_before: Callable[[], object] = lambda: None,
) -> Kept:
    """Find the conversations of turns, and keep what is known of them; two round trips for most batches.

    What has come before is recognised, and changes nothing; with another content, that counts from now on.

    Args:
        database: The database.
        grouping: How a turn finds its conversation.
        turns: The turns.
        as_they_say: Whether they stay in the conversation that they say.
        wait_before: Called before the database is asked, and behind what takes the processor: it returns when their
            objects are there.

    Raises:
        AwayError: The database cannot be used now; nothing is kept.
    """
    newest = {str(new.value.get("turn_id", "")): new for new in turns}
    asked = [_asked(new, grouping) for new in sorted(newest.values(), key=_started_at)]
    keys = [key for one in asked if one.question for key in first_keys(one.question.exchange)]
    slots = [slot for one in asked for slot in _slots(one)]
    wait_before()
    with database.transaction() as connection:
        evidence = BatchEvidence(database, connection)
        evidence.begin([one.turn.record.turn_id for one in asked], keys, slots)
        rows: list[_Row] = []
        replaced: list[tuple[WrittenTurn, _Asked]] = []
        for one in asked:
            before = evidence.written.get(text(one.turn.record.turn_id))
            if before is not None and before.object == one.new.object:
                continue
            if before is not None:
                replaced.append((before, one))
                if not as_they_say:
                    continue
                evidence.forget(before.known)
            asking = _asked_with(one, before.seal) if before is not None else one
            rows.append(_identified(asking, grouping, evidence, as_they_say=as_they_say))
        _write(connection, evidence, rows, () if as_they_say else replaced)
        database.round_trips += 1
    return Kept(len(rows), [before.object for before, _ in replaced])


def file_of(started_at: str, conversation_id: str) -> str:
    """Return the name of the document that a turn belongs into.

    Raises:
        ValueError: The turn does not say on which day it began.
    """
    if not is_day(started_at[:_DAY]):
        raise ValueError(f"{started_at!r} is no time")
    return conversation_file(started_at[:_DAY], conversation_id)


def file_row(
    file: str, conversation_id: str, turns: Sequence[tuple[TurnEntry, int]], *, disordered: bool
) -> tuple[object, ...]:
    """Return what is said of a document, or added to what is said of it, in the order of `FILES`.

    Args:
        file: Its name.
        conversation_id: The conversation.
        turns: Turns of it, in the order in which they began, and how many bytes they have.
        disordered: Whether it has a turn that has come after another before which it was.
    """
    first, last = turns[0][0], turns[-1][0]
    return (
        file,
        text(conversation_id),
        text(str(first.values[2])),
        text(str(first.values[0])),
        text(str(last.values[1])),
        len(turns),
        sum(size for _, size in turns),
        text(first.first_user_text),
        text(last.reply),
        text(last.client_model),
        text(last.backend),
        text(str(last.values[0])),
        disordered,
    )


def _started_at(new: NewTurn) -> str:
    return str(new.value.get("started_at", ""))


def _asked(new: NewTurn, grouping: Grouping) -> _Asked:
    turn = turn_of(new.value)
    if grouping.name == "seed":
        return _Asked(new, turn, None)
    return _Asked(new, turn, question_of(turn, unseal(new.seal) if new.seal is not None else None))


def _asked_with(asked: _Asked, seal: str | None) -> _Asked:
    """Return a turn that is kept anew with what is compared of it, where its object did not tell that before."""
    if seal is None:
        return asked
    return asked._replace(new=asked.new._replace(seal=seal), question=question_of(asked.turn, unseal(seal)))


def _slots(asked: _Asked) -> list[int]:
    return [slot_of(key) for key in dialogue_keys(asked.question.exchange)] if asked.question else []


def _identified(asked: _Asked, grouping: Grouping, evidence: BatchEvidence, *, as_they_say: bool) -> _Row:
    record, identity = asked.turn.record, asked.turn.identity
    if asked.question is None:
        evidence.add(_unread(asked.turn), [])
    elif as_they_say:
        remember(asked.question, identity, evidence)
    else:
        identity = grouping.answer(asked.question, evidence)
    file = file_of(record.started_at, identity.conversation_id)
    return _Row(asked, identity, file, describe(asked.new.value), not as_they_say and _is_unmatched(asked, identity))


def _is_unmatched(asked: _Asked, identity: Identity) -> bool:
    """Say whether a turn shows an earlier one, and has found none that it continues."""
    found = identity.continues is not None or identity.evidence == explicit.NAME
    return not found and asked.question is not None and asked.question.exchange.goes_on


def _unread(turn: IdentifiedTurn) -> KnownTurn:
    """Return what is kept of a turn of which no other is recognised."""
    record, identity = turn.record, turn.identity
    return KnownTurn(
        number=0,
        turn_id=record.turn_id,
        conversation_id=identity.conversation_id,
        evidence=identity.evidence,
        continues=identity.continues,
        thread=identity.thread,
        started_at=record.started_at,
        system=b"",
        opening=b"",
        chain=b"",
        answered=False,
        failed=False,
    )


def _write(
    connection: Connection,
    evidence: BatchEvidence,
    rows: Sequence[_Row],
    replaced: Sequence[tuple[WrittenTurn, _Asked]],
) -> None:
    with connection.pipeline(), connection.cursor() as cursor:
        rows_into(cursor, "convlog_turns", _TURNS, [_turn_row(row, evidence) for row in rows])
        keys = [(key, added.turn.number, int(kind)) for added in evidence.added.values() for key, kind in added.keys]
        rows_into(cursor, "convlog_evidence", _EVIDENCE, keys, rest="ON CONFLICT DO NOTHING")
        write_files(cursor, _file_rows(rows))
        if evidence.continued:
            cursor.execute(
                "UPDATE convlog_turns SET continued = TRUE WHERE turn_id = ANY(%s) AND NOT continued",
                ([text(turn_id) for turn_id in evidence.continued],),
            )
        late = [row.asked.turn.record.started_at for row in rows if row.asked.turn.record.updated_at < _late_before()]
        if late:
            cursor.execute(ASK_AGAIN, (min(late),))
        for before, asked in replaced:
            facts = ", ".join(f"{name} = %s" for name in _FACTS)
            cursor.execute(
                f"UPDATE convlog_turns SET object = %s, size = %s, seal = %s, in_document = FALSE, {facts}"  # noqa: S608  our own names
                " WHERE number = %s",
                (
                    *(asked.new.object, asked.new.size, asked.new.seal),
                    *(*_facts(describe(asked.new.value)), before.known.number),
                ),
            )
            cursor.execute(
                "UPDATE convlog_files SET pending = TRUE, rebuild = TRUE, touched = now(),"
                " version = nextval('convlog_versions') WHERE file = %s",
                (before.file,),
            )


def write_files(cursor: Cursor[Any], rows: Sequence[tuple[object, ...]]) -> None:
    """Say of documents that they have turns to come; the rows are those of `file_row`."""
    also = {"version": "nextval('convlog_versions')", "touched": "now()", "pending": "TRUE", "rebuild": "FALSE"}
    rows_into(cursor, "convlog_files", FILES, rows, also=also, rest=_ADD_TO_FILES)


def _file_rows(rows: Sequence[_Row]) -> list[tuple[object, ...]]:
    by_file: dict[str, list[_Row]] = {}
    for row in rows:
        by_file.setdefault(row.file, []).append(row)
    # In one order for all, so that nobody waits for somebody who waits for him.
    return [
        file_row(
            file,
            mine[0].identity.conversation_id,
            [(row.entry, row.asked.new.size) for row in mine],
            disordered=any(_came_late(row) for row in mine),
        )
        for file, mine in sorted(by_file.items())
    ]


def _came_late(row: _Row) -> bool:
    """Say whether a turn, or one before it, may have come late.

    It may have found one that continues it (`otel_convlog.identity.successor`), or none that it continues.
    """
    return row.unmatched or (row.identity.evidence == "prefix" and row.identity.continues is None)


def _late_before() -> str:
    """Return the time before which a turn must have ended that comes now, to have come late."""
    return format_datetime(datetime.now(timezone.utc) - _LATE)


def _turn_row(row: _Row, evidence: BatchEvidence) -> tuple[object, ...]:
    identity, (turn, keys) = row.identity, evidence.added[row.asked.turn.record.turn_id]
    return (
        turn.number,
        text(turn.turn_id),
        row.file,
        row.asked.new.object,
        row.asked.new.size,
        False,
        *identity_row(identity),
        turn.system,
        turn.opening,
        turn.chain,
        turn.answered,
        turn.failed,
        turn.continued,
        packed_keys(keys),
        b"".join(slot.to_bytes(_SLOT_BYTES, "big") for slot in _slots(row.asked)),
        row.asked.new.seal,
        row.unmatched,
        *_facts(row.entry),
    )


def identity_row(identity: Identity) -> tuple[str | None, ...]:
    """Return the columns that say which conversation a turn belongs to."""
    return (
        text(identity.conversation_id),
        text(identity.evidence),
        identity.continues and text(identity.continues),
        identity.thread and text(identity.thread),
        identity.scope,
    )


def slots_of(packed: bytes) -> list[int]:
    """Return the slots that a turn's row names."""
    return [int.from_bytes(packed[start : start + _SLOT_BYTES], "big") for start in range(0, len(packed), _SLOT_BYTES)]


def _facts(entry: TurnEntry) -> tuple[object, ...]:
    """Return what a turn was, in the order of `_FACTS`, from what a directory's catalog says of it."""
    (started, updated, route, client, upstream, backend, stream, duration, given, made, error, _, complete, first) = (
        entry.values
    )
    said = [text(str(value)) for value in (started, updated, route, client, upstream, backend)]
    return (*said, bool(stream), duration, given, made, bool(error), bool(complete), first)
