"""What is kept of each turn, so that a later one that continues it is recognised; and the interface to its keeper."""

from __future__ import annotations

from enum import IntEnum
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

KEY_BYTES = 16


class Kind(IntEnum):
    """What a key stands for. The numbers are stored."""

    ANSWERED = 1  # the messages of a request, and its answer
    REQUESTED = 2  # the messages of a request
    SEEN = 3  # the first messages of a request, or an id that it names, of which no turn was known
    ID = 4  # an id that an answer contained
    EXCHANGE = 5  # the last message of a request and its answer
    ANSWER = 6  # an answer
    LINE = 7  # a line at the beginning of an answer
    HEAD = 8  # the messages of a request, and how its answer begins


class KnownTurn(NamedTuple):
    """A turn that has found its conversation.

    Attributes:
        number: The keeper's own; grows from turn to turn. 0 before it is kept.
        evidence: By what it found its conversation.
        continues: The turn that it continues, where there is one.
        thread: The thread within its conversation, where it has one.
        system: A digest of what its system prompt says.
        opening: The key of its first message, where that is the user's.
        chain: The key of its messages and its answer; where the answer is not known, of its messages.
        answered: Whether its whole answer is known.
        failed: Whether it had none at all, one that broke off, or an error.
        continued: Whether another turn continues it.
    """

    number: int
    turn_id: str
    conversation_id: str
    evidence: str
    continues: str | None
    thread: str | None
    started_at: str
    system: bytes
    opening: bytes
    chain: bytes
    answered: bool
    failed: bool
    continued: bool = False


class Match(NamedTuple):
    """A known turn that has a key."""

    kind: Kind
    turn: KnownTurn


class EvidenceSession(Protocol):
    """The evidence, while nobody else changes it."""

    def turn(self, turn_id: str) -> KnownTurn | None:
        """Return a turn that was kept."""

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of the keys that some turn has."""

    def matches(self, key: bytes, conversation_id: str | None = None) -> list[Match]:
        """Return the turns that have the key, the newest first, a bounded number of them.

        Args:
            key: The key.
            conversation_id: Of this conversation only.
        """

    def next_opening(self, seed: str) -> int:
        """Count a request that opens a conversation; return how many this seed has had, with this one."""

    def note_opening(self, seed: str, number: int) -> None:
        """Note that a seed has had so many openings at least."""

    def add(self, turn: KnownTurn, keys: Iterable[tuple[bytes, Kind]]) -> None:
        """Keep a turn and its keys, and note that the turn which it continues is continued."""

    def forget(self, turn: KnownTurn) -> None:
        """Forget a turn that was kept."""


class EvidenceStore(Protocol):
    """Keeps the evidence of all processes that write to one directory."""

    def session(self) -> AbstractContextManager[EvidenceSession | None]:
        """Give the evidence to one user at a time; None where it cannot be had. Errors of the keeper end there."""


def key_of(*parts: bytes) -> bytes:
    """Return the key for these parts, each of which is a digest or the last one: what is joined stays told apart."""
    return sha256(b"".join(parts)).digest()[:KEY_BYTES]
