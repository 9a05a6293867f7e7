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


def find(search: Search, started_at: str) -> Finding | None:
    """Find a turn that shows this one's request and answer, or names its answer.

    It must have begun later, or, since the clocks of two machines differ, not much earlier under the same system
    prompt: else it continues another turn, with the same words, from before the log began.
    """
    earliest = earlier(started_at, _CLOCK_DIFFERENCE)
    exchange = search.exchange
    ids = [exchange.id_key(generated) for generated in exchange.answer_ids]
    for matches in search.matches_of(exchange.answered_keys(search.chain) + ids).values():
        later = search.best(
            (
                match
                for match in matches
                if match.turn.started_at > started_at
                or (match.turn.started_at > earliest and match.turn.system == exchange.system)
            ),
            Kind.SEEN,
        )
        if later is not None:
            return Finding(later, None, continued=True)
    return None
