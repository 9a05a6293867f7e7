"""Finds the conversations of turns, by one rule after the other."""

from __future__ import annotations

import hmac
import logging
import re
from collections import deque
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from otel_convlog.identity import branch, compacted, explicit, generated_id, prefix, response_id, successor, unanswered
from otel_convlog.identity.evidence import EvidenceStore, Kind, KnownTurn
from otel_convlog.identity.exchange import read_exchange
from otel_convlog.identity.search import Search
from otel_convlog.identity.seed import route_text, seed_id
from otel_convlog.jsontext import to_json
from otel_convlog.record import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_convlog.identity.evidence import EvidenceSession
    from otel_convlog.identity.exchange import Exchange
    from otel_convlog.identity.search import Finding
    from otel_convlog.record import TurnRecord
    from otel_convlog.request_fields import RequestField

_logger = logging.getLogger(__name__)

_MOST_MISSED = 1_000  # turns whose evidence waits to be kept
_SCOPE_BYTES = 8
_LONGEST_IN_SCOPE = 120 - 1 - 2 * _SCOPE_BYTES
_OPENING = re.compile(r"(conv_[0-9a-f]{24})(?:-(\d{1,9}))?")  # and its number, where it is not the first


class Identifier:
    """Finds the conversations of turns.

    Args:
        evidence: What is known of earlier turns.
        grouping: ``lineage``: a turn joins the conversation that it continues; ``dialogue``: likewise, and a dialogue
            that opens like an earlier one is a conversation of its own; ``seed``: neither, the rule of docs/format.md
            alone.
        scope: Where the values stand that keep tenants apart; two turns with other values share no conversation.
        conversation_keys: Where else than clients have it the id of a conversation stands.
        shown: Takes secrets out of a text: a client may send one as an id.
    """

    def __init__(
        self,
        evidence: EvidenceStore,
        *,
        grouping: str = "lineage",
        scope: Sequence[RequestField] = (),
        conversation_keys: Sequence[RequestField] = (),
        shown: Callable[[str], str] = str,
    ) -> None:
        self._evidence = evidence
        self._grouping = grouping
        self._scope = tuple(scope)
        self._conversation_keys = tuple(conversation_keys)
        self._shown = shown
        self._missed: deque[tuple[KnownTurn, list[tuple[bytes, Kind]]]] = deque(maxlen=_MOST_MISSED)

    def identify(self, record: TurnRecord, *, key: bytes = b"") -> Identity:
        """Find the conversation of a turn, and keep what later ones will be recognised by.

        A request that the SDK's limits have cut tells neither its id nor its history; then an id that the span has
        beside it counts, or what is left of its history, else the turn is a conversation of its own. Where the evidence
        cannot be had, the turn goes where it would go if it continued nothing.

        Args:
            record: The turn.
            key: Where there is one, all that is kept of the turn depends on it, the ids that it names too, so that
                who has only the log cannot try out what was said. Turns of other keys share no conversation.
        """
        scope = self._scope_of(record, key)
        named = self._named_safely(record, scope, key)
        if self._grouping == "seed" or not (record.request_is_whole or record.request_is_window):
            return named or _alone(record, scope, key)
        found: Identity | None = None
        exchange: Exchange | None = None
        try:
            exchange = read_exchange(record, key + scope)  # what takes long is done before others are kept waiting
            with self._evidence.session() as session:
                if session is not None:
                    self._keep_missed(session)
                    found = self._find(record, exchange, session, named, partial(_alone, record, scope, key))
        except Exception:
            _logger.exception("the history of %s could not be read", record.turn_id)
        if found is not None:
            return found
        alone = replace(named or _alone(record, scope, key), evidence_read=False)
        if exchange is not None and (named or exchange.is_opening):  # these are where they belong
            self._missed.append(_evidence_of(record, exchange, exchange.whole_chain, alone, None))
        return alone

    def _keep_missed(self, session: EvidenceSession) -> None:
        """Keep the evidence of turns that came while it could not be had."""
        while self._missed:
            turn, keys = self._missed.popleft()
            if session.turn(turn.turn_id) is None:
                session.add(turn, keys)

    def _find(
        self,
        record: TurnRecord,
        exchange: Exchange,
        session: EvidenceSession,
        named: Identity | None,
        alone: partial[Identity],
    ) -> Identity:
        scope = alone.args[1].hex()
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
            identity = self._opened(search, alone()) if record.request_is_whole else alone()
        _keep(session, record, search, identity, finding)
        return identity

    def _opened(self, search: Search, by_seed: Identity) -> Identity:
        """Return the conversation of a turn that continues no known one."""
        exchange, seed = search.exchange, by_seed.conversation_id
        if exchange.previous_response_id is None:
            if self._grouping != "dialogue" or not exchange.is_opening:
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

    def _named_safely(self, record: TurnRecord, scope: bytes, key: bytes) -> Identity | None:
        try:
            return self._named(record, scope, key)
        except Exception:
            _logger.exception("the conversation that %s names could not be read", record.turn_id)
            return None

    def _named(self, record: TurnRecord, scope: bytes, key: bytes) -> Identity | None:
        named = explicit.named_conversation(
            record.client_request if record.request_is_whole else None,
            record.request_headers,
            record.attributes,
            keys=self._conversation_keys,
            of_clients=self._grouping != "seed" or not record.request_is_whole,
            id_of=lambda text: keyed_id(key, text) if key else self._id_of(text),
        )
        if named is None:
            return None
        conversation_id = named.conversation_id
        if scope:  # the same id of another tenant is another conversation
            conversation_id = f"{conversation_id[:_LONGEST_IN_SCOPE]}-{scope.hex()}"
        return Identity(conversation_id, explicit.NAME, None, named.thread, scope.hex())

    def _id_of(self, text: str) -> str:
        """Return the id that a text names; a digest of one that holds a secret, since the id is a file's name too."""
        try:
            if self._shown(text) == text:
                return explicit.safe_id(text)
        except Exception:
            _logger.exception("an id could not be looked at for secrets")
        return keyed_id(b"", text)

    def _scope_of(self, record: TurnRecord, key: bytes) -> bytes:
        """Return a digest of what keeps the turn's tenant apart; nothing where there is no such setting."""
        if not self._scope:
            return b""
        try:
            values = [
                field.value(record.client_request, record.request_headers, record.attributes) for field in self._scope
            ]
            return sha256(key + to_json(values)).digest()[:_SCOPE_BYTES]
        except Exception:  # then it is a tenant of its own: not one of others, and not the one that has none
            _logger.exception("the tenant of %s could not be read", record.turn_id)
            return sha256(record.turn_id.encode("utf-8", "replace")).digest()[:_SCOPE_BYTES]


