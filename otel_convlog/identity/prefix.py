"""Rule 4: the request begins with an earlier request and its answer, word for word in canonical form.

So does every dialogue that grows, and one that is edited or asked anew behind that point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.identity.evidence import Kind
from otel_convlog.identity.search import Finding

if TYPE_CHECKING:
    from otel_convlog.identity.search import Search

NAME = "prefix"


def find(search: Search) -> Finding | None:
    """Find the turn whose request and answer are the longest beginning of this one's request.

    Where no answer is known of an earlier turn (it failed, broke off, or was not recorded), its request alone counts.
    """
    deepest = search.deepest
    return beginning(search) if deepest is not None and deepest.kind is not Kind.SEEN else None


def beginning(search: Search) -> Finding | None:
    """Return the turn that begins like this one, and which turn this one continues then."""
    deepest = search.deepest
    if deepest is None:
        return None
    known_to, kind, turn = deepest
    same_request = kind is not Kind.ANSWERED and known_to == len(search.exchange.messages)
    return Finding(turn, turn.continues if same_request else turn.turn_id, known_to)
