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
    named = search.exchange.previous_response_id
    if named is None:
        return None
    # Another turn that names the same answer, which itself is not known.
    sibling = search.best(search.matches(search.exchange.id_key(named)), Kind.SEEN)
    return Finding(sibling, sibling.continues) if sibling is not None else None
