"""Puts conversations right whose turns have come in another order than that in which they were.

A turn that is behind another, whose machine was cut off from the rest, has found nothing to continue, and opened a
conversation; the one before it joins that when it comes. Here the turns are gone through once more, in the order in
which they began, by the rules and the code by which one machine would have, and the conversation gets the id, and its
turns the links, that they would have got there.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.identity.grouping import question_of
from otel_convlog.identity.seal import unseal
from otel_convlog.shared.database import text, texts
from otel_convlog.shared.documents import turn_value, turns_of_conversation
from otel_convlog.shared.keeping import file_of, file_row, identity_row, slots_of, write_files
from otel_convlog.store import ConversationStore
from otel_convlog.store.document import turn_of
from otel_convlog.store.entries import describe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_convlog.identity.grouping import Grouping
    from otel_convlog.record import Identity
    from otel_convlog.shared.database import Database
    from otel_convlog.shared.documents import DocumentMaker, DocumentTurn
    from otel_convlog.shared.objects import Objects
    from otel_convlog.store.entries import TurnEntry

_NUMBERED = re.compile(r"-\d+$")  # an opening that is not the first of its kind


class _Settled(NamedTuple):
    turn: DocumentTurn
    identity: Identity
    entry: TurnEntry

    @property
    def file(self) -> str:
        return file_of(self.turn.started_at, self.identity.conversation_id)


def settle(database: Database, objects: Objects, grouping: Grouping, conversation_id: str) -> None:
    """Put a conversation right; where a turn of it comes meanwhile, nothing is done yet.

    Raises:
        AwayError: The database or the store cannot be used now.
    """
    with database.transaction() as connection:
        turns = turns_of_conversation(connection, conversation_id)
        rows = connection.execute(
            "SELECT number, slots, seal FROM convlog_turns WHERE number = ANY(%s)", ([turn.number for turn in turns],)
        ).fetchall()
    slots = {slot for _, packed, _ in rows for slot in slots_of(packed)}
    seals: dict[int, str] = {number: seal for number, _, seal in rows if seal is not None}
    settled = _settled(turns, seals, objects, grouping)
    if settled is None:
        with database.transaction() as connection:
            connection.execute(
                "UPDATE convlog_files SET disordered = FALSE WHERE conversation_id = %s", (text(conversation_id),)
            )
        return
    files: dict[str, list[_Settled]] = {}
    for one in settled:
        files.setdefault(one.file, []).append(one)
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT slot FROM convlog_slots WHERE slot = ANY(%s) ORDER BY slot FOR UPDATE", (sorted(slots),))
        if turns_of_conversation(connection, conversation_id) != turns:
            return
        identities = list(zip(*(identity_row(one.identity) for one in settled), strict=True))
        cursor.execute(
            "UPDATE convlog_turns t SET conversation_id = s.conversation_id, evidence = s.evidence,"
            " continues = s.continues, thread = s.thread, scope = s.scope, file = s.file, in_document = FALSE"
            " FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])"
            " AS s (number, file, conversation_id, evidence, continues, thread, scope) WHERE t.number = s.number",
            ([one.turn.number for one in settled], [one.file for one in settled], *map(list, identities)),
        )
        old = cursor.execute(
            "SELECT file FROM convlog_files WHERE conversation_id = %s", (text(conversation_id),)
        ).fetchall()
        gone = [file for (file,) in old if file not in files]
        objects.remove(gone)  # before it is said: who comes after a crash here makes them anew, or removes them
        cursor.execute("DELETE FROM convlog_files WHERE file = ANY(%s)", (texts(gone),))
        there = {
            file for (file,) in cursor.execute("SELECT file FROM convlog_files WHERE file = ANY(%s)", (list(files),))
        }
        kept = there & {file for (file,) in old}
        new = [
            file_row(
                file, mine[0].identity.conversation_id, [(one.entry, one.turn.size) for one in mine], disordered=False
            )
            for file, mine in sorted(files.items())
            if file not in kept
        ]
        write_files(cursor, new)
        # What is not new by its id has come late enough: its document is made at once.
        cursor.execute(
            "UPDATE convlog_files SET pending = TRUE, rebuild = TRUE, disordered = FALSE, lease = NULL,"
            " leased_until = NULL, version = nextval('convlog_versions'), touched = now() - interval '1 day'"
            " WHERE file = ANY(%s)",
            (list(files),),
        )


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
        finally:
            maker.give_back(leased)
    else:
        maker.make(leased)
    return True


def _settled(
    turns: Sequence[DocumentTurn], seals: Mapping[int, str], objects: Objects, grouping: Grouping
) -> list[_Settled] | None:
    """Find the conversation of each turn anew, from those before it alone; None where one of them is gone."""
    found: list[_Settled] = []
    with TemporaryDirectory(prefix="convlog-") as folder, closing(ConversationStore(Path(folder))) as store:
        for turn, body in zip(turns, objects.get_turns((turn.object, turn.size) for turn in turns), strict=True):
            if body is None:
                return None
            value = turn_value(body)
            seal = seals.get(turn.number)
            question = question_of(turn_of(value), unseal(seal) if seal is not None else None)
            identity = turn.identity
            if question is not None:
                with store.evidence.session() as session:
                    identity = grouping.answer(question, session) if session is not None else identity
            found.append(_Settled(turn, identity, describe(value)))
    return [one._replace(identity=_kept_together(one, found[0])) for one in found]


def _kept_together(one: _Settled, first: _Settled) -> Identity:
    """Return what a turn is to say: no conversation comes apart here, and none that has a number loses it."""
    new_id, old_id = first.identity.conversation_id, first.turn.identity.conversation_id
    if _NUMBERED.sub("", old_id) == _NUMBERED.sub("", new_id):
        new_id = old_id
    identity = one.identity if one.identity.conversation_id == first.identity.conversation_id else one.turn.identity
    return replace(identity, conversation_id=new_id)
