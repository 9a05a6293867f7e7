"""Finds the conversations of turns: what they name, who may share them, and what is known of earlier ones."""

from __future__ import annotations

import hmac
import logging
from collections import deque
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from otel_convlog.identity import explicit
from otel_convlog.identity.exchange import read_exchange
from otel_convlog.identity.grouping import Grouping, Question, alone, evidence_of
from otel_convlog.identity.seal import Sealed, seal
from otel_convlog.jsontext import to_json
from otel_convlog.record import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_convlog.identity.evidence import EvidenceSession, EvidenceStore, Kind, KnownTurn
    from otel_convlog.identity.exchange import Exchange
    from otel_convlog.record import TurnRecord
    from otel_convlog.request_fields import RequestField

_logger = logging.getLogger(__name__)

_MOST_MISSED = 1_000  # turns whose evidence waits to be kept
_SCOPE_BYTES = 8
_LONGEST_IN_SCOPE = 120 - 1 - 2 * _SCOPE_BYTES


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
        self._grouping = Grouping(grouping)
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
        if self._grouping.name == "seed" or not (record.request_is_whole or record.request_is_window):
            return named or alone(record, scope, key)
        found: Identity | None = None
        exchange: Exchange | None = None
        try:
            exchange = read_exchange(record, key + scope)  # what takes long is done before others are kept waiting
            question = Question(record, exchange, named, scope.hex(), partial(alone, record, scope, key))
            with self._evidence.session() as session:
                if session is not None:
                    self._keep_missed(session)
                    found = self._grouping.answer(question, session)
        except Exception:
            _logger.exception("the history of %s could not be read", record.turn_id)
        if found is not None:
            return found
        by_itself = replace(named or alone(record, scope, key), evidence_read=False)
        if exchange is not None and (named or exchange.is_opening):  # these are where they belong
            self._missed.append(evidence_of(record, exchange, exchange.whole_chain, by_itself, None))
        return by_itself

    def seal(self, record: TurnRecord, *, key: bytes = b"") -> str | None:
        """Return by what another machine finds the turn's conversation that does not get all of it; None where nothing.

        Args:
            record: The turn.
            key: As for `identify`.
        """
        if self._grouping.name == "seed" or not (record.request_is_whole or record.request_is_window):
            return None
        try:
            scope = self._scope_of(record, key)
            exchange = read_exchange(record, key + scope)
            return seal(Sealed(exchange, alone(record, scope, key).conversation_id, record.request_is_whole))
        except Exception:
            _logger.exception("the history of %s could not be read", record.turn_id)
            return None

    def _keep_missed(self, session: EvidenceSession) -> None:
        """Keep the evidence of turns that came while it could not be had."""
        while self._missed:
            turn, keys = self._missed.popleft()
            if session.turn(turn.turn_id) is None:
                session.add(turn, keys)

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
            of_clients=self._grouping.name != "seed" or not record.request_is_whole,
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
