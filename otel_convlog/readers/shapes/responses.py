"""The shape of OpenAI's responses (https://platform.openai.com/docs/api-reference/responses)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_convlog.readers.shapes import chat
from otel_convlog.readers.shapes.values import (
    arguments_text,
    declared,
    function_of,
    kind_of,
    only_text,
    parts_of,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.parts import Object

PARAMETERS: Final = {"max_tokens": "max_output_tokens"}


def ask(request: Object, said: Sequence[Json], system: Sequence[Json]) -> None:
    """Add the input to a request; a system message at its beginning is the instructions."""
    if not system and len(said) > 1 and isinstance(first := said[0], dict) and first.get("role") == "system":
        system, said = parts_of(first), said[1:]
    if system:
        request["instructions"] = text_of(system)
    request["input"] = [item for message in said if isinstance(message, dict) for item in _items(message)]


def configure(request: Object, parameters: Mapping[str, Json]) -> None:
    """Add the parameters to a request."""
    request.update(parameters)


def answer(response: Object, said: Sequence[Json], reasons: Sequence[Json]) -> None:
    """Add what was answered, and why it ended, to a response."""
    response["output"] = [
        item for message in said if isinstance(message, dict) for item in _items(message, answers=True)
    ]
    if reason := next((reason for reason in reasons if reason), None):
        response["finish_reason"] = reason


def tool(given: Json) -> Json:
    """Return a tool."""
    function = function_of(given)
    return given if function is None else {"type": "function", **declared(function, "parameters")}


def _items(message: Object, *, answers: bool = False) -> list[Json]:
    """Return a message as items."""
    items: list[Json] = []
    said: list[Json] = []
    for part in parts_of(message):
        shape = _ITEMS.get(kind_of(part)) if isinstance(part, dict) else None
        if shape is None or not isinstance(part, dict):
            said.append(part)
            continue
        if said:
            items.append(_message(message, said, answers=answers))
            said = []
        items.append(shape(part))
    if said or not items:
        items.append(_message(message, said, answers=answers))
    return items


def _message(message: Object, parts: Sequence[Json], *, answers: bool) -> Object:
    role = message.get("role")
    text = only_text(parts)
    if text is not None and not answers:
        return {"role": role, "content": text}
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [_part(part, kind) for part in parts]}


def _part(part: Json, kind: str) -> Json:
    shaped = chat.part(part)
    return {**shaped, "type": kind} if isinstance(shaped, dict) and shaped.get("type") == "text" else shaped


_ITEMS: dict[str, Callable[[Object], Json]] = {
    "tool_call": lambda part: {
        "type": "function_call",
        "call_id": part.get("id"),
        "name": part.get("name"),
        "arguments": arguments_text(part),
    },
    "tool_call_response": lambda part: {
        "type": "function_call_output",
        "call_id": part.get("id"),
        "output": chat.result_text(part),
    },
    "reasoning": lambda part: {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": part.get("content")}],
    },
}
