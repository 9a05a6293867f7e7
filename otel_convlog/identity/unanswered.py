"""Rule 4 where there was no answer to recognise: the dialogue's first request failed, or was answered with nothing.

Then the client asks once more, in another form, or the user says something else behind it. What has opened a dialogue
must tell it from others, and nobody must have been answered to it. The same question under another system prompt is
another dialogue: while a server is down, an application may ask it for many users. So is a question without an id,
where the one before it named its conversation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.identity import explicit
from otel_convlog.identity.evidence import Kind
from otel_convlog.identity.search import Finding, only_conversation

if TYPE_CHECKING:
    from otel_convlog.identity.search import Search

NAME = "prefix"

_ENOUGH = 64  # bytes of a first message that is no other dialogue's by chance
_ENOUGH_ALIKE = 24  # the same where the system prompt is the same too


def find(search: Search) -> Finding | None:
    """Find the turn without an answer whose whole request is how this one begins."""
    exchange = search.exchange
    if exchange.previous is not None:
        return None
    for opening in exchange.openings[::-1]:
        asked = [match for match in search.matches(opening.key) if match.kind is Kind.REQUESTED]
        turn = only_conversation(asked)
        if turn is None or turn.evidence == explicit.NAME:
            continue
        again = opening.key == search.chain[-1]
        alike = turn.system == exchange.system
        enough = _ENOUGH_ALIKE if alike and exchange.system else _ENOUGH
        if opening.size < enough or (again and not alike) or any(match.turn.answered for match in asked):
            return None
        return Finding(turn, turn.continues if again else turn.turn_id)
    return None
