"""Rule 3: the history gives back an id that a known answer contained: of a tool call, an item, a signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.identity.evidence import Kind
from otel_convlog.identity.prefix import beginning
from otel_convlog.identity.search import Finding, of_one_conversation

if TYPE_CHECKING:
    from otel_convlog.identity.search import Search

NAME = "generated_id"


def find(search: Search) -> Finding | None:
    """Find the turn whose answer contained the last of the ids that are known."""
    positions = {key: position for position, key in search.exchange.generated_ids}
    if not positions:
        return None
    keys = list(positions)
    found = search.matches_of(keys)
    for key in reversed(keys):
        turn = search.best(of_one_conversation(found.get(key, ()), Kind.ID), Kind.ID)
        if turn is None:
            continue
        shared = beginning(search)
        if shared and shared.known_to >= positions[key]:  # it reaches as far as the id, so it knows better
            return shared if shared.turn.conversation_id == turn.conversation_id else None
        return Finding(turn, turn.turn_id, positions[key])
    return None
