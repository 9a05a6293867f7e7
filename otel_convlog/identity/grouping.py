"""Which conversation a turn belongs to, by one rule after the other."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.identity import branch, compacted, explicit, generated_id, prefix, response_id, successor, unanswered
from otel_convlog.identity.evidence import Kind, KnownTurn
from otel_convlog.identity.exchange import read_exchange
from otel_convlog.identity.search import Search
from otel_convlog.identity.seed import route_text, seed_id
from otel_convlog.record import Identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_convlog.identity.evidence import EvidenceSession
    from otel_convlog.identity.exchange import Exchange
    from otel_convlog.identity.seal import Sealed
    from otel_convlog.identity.search import Finding
    from otel_convlog.record import IdentifiedTurn, TurnRecord

SEED, TURN = "seed", "turn"  # by what a turn has its conversation that continues nothing
_OPENING = re.compile(r"(conv_[0-9a-f]{24})(?:-(\d{1,9}))?")  # and its number, where it is not the first


class Question(NamedTuple):
    """A turn whose conversation is to be found.

    Attributes:
        record: The turn.
        exchange: What is compared of it.
        named: Its conversation, where the request names one.
        scope: What keeps tenants apart, as `Identity` has it.
        by_itself: Returns where it goes where it continues nothing.
    """

    record: TurnRecord
    exchange: Exchange
    named: Identity | None
    scope: str
    by_itself: Callable[[], Identity]


@dataclass(frozen=True)
class Grouping:
    """The rules, as the GROUPING setting has them.

    Attributes:
        name: ``lineage``: a turn joins the conversation that it continues; ``dialogue``: likewise, and a dialogue that
            opens like an earlier one is a conversation of its own.
    """

    name: str = "lineage"

    def answer(self, question: Question, session: EvidenceSession) -> Identity:
        """Find the conversation of a turn, and keep what later ones will be recognised by.

        Args:
            question: The turn.
            session: What is known of other turns.
        """
        record, exchange, named, scope, by_itself = question
        known = session.turn(record.turn_id)
        if known is not None:  # its span has come before
            return Identity(known.conversation_id, known.evidence, known.continues, known.thread, scope)
        search = Search(exchange, session, named.conversation_id if named else None)
        rule, finding = (
            _first_finding(search, record.started_at) if record.request_is_whole else _finding_of_window(search)
        )
        if named is not None:
            identity = replace(named, continues=finding.continues) if finding else named
        elif finding is not None:
            identity = Identity(finding.turn.conversation_id, rule, finding.continues, finding.turn.thread, scope)
        else:
            identity = self._opened(search, by_itself()) if record.request_is_whole else by_itself()
        _keep(session, record, search, identity, finding)
        return identity

    def _opened(self, search: Search, by_seed: Identity) -> Identity:
        """Return the conversation of a turn that continues no known one."""
        exchange, seed = search.exchange, by_seed.conversation_id
        if exchange.previous is None:
            if self.name != "dialogue" or not exchange.is_opening:
                return by_seed
            same_seed = re.compile(re.escape(seed) + r"(-\d+)?")
            same_words = search.matches(search.chain[-1])
            openings = [match for match in same_words if same_seed.fullmatch(match.turn.conversation_id)]
            served = {match.turn.conversation_id for match in openings if not match.turn.failed}
            failed = (match for match in openings if match.turn.conversation_id not in served)
            retried = search.best(failed, Kind.REQUESTED)
            if retried is not None:
                return replace(by_seed, conversation_id=retried.conversation_id)
        # Behind an answer that is not known, "go on" is all there is: the same words, but not the same dialogue.
        number = search.session.next_opening(seed)
        return replace(by_seed, conversation_id=f"{seed}-{number}") if number > 1 else by_seed


def question_of(turn: IdentifiedTurn, sealed: Sealed | None = None) -> Question | None:
    """Return the question of a turn's conversation; None where its file has not what it takes, and what it says counts.

    Args:
        turn: From `otel_convlog.store.document.turn_of`.
        sealed: What is compared of it, where that does not stand in its file.
    """
    record, before = turn.record, turn.identity
    if not record.turn_id or (sealed is None and not record.request_is_whole):
        return None
    named = replace(before, continues=None, evidence_read=True) if before.evidence == explicit.NAME else None
    if sealed is not None:
        by_itself = partial(Identity, sealed.seed, SEED if sealed.whole else TURN, scope=before.scope)
        return Question(replace(record, request_is_whole=sealed.whole), sealed.exchange, named, before.scope, by_itself)
    scope = bytes.fromhex(before.scope)
    return Question(record, read_exchange(record, scope), named, before.scope, partial(alone, record, scope, b""))


def remember(question: Question, identity: Identity, session: EvidenceSession) -> None:
    """Keep the evidence of a turn that was written earlier, unless it is kept already for the same conversation.

    Args:
        question: The turn.
        identity: What its file says of its conversation.
        session: The evidence.
    """
    record, exchange, *_ = question
    known = session.turn(record.turn_id)
    if known is not None and known.conversation_id == identity.conversation_id:
        return
    if known is not None:  # somebody has moved it to another conversation's file
        session.forget(known)
    search = Search(exchange, session, identity.conversation_id)
    _keep(session, record, search, identity, prefix.beginning(search))
    opening = _OPENING.fullmatch(identity.conversation_id)
    if opening and identity.evidence == SEED:
        session.note_opening(opening[1], int(opening[2] or 1))


def _first_finding(search: Search, started_at: str) -> tuple[str, Finding | None]:
    recognising = () if search.exchange.is_opening else (response_id, generated_id, prefix, branch)
    for rule in (*recognising, compacted, unanswered):
        finding = rule.find(search)
        if finding is not None:
            return rule.NAME, compacted.last_shown(search, finding)
    return successor.NAME, successor.find(search, started_at)


def _finding_of_window(search: Search) -> tuple[str, Finding | None]:
    """Find the conversation of which a request shows only the end."""
    finding = generated_id.find(search)
    return (generated_id.NAME, finding) if finding is not None else (compacted.NAME, compacted.find(search))


def _keep(
    session: EvidenceSession, record: TurnRecord, search: Search, identity: Identity, finding: Finding | None
) -> None:
    exchange = search.exchange
    turn, keys = evidence_of(record, exchange, search.chain, identity, finding)
    if exchange.previous is not None and search.parent is None:
        keys.append((exchange.previous.key, Kind.SEEN))
    session.add(turn, keys)


def evidence_of(
    record: TurnRecord, exchange: Exchange, chain: list[bytes], identity: Identity, finding: Finding | None
) -> tuple[KnownTurn, list[tuple[bytes, Kind]]]:
    """Return what is kept of a turn."""
    answered_keys = exchange.answered_keys(chain)
    turn = KnownTurn(
        number=0,
        turn_id=record.turn_id,
        conversation_id=identity.conversation_id,
        evidence=identity.evidence,
        continues=identity.continues,
        thread=identity.thread,
        started_at=record.started_at,
        system=exchange.system,
        opening=exchange.opening,
        chain=answered_keys[0] if answered_keys else chain[-1],
        answered=exchange.answered,
        failed=exchange.failed,
        continued=finding is not None and finding.continued,
    )
    return turn, list(exchange.keys(chain, finding.known_to if finding else 0))


def alone(record: TurnRecord, scope: bytes, key: bytes) -> Identity:
    """Return where a turn goes that continues nothing: what its history's digest says, where it shows its history."""
    if record.request_is_whole:  # the digest of a long history takes longer than all else here: not before it is needed
        seed = seed_id(route_text(record.route), record.client_request, key + scope)
        return Identity(seed, SEED, scope=scope.hex())
    return Identity(f"conv_{record.turn_id.removeprefix('turn_')}", TURN, scope=scope.hex())
