"""Asking once more for the conversation of a turn that shows an earlier one which was not known when it came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.identity.grouping import SEED, TURN, question_of
from otel_convlog.identity.seal import unseal
from otel_convlog.shared.documents import turn_value
from otel_convlog.shared.evidence import BatchEvidence
from otel_convlog.store.document import turn_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_convlog.identity.evidence import Kind, KnownTurn, Match
    from otel_convlog.identity.grouping import Grouping
    from otel_convlog.shared.database import Database
    from otel_convlog.shared.documents import DocumentTurn
    from otel_convlog.shared.objects import Objects


class _EarlierTurns:
    """The evidence of turns of other conversations that began before a turn; an `EvidenceSession` that keeps nothing.

    Args:
        evidence: All evidence.
        turn: The turn.
    """

    def __init__(self, evidence: BatchEvidence, turn: DocumentTurn) -> None:
        self._evidence = evidence
        self._turn = turn

    def turn(self, turn_id: str) -> KnownTurn | None:  # noqa: ARG002  of the interface, as are those below
        return None

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        self._evidence.known(keys)
        return {key for key in keys if self.matches(key)}

    def matches(self, key: bytes, conversation_id: str | None = None) -> list[Match]:
        return [
            match
            for match in self._evidence.matches(key, conversation_id)
            if match.turn.started_at < self._turn.started_at
            and match.turn.conversation_id != self._turn.identity.conversation_id
        ]

    def next_opening(self, seed: str) -> int:  # noqa: ARG002
        return 1

    def note_opening(self, seed: str, number: int) -> None:
        pass

    def add(self, turn: KnownTurn, keys: Iterable[tuple[bytes, Kind]]) -> None:
        pass

    def forget(self, turn: KnownTurn) -> None:
        pass


def earlier_conversations(
    database: Database,
    objects: Objects,
    grouping: Grouping,
    unmatched: Sequence[DocumentTurn],
    seals: Mapping[int, str],
) -> list[str]:
    """Return the conversations that turns of another one continue, as far as their turns have come meanwhile.

    Args:
        database: The database.
        objects: The store.
        grouping: How a turn finds its conversation.
        unmatched: The turns.
        seals: What is compared of them, by their numbers, where their objects do not tell that.

    Raises:
        AwayError: The database or the store cannot be used now.
    """
    found: dict[str, None] = {}
    bodies = objects.get_turns((turn.object, turn.size) for turn in unmatched)
    for turn, body in zip(unmatched, bodies, strict=True):
        seal = seals.get(turn.number)
        question = (
            question_of(turn_of(turn_value(body)), unseal(seal) if seal is not None else None)
            if body is not None
            else None
        )
        if question is None:
            continue
        with database.transaction() as connection:
            identity = grouping.answer(question, _EarlierTurns(BatchEvidence(database, connection), turn))
        if identity.evidence not in {SEED, TURN}:
            found[identity.conversation_id] = None
    return list(found)
