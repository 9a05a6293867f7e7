"""Keeping a batch of turns in the database: which conversations they belong to, and what is known of them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.identity import explicit
from otel_convlog.identity.evidence import KnownTurn
from otel_convlog.identity.grouping import Grouping, Question, question_of, remember
from otel_convlog.identity.lookups import dialogue_keys, first_keys
from otel_convlog.identity.seal import unseal
from otel_convlog.shared.database import rows_into, text
from otel_convlog.shared.evidence import BatchEvidence, packed_keys, slot_of
from otel_convlog.shared.removals import note_removals
from otel_convlog.shared.rows import (
    EVIDENCE,
    FACTS,
    TURNS,
    ask_again,
    facts_row,
    file_of,
    file_row,
    identity_row,
    packed_slots,
    write_files,
)
from otel_convlog.store.document import turn_of
from otel_convlog.store.entries import describe
from otel_convlog.times import format_datetime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from otel_convlog.jsontext import Json
    from otel_convlog.record import IdentifiedTurn, Identity
    from otel_convlog.shared.database import Database
    from otel_convlog.shared.evidence import WrittenTurn
    from otel_convlog.shared.objects import PutTurns
    from otel_convlog.store.entries import TurnEntry

_LATE = timedelta(seconds=10)
# Turns that are before turns of the same conversation in a document of another day; `write_files` sees those of one.
_BEFORE_THOSE_OF_ANOTHER_DAY = """
    UPDATE convlog_files f SET disordered = TRUE FROM unnest(%s::text[], %s::text[]) AS new (file, first)
    WHERE f.file = new.file AND NOT f.disordered AND EXISTS (
        SELECT 1 FROM convlog_files o
        WHERE o.conversation_id = f.conversation_id AND o.file <> f.file AND o.last_started > new.first
    )
"""
# Where who has moved turns is killed before he has said so of all documents, they are put right by themselves.
_LEFT = """
    UPDATE convlog_files SET disordered = TRUE, pending = TRUE, rebuild = TRUE, touched = now() + interval '1 minute'
    WHERE file = ANY(%s)
"""
MOST_TURNS = 256  # of a batch: what one transaction holds up others for
MOST_BYTES = 16 << 20


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
    objects: PutTurns,
    as_they_say: bool = False,
) -> int:
    """Find the conversations of turns, and keep what is known of them; two round trips for most batches.

    What has come before is recognised, and changes nothing; with another content, that counts from now on.

    Args:
        database: The database.
        grouping: How a turn finds its conversation.
        turns: The turns.
        objects: Theirs, which are being written. Before the database is asked, and behind what takes the processor,
            they are waited for.
        as_they_say: Whether they stay in the conversation that they say. What is said of documents that have had one of
            them has to be put right then: `otel_convlog.shared.changing`.

    Returns:
        How many of them had not come before; as they say, or not with this content.

    Raises:
        AwayError: The database cannot be used now; nothing is kept.
    """
    newest = {str(new.value.get("turn_id", "")): new for new in turns}
    asked = [_asked(new, grouping) for new in sorted(newest.values(), key=_started_at)]
    keys = [key for one in asked if one.question for key in first_keys(one.question.exchange)]
    slots = [slot for one in asked for slot in _slots(one)]
    objects.wait()
    with database.transaction() as connection:
        evidence = BatchEvidence(database, connection)
        evidence.begin([one.turn.record.turn_id for one in asked], [one.new.object for one in asked], keys, slots)
        objects.put_again(evidence.removed)
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
        _write(connection, evidence, rows, replaced, as_they_say=as_they_say)
        database.round_trips += 1
    return len(rows)


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
    *,
    as_they_say: bool,
) -> None:
    with connection.pipeline(), connection.cursor() as cursor:
        rows_into(cursor, "convlog_turns", TURNS, [_turn_row(row, evidence) for row in rows])
        keys = [(key, added.turn.number, int(kind)) for added in evidence.added.values() for key, kind in added.keys]
        rows_into(cursor, "convlog_evidence", EVIDENCE, keys, rest="ON CONFLICT DO NOTHING")
        write_files(cursor, file_rows := _file_rows(rows))
        if not as_they_say:
            cursor.execute(_BEFORE_THOSE_OF_ANOTHER_DAY, ([row[0] for row in file_rows], [row[3] for row in file_rows]))
        if evidence.continued:
            cursor.execute(
                "UPDATE convlog_turns SET continued = TRUE WHERE turn_id = ANY(%s) AND NOT continued",
                ([text(turn_id) for turn_id in evidence.continued],),
            )
        late = [row.asked.turn.record.started_at for row in rows if row.asked.turn.record.updated_at < _late_before()]
        if late:
            ask_again(cursor, min(late))
        if replaced:
            note_removals(connection, [before.object for before, _ in replaced])
        if as_they_say:
            cursor.execute(_LEFT, (sorted({before.file for before, _ in replaced}),))
            return
        for before, asked in replaced:
            facts = ", ".join(f"{name} = %s" for name in FACTS)
            cursor.execute(
                f"UPDATE convlog_turns SET object = %s, size = %s, seal = %s, in_document = FALSE, {facts}"  # noqa: S608  our own names
                " WHERE number = %s",
                (
                    *(asked.new.object, asked.new.size, asked.new.seal),
                    *(*facts_row(describe(asked.new.value)), before.known.number),
                ),
            )
            cursor.execute(
                "UPDATE convlog_files SET pending = TRUE, rebuild = TRUE, touched = now(),"
                " version = nextval('convlog_versions') WHERE file = %s",
                (before.file,),
            )


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
        packed_slots(_slots(row.asked)),
        row.asked.new.seal,
        row.unmatched,
        *facts_row(row.entry),
    )