def keyed_id(key: bytes, text: str) -> str:
    """Return the id of a conversation that does not show by what text it was named."""
    return f"conv_{hmac.digest(key, text.encode('utf-8', 'backslashreplace'), 'sha256').hex()[:24]}"


def remember(record: TurnRecord, identity: Identity, session: EvidenceSession) -> None:
    """Keep the evidence of a turn that was written earlier, unless it is kept already for the same conversation.

    Args:
        record: The turn, as its file has it.
        identity: What its file says of its conversation.
        session: The evidence.
    """
    known = session.turn(record.turn_id)
    if known is not None and known.conversation_id == identity.conversation_id:
        return
    if known is not None:  # somebody has moved it to another conversation's file
        session.forget(known)
    search = Search(read_exchange(record, bytes.fromhex(identity.scope)), session, identity.conversation_id)
    _keep(session, record, search, identity, prefix.beginning(search))
    opening = _OPENING.fullmatch(identity.conversation_id)
    if opening and identity.evidence == "seed":
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
    turn, keys = _evidence_of(record, exchange, search.chain, identity, finding)
    if exchange.previous_response_id is not None and search.parent is None:
        keys.append((exchange.id_key(exchange.previous_response_id), Kind.SEEN))
    session.add(turn, keys)


def _evidence_of(
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


def _alone(record: TurnRecord, scope: bytes, key: bytes) -> Identity:
    """Return where a turn goes that continues nothing: what its history's digest says, where it shows its history."""
    if record.request_is_whole:  # the digest of a long history takes longer than all else here: not before it is needed
        seed = seed_id(route_text(record.route), record.client_request, key + scope)
        return Identity(seed, "seed", scope=scope.hex())
    return Identity(f"conv_{record.turn_id.removeprefix('turn_')}", "turn", scope=scope.hex())
