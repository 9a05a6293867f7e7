"""The conversation id of a request that names none: a digest of its history (docs/format.md)."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

from otel_convlog.identity.explicit import explicit_id
from otel_convlog.jsontext import from_json, to_compact_text, to_json

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json


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
        route_value, request = from_json(to_json(route)), from_json(to_json(payload))
    except (ValueError, RecursionError):  # an orjson.Fragment that is no JSON; a stack that is nearly full
        return seed_id("", None)
    return explicit_id(request) or seed_id(route_text(route_value), request)


def seed_id(route: str, payload: Json, scope: bytes = b"") -> str:
    """Return ``conv_`` and the first 24 hex digits of the digest of the request's seed.

    Args:
        route: ``chat``, ``responses``, ``messages``, or any other name.
        payload: The client's request.
        scope: What keeps tenants apart.
    """
    try:
        seed = _seed(route, payload)
    except ValueError:  # an integer of more than sys.get_int_max_str_digits() digits: the rule's own str() refuses it
        seed = f"{route}|{to_json(payload).decode()}"
    # Lone surrogates, which UTF-8 has not and the other implementation cannot hash, count as their escapes.
    digest = sha256(scope + seed.encode("utf-8", "backslashreplace")).hexdigest()
    return f"conv_{digest[:24]}"


def route_text(route: Json) -> str:
    """Return a route as the seed has it."""
    return route if isinstance(route, str) else str(route)


def _seed(route: str, payload: Json) -> str:
    request = payload if isinstance(payload, dict) else {}
    if route == "chat":
        messages = request.get("messages", [])
        if not isinstance(messages, list):
            return "chat|"
        normalised: list[Json] = [_message(message) for message in messages if isinstance(message, dict)]
        return "chat|" + to_compact_text(normalised)
    if route == "responses":
        text = request.get("input", [])
        instructions = request.get("instructions") or ""
        return f"responses|{instructions}|{text if isinstance(text, str) else _dumped(text)}"
    if route == "messages":
        return f"messages|{request.get('system', '')}|{_dumped(request.get('messages', []))}"
    return f"{route}|{_dumped(payload)}"


def _dumped(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _message(message: dict[str, Json]) -> dict[str, Json]:
    calls = message.get("tool_calls")
    return {
        "role": message.get("role", ""),
        "content": _content(message.get("content")),
        "tool_call_id": message.get("tool_call_id", ""),
        "tool_calls": [_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else [],
    }


def _content(content: Json) -> Json:
    if content is None:
        return ""
    if isinstance(content, list):
        return [part if isinstance(part, dict) else str(part) for part in content]
    return content if isinstance(content, str) else str(content)


def _call(call: dict[str, Json]) -> dict[str, Json]:
    function = call.get("function")
    return {"id": call.get("id", ""), "name": function.get("name", "") if isinstance(function, dict) else ""}
