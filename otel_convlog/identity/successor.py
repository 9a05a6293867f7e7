"""A turn that arrives after one that continues it.

Processes export when they please: the second turn of a dialogue may be there before its first. Then it has found
nothing, and stands in a conversation of its own, which the first one joins when it comes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from otel_convlog.identity.evidence import Kind
from otel_convlog.identity.search import Finding
from otel_convlog.times import earlier

if TYPE_CHECKING:
    from otel_convlog.identity.search import Search

NAME = "prefix"

_CLOCK_DIFFERENCE = timedelta(minutes=1)
_ENOUGH = 120  # bytes of a history and its answer that are no other dialogue's by chance


def find(search: Search, started_at: str) -> Finding | None:
    """Find a turn that shows this one's request and answer, or names its answer.

    It must have begun later, or, since the clocks of two machines differ, not much earlier, if it says much or is under
    the same system prompt: else it continues another turn, with the same words, from before the log began.
    """
    earliest = earlier(started_at, _CLOCK_DIFFERENCE)
    exchange = search.exchange
    shared = sum(said.size for said in exchange.messages) + min((said.size for said, _ in exchange.answers), default=0)
    ids = dict(exchange.answer_ids)
    for key, matches in search.matches_of([*exchange.answered_keys(search.chain), *ids]).items():
        certain = shared >= _ENOUGH or ids.get(key, False)
        later = search.best(
            (
                match
                for match in matches
                if match.turn.started_at > started_at
                or (match.turn.started_at > earliest and (certain or match.turn.system == exchange.system))
            ),
            Kind.SEEN,
        )
        if later is not None:
            return Finding(later, None, continued=True)
    return None
