"""Puts conversations right whose turns have come in another order than that in which they were.

A turn that is behind another, whose machine was cut off from the rest, has found nothing to continue, and opened a
conversation; the one before it joins that when it comes. Here the turns are gone through once more, in the order in
which they were, by the rules and the code by which one machine would have, and the conversation gets the id, and its
turns the links, that they would have got there. What somebody has moved by hand stays where he has put it.
"""

from __future__ import annotations

import logging
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.identity import compacted, explicit, generated_id, prefix, response_id
from otel_convlog.identity.grouping import question_of, remember
from otel_convlog.identity.seal import unseal
from otel_convlog.shared.away import AwayError
from otel_convlog.shared.database import text, texts
from otel_convlog.shared.documents import turn_value, turns_of_conversations
from otel_convlog.shared.rejoining import earlier_conversations
from otel_convlog.shared.rows import ask_again, file_of, file_row, identity_row, slots_of, write_files
from otel_convlog.store import ConversationStore
from otel_convlog.store.document import turn_of
from otel_convlog.store.entries import describe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from otel_convlog.identity.grouping import Grouping
    from otel_convlog.jsontext import Json
    from otel_convlog.record import Identity
    from otel_convlog.shared.database import Database
    from otel_convlog.shared.documents import DocumentMaker, DocumentTurn
    from otel_convlog.shared.objects import Objects
    from otel_convlog.store.entries import TurnEntry

_logger = logging.getLogger(__name__)

# Other rules may have found a turn that is behind the one that they were asked for.
_SHOWS_WHAT_IT_CONTINUES = frozenset({prefix.NAME, response_id.NAME, generated_id.NAME, compacted.NAME, explicit.NAME})
_NUMBERED = re.compile(r"-\d+$")  # an opening that is not the first of its kind


class _Kept(NamedTuple):
    """What the database has of a turn besides."""

    slots: bytes
    seal: str | None
    unmatched: bool


class _Settled(NamedTuple):
    turn: DocumentTurn
    identity: Identity
    entry: TurnEntry
    was_moved: bool  # by somebody, who knows better

    @property
    def file(self) -> str:
        return file_of(self.turn.started_at, self.identity.conversation_id)


def settle(database: Database, objects: Objects, grouping: Grouping, conversation_id: str) -> None:
    """Put a conversation right, with those that it goes on from; where a turn comes meanwhile, nothing is done yet.

    Raises:
        AwayError: The database or the store cannot be used now.
    """
    with database.transaction() as connection:
        turns = turns_of_conversations(connection, [conversation_id])
        kept = _kept_of(connection, turns)
    if not turns:  # they have gone to another conversation, and who had them go there has died
        _leave(database, conversation_id)  # its documents are removed where they would be made
        return
    unmatched = [turn for turn in turns if kept[turn.number].unmatched]
    seals = {number: of_it.seal for number, of_it in kept.items() if of_it.seal is not None}
    earlier = earlier_conversations(database, objects, grouping, unmatched, seals) if unmatched else []
    together = [conversation_id, *earlier]
    if earlier:
        with database.transaction() as connection:
            turns = turns_of_conversations(connection, together)
            kept = _kept_of(connection, turns)
    settled = _settled(_in_dialogue_order(turns), kept, objects, grouping)
    if settled is None:
        _leave(database, conversation_id)
        return
    files: dict[str, list[_Settled]] = {}
    for one in sorted(settled, key=lambda one: (one.turn.started_at, one.turn.number)):
        files.setdefault(one.file, []).append(one)
    slots = {slot for of_it in kept.values() for slot in slots_of(of_it.slots)}
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT slot FROM convlog_slots WHERE slot = ANY(%s) ORDER BY slot FOR UPDATE", (sorted(slots),))
        cursor.execute(  # in the order in which all take them
            "SELECT file FROM convlog_files WHERE conversation_id = ANY(%s) ORDER BY file FOR UPDATE",
            (texts(together),),
        )
        if turns_of_conversations(connection, together) != turns:
            return
        identities = list(zip(*(identity_row(one.identity) for one in settled), strict=True))
        cursor.execute(
            "UPDATE convlog_turns t SET conversation_id = s.conversation_id, evidence = s.evidence,"
            " continues = s.continues, thread = s.thread, scope = s.scope, file = s.file, in_document = FALSE,"
            " unmatched = t.unmatched AND s.continues IS NULL"
            " FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])"
            " AS s (number, file, conversation_id, evidence, continues, thread, scope) WHERE t.number = s.number",
            ([one.turn.number for one in settled], [one.file for one in settled], *map(list, identities)),
        )
        old = dict(
            cursor.execute(
                "DELETE FROM convlog_files WHERE conversation_id = ANY(%s) RETURNING file, document",
                (texts(together),),
            ).fetchall()
        )
        objects.remove([file for file in old if file not in files])
        write_files(
            cursor,
            [
                file_row(
                    *(file, mine[0].identity.conversation_id, [(one.entry, one.turn.size) for one in mine]),
                    # Those that have joined may go on from others still.
                    disordered=any(kept[one.turn.number].unmatched and one.turn not in unmatched for one in mine),
                )
                for file, mine in sorted(files.items())
            ],
        )
        # It has come late enough: its documents are made at once.
        cursor.execute(
            "UPDATE convlog_files f SET rebuild = TRUE, touched = now() - interval '1 day', document = s.document"
            " FROM unnest(%s::text[], %s::text[]) AS s (file, document) WHERE f.file = s.file",
            (list(files), [old.get(file) for file in files]),
        )
        if earlier and any(one.identity != one.turn.identity for one in settled):
            # What stood in two conversations told nothing.
            ask_again(cursor, min(turn.started_at for turn in turns))


