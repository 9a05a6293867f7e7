"""Which conversation a turn belongs to, and by what evidence.

Each kind of evidence has its own module. They are asked from the strongest to the weakest: the id that a request
names, then the digest of its history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.identity.explicit import explicit_id
from otel_convlog.identity.seed import seed_id
from otel_convlog.jsontext import from_json, to_json
from otel_convlog.record import Identity

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json
    from otel_convlog.record import TurnRecord

__all__ = ["explicit_id", "get_conversation_id", "identify"]


def identify(record: TurnRecord) -> Identity:
    """Find the conversation of a turn.

    A request that the SDK's limits have cut tells neither its id nor its history; then the id that the turn has read
    from it before counts, else the turn is a conversation of its own.
    """
    if record.request_is_whole:
        return _identity(record.route, record.client_request)
    if record.named_conversation:
        return Identity(record.named_conversation, "explicit")
    return Identity(f"conv_{record.turn_id.removeprefix('turn_')}", "turn")


def get_conversation_id(*, route: str, payload: object) -> str:
    """Return the id of the conversation that a request begins (docs/format.md, "The conversation's id"). Never raises.

    Args:
        route: ``chat``, ``responses``, ``messages``, or any other name.
        payload: The client's request, usually a mapping, as a proxy has it in memory.

    Returns:
        An id of 1 to 120 letters, digits, ``-``, ``_`` and ``.``.
    """
    # Through JSON, so that a request gives the same id here as from its span.
    try:
        return _identity(from_json(to_json(route)), from_json(to_json(payload))).conversation_id
    except (ValueError, RecursionError):  # an orjson.Fragment that is no JSON; a stack that is nearly full
        return seed_id("", None)


def _identity(route: Json, payload: Json) -> Identity:
    explicit = explicit_id(payload)
    if explicit is not None:
        return Identity(explicit, "explicit")
    return Identity(seed_id(route if isinstance(route, str) else str(route), payload), "seed")
