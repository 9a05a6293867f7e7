"""Rule 5: the request shares a beginning with a known turn, through at least one answer, and then goes another way.

An earlier answer was edited, a question asked anew, or the turns in between are not known. First words alone do not
count: they are the same in many dialogues.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.identity.evidence import Kind
from otel_convlog.identity.exchange import head_key
from otel_convlog.identity.prefix import beginning
from otel_convlog.identity.search import Finding

if TYPE_CHECKING:
    from otel_convlog.identity.search import Search

NAME = "branch"


def find(search: Search) -> Finding | None:
    """Find the turn that shares the longest beginning with this one."""
    return beginning(search) or _by_head(search)


def _by_head(search: Search) -> Finding | None:
    """Find the turn whose first answer begins like the one in the history: it was cut short, or added to."""
    exchange = search.exchange
    for count, said in enumerate(exchange.messages):
        if said.assistant:
            key = head_key(search.chain[count], said)
            turn = search.best(search.matches(key), Kind.HEAD) if key is not None else None
            return Finding(turn, turn.turn_id, count) if turn is not None else None
    return None