def make_one(  # noqa: PLR0913  what there is to do it with
    maker: DocumentMaker,
    database: Database,
    objects: Objects,
    grouping: Grouping,
    *,
    quiet_s: float,
    conversation_id: str | None = None,
) -> bool:
    """Make a document that is due, or put its conversation right before; return whether there was one.

    Args:
        maker: Makes it, with the same database and store.
        database: The database.
        objects: The store.
        grouping: How a turn finds its conversation.
        quiet_s: How long no turn of it has come.
        conversation_id: Only one of this conversation.

    Raises:
        AwayError: The database or the store cannot be used now.
    """
    leased = maker.lease(quiet_s=quiet_s, conversation_id=conversation_id)
    if leased is None:
        return False
    if leased.disordered:
        try:
            settle(database, objects, grouping, leased.conversation_id)
        except AwayError:
            raise
        except Exception:
            _logger.exception("the turns of %s stay as they came", leased.conversation_id)
            _leave(database, leased.conversation_id)
        finally:
            maker.give_back(leased)
    else:
        maker.make(leased)
    return True


def _leave(database: Database, conversation_id: str) -> None:
    """Let a conversation be as it is."""
    with database.transaction() as connection:
        connection.execute(
            "UPDATE convlog_files SET disordered = FALSE WHERE conversation_id = %s", (text(conversation_id),)
        )


def _kept_of(connection: Connection, turns: Sequence[DocumentTurn]) -> dict[int, _Kept]:
    rows = connection.execute(
        "SELECT number, slots, seal, unmatched FROM convlog_turns WHERE number = ANY(%s)",
        ([turn.number for turn in turns],),
    ).fetchall()
    return {number: _Kept(*values) for number, *values in rows}


def _in_dialogue_order(turns: Sequence[DocumentTurn]) -> list[DocumentTurn]:
    """Return turns as they began, but each behind the one that it continues: their machines' clocks may differ."""
    by_id = {turn.turn_id: turn for turn in turns}
    placed: dict[int, DocumentTurn] = {}
    for turn in turns:
        line: dict[int, DocumentTurn] = {}
        one: DocumentTurn | None = turn
        while one is not None and one.number not in placed and one.number not in line:
            line[one.number] = one
            one = by_id.get(one.identity.continues or "") if one.identity.evidence in _SHOWS_WHAT_IT_CONTINUES else None
        placed.update(reversed(line.items()))
    return list(placed.values())


def _settled(
    turns: Sequence[DocumentTurn], kept: Mapping[int, _Kept], objects: Objects, grouping: Grouping
) -> list[_Settled] | None:
    """Find the conversation of each turn anew, from those before it alone; None where one of them is gone."""
    found: list[_Settled] = []
    with TemporaryDirectory(prefix="convlog-") as folder, closing(ConversationStore(Path(folder))) as store:
        for turn, body in zip(turns, objects.get_turns((turn.object, turn.size) for turn in turns), strict=True):
            if body is None:
                return None
            value = turn_value(body)
            seal = kept[turn.number].seal
            question = question_of(turn_of(value), unseal(seal) if seal is not None else None)
            identity, was_moved = turn.identity, _was_moved(value)
            if question is not None:
                with store.evidence.session() as session:
                    if session is not None and was_moved:
                        remember(question, identity, session)
                    elif session is not None:
                        identity = grouping.answer(question, session)
            found.append(_Settled(turn, identity, describe(value), was_moved))
    return _kept_together(found)


def _was_moved(value: dict[str, Json]) -> bool:
    """Say whether a turn has been put into another conversation (`otel_convlog.store.regrouping`)."""
    notes = value.get("otel")
    return isinstance(notes, dict) and bool(notes.get("moved_from"))


def _kept_together(found: Sequence[_Settled]) -> list[_Settled]:
    """Return what turns are to say: no conversation comes apart here, and none that has a number loses it.

    A conversation goes where its first turn goes; one that somebody has put turns into stays what he has called it.
    """
    chosen = dict.fromkeys(one.turn.identity.conversation_id for one in found if one.was_moved)
    goes_to = {conversation_id: conversation_id for conversation_id in chosen}
    names = dict(goes_to)
    together: list[_Settled] = []
    for one in found:
        old_id, new_id = one.turn.identity.conversation_id, one.identity.conversation_id
        goes_to.setdefault(old_id, new_id)
        names.setdefault(new_id, old_id if _NUMBERED.sub("", old_id) == _NUMBERED.sub("", new_id) else new_id)
        identity = one.identity if new_id == goes_to[old_id] else one.turn.identity
        together.append(one._replace(identity=replace(identity, conversation_id=names[goes_to[old_id]])))
    return together
