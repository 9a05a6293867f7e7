"""What the rules of evidence have in common: the exchange, the evidence, and how to choose among several turns."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.identity.evidence import Kind, Match

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_convlog.identity.evidence import EvidenceSession, KnownTurn
    from otel_convlog.identity.exchange import Exchange


_MOST_COUNTS = 1_000  # of first messages that are looked for: a request may have any number
_ENOUGH = 120  # bytes of a history that is no other dialogue's by chance
_MOST_FOUND = 16  # of them that are looked at: they may be those of other conversations


@dataclass(frozen=True)
class Finding:
    """The turn by which a conversation was recognised.

    Attributes:
        turn: It belongs to the conversation.
        continues: The id of the turn that this one continues; None where that is not known.
        known_to: How many of the request's first messages are known from the conversation.
        continued: Whether this turn is itself continued, by one that came before it.
    """

    turn: KnownTurn
    continues: str | None
    known_to: int = 0
    continued: bool = False


class Beginning(NamedTuple):
    """A turn that has the request's first messages: how many, and how it has them."""

    known_to: int
    kind: Kind
    turn: KnownTurn


class Search:
    """One turn's search for the turn that it continues.

    Args:
        exchange: The turn.
        session: The evidence.
        conversation_id: The conversation that the request names, where it names one; no other counts then.

    Attributes:
        parent: The turn whose answer the request names as the one before it.
        chain: The keys of the request's first messages.
    """

    def __init__(self, exchange: Exchange, session: EvidenceSession, conversation_id: str | None) -> None:
        self.exchange = exchange
        self.session = session
        self._conversation_id = conversation_id
        self.parent = self._named_parent()
        self.chain = self._chain()
        # No functools.cached_property: before Python 3.12 it has a lock, which a forked child finds held for ever.
        self._searched = False
        self._deepest: Beginning | None = None

    @property
    def deepest(self) -> Beginning | None:
        """The known turn that has the most of the request's first messages."""
        if not self._searched:
            self._searched = True
            self._deepest = self._find_deepest()
        return self._deepest

    def _named_parent(self) -> KnownTurn | None:
        """Return the turn whose answer the request names as the one before it."""
        named = self.exchange.previous
        if named is None:
            return None
        return self.best(of_one_conversation(self.matches(named.key), Kind.ID), Kind.ID)

    def _chain(self) -> list[bytes]:
        """Return the keys of the request's first messages; with all that stands before them, as far as it is known."""
        if self.parent is not None:
            return self.exchange.chain(self.parent.chain)
        if self.exchange.previous is not None:
            return self.exchange.chain(self.exchange.previous.key)
        return self.exchange.whole_chain

    def _find_deepest(self) -> Beginning | None:
        last = len(self.exchange.messages)
        whole = self.matches(self.chain[last])
        # The whole request, of which no answer is known: it is tried again. One that was answered counts least, below:
        # what the dialogue had before it tells more.
        for kind, answered in ((Kind.REQUESTED, False), (Kind.ANSWERED, None)):
            if turn := self.best(whole, kind, answered=answered):
                return Beginning(last, kind, turn)
        return self._beginning(last - 1) or self._relative(last, whole)

    def _beginning(self, most: int) -> Beginning | None:
        for count in self._known_counts(most):
            matches = self.matches(self.chain[count])
            if turn := self.best(matches, Kind.ANSWERED):
                return Beginning(count, Kind.ANSWERED, turn)
            if turn := self._unanswered(count, matches):
                return Beginning(count, Kind.REQUESTED, turn)
            if relative := self._relative(count, matches):
                return relative
        return None

    def _unanswered(self, count: int, matches: list[Match]) -> KnownTurn | None:
        """Return the turn that made this request, of which no answer is known.

        Where that is only how the dialogue opens, several may open so: then one under the same system prompt, or none.
        """
        if count < self.exchange.first_answer:
            asked = [match for match in matches if match.kind is Kind.REQUESTED and not match.turn.answered]
            alike = [match for match in asked if match.turn.system == self.exchange.system]
            return only_conversation(asked) or only_conversation(alike)
        return self.best(matches, Kind.REQUESTED, answered=False)

    def _relative(self, count: int, matches: list[Match]) -> Beginning | None:
        """Return a turn of the same dialogue by what the two requests share.

        Either the turn's whole request is the beginning of this one, behind which another answer stands here; or this
        whole request is the beginning of the turn's. That must show an answer: first words alone, and what an
        application has put before everybody's first question (a greeting, examples), make no two dialogues one. Few
        words ("yes", "OK") must show one that is known: a window of two dialogues may show the same.
        """
        if count < self.exchange.first_answer:
            return None
        turn = self.best(matches, Kind.REQUESTED)
        if turn is None and count == len(self.exchange.messages):
            turn = self.best(matches, Kind.SEEN)
        if turn is None or not (self._tells(count) or self._is_answered(count, turn.conversation_id)):
            return None
        return Beginning(count, Kind.SEEN, turn)

    def _tells(self, count: int) -> bool:
        """Say whether the first messages are no other dialogue's by chance."""
        size = 0
        for said in self.exchange.messages[:count]:
            size += said.size
            if size >= _ENOUGH:
                return True
        return False

    def _is_answered(self, count: int, conversation_id: str) -> bool:
        """Say whether a conversation has one of the answers among the first messages, with all that stands before."""
        known = self.matches_of(self.chain[1:count])
        return any(
            match.kind is Kind.ANSWERED and match.turn.conversation_id == conversation_id
            for matches in known.values()
            for match in matches
        )

    def _known_counts(self, most: int) -> Iterable[int]:
        """Yield the numbers of first messages, from `most` down, that some turn has."""
        if most < 1:
            return
        yield most  # in a dialogue that grows it is nearly always this one, so the others are not asked for yet
        least = max(1, most - _MOST_COUNTS)
        known = self.session.known(self.chain[least:most])
        found = (count for count in range(most - 1, least - 1, -1) if self.chain[count] in known)
        yield from islice(found, _MOST_FOUND)

    def matches(self, key: bytes) -> list[Match]:
        """Return the turns that have a key, of the named conversation only where the request names one."""
        return self.session.matches(key, self._conversation_id)

    def matches_of(self, keys: list[bytes]) -> dict[bytes, list[Match]]:
        """Return the turns that have any of these keys, by key."""
        known = self.session.known(keys)
        return {key: self.matches(key) for key in keys if key in known}

    def best(self, matches: Iterable[Match], kind: Kind, *, answered: bool | None = None) -> KnownTurn | None:
        """Choose among turns: one with the same system prompt, then one not yet continued, then the newest."""
        turns = [turn for found, turn in matches if found is kind and (answered is None or turn.answered == answered)]
        if not turns:
            return None
        system = self.exchange.system
        return max(turns, key=lambda turn: (turn.system == system, not turn.continued, turn.started_at, turn.number))


def of_one_conversation(matches: Iterable[Match], kind: Kind) -> list[Match]:
    """Return the matches of a kind, where they are all of one conversation: what several have tells none."""
    found = [match for match in matches if match.kind is kind]
    return found if len({match.turn.conversation_id for match in found}) == 1 else []


def only_conversation(matches: Iterable[Match]) -> KnownTurn | None:
    """Return the newest of these turns where they are all of one conversation."""
    turns = [match.turn for match in matches]
    if len({turn.conversation_id for turn in turns}) != 1:
        return None
    return max(turns, key=lambda turn: (turn.started_at, turn.number))
