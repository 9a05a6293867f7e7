"""Rule 2: the request names the answer that it continues (``previous_response_id`` of the responses protocol)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.identity.evidence import Kind
from otel_convlog.identity.search import Finding

if TYPE_CHECKING:
    from otel_convlog.identity.search import Search

NAME = "response_id"


def find(search: Search) -> Finding | None:
    """Find the turn whose answer has the id that the request names."""
    if search.parent is not None:
        return Finding(search.parent, search.parent.turn_id)
    named = search.exchange.previous
    if named is None or not named.generated:  # a server that counts, resp_1, has one for every user
        return None
    # Another turn that names the same answer, which itself is not known.
    matches = search.matches(named.key)
    if any(match.kind is Kind.ID for match in matches):
        return None
    sibling = search.best(matches, Kind.SEEN)
    return Finding(sibling, sibling.continues) if sibling is not None else None
