"""The shape of Anthropic's messages (https://docs.anthropic.com/en/api/messages)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_convlog.readers.shapes.values import (
    arguments,
    declared,
    function_of,
    is_system,
    kind_of,
    modality,
    only_text,
    parts_of,
    result,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.parts import Object

PARAMETERS: Final[dict[str, str]] = {}


def ask(request: Object, said: Sequence[Json], system: Sequence[Json]) -> None:
    """Add the messages to a request, those of the system's apart."""
    instructions = list(system)
    shaped: list[Json] = []
    for message in said:
        if not isinstance(message, dict):
            continue
        if is_system(message):
            instructions += parts_of(message)
        else:
            role = message.get("role")
            shaped.append({"role": "user" if role == "tool" else role, "content": _content(parts_of(message))})
    if instructions:
        request["system"] = _content(instructions)
    request["messages"] = shaped


def configure(request: Object, parameters: Mapping[str, Json]) -> None:
    """Add the parameters to a request."""
    request.update(parameters)


def answer(response: Object, said: Sequence[Json], reasons: Sequence[Json]) -> None:
    """Add what was answered, and why it ended, to a response."""
    response["role"] = "assistant"
    response["content"] = [_block(part) for message in said for part in parts_of(message)]
    response["stop_reason"] = next((reason for reason in reasons if reason), None)


def tool(given: Json) -> Json:
    """Return a tool."""
    function = function_of(given)
    return given if function is None else declared(function, "input_schema")


def _content(parts: Sequence[Json]) -> Json:
    text = only_text(parts)
    return [_block(part) for part in parts] if text is None else text


def _block(part: Json) -> Json:
    if not isinstance(part, dict):
        return {"type": "text", "text": part}
    shape = _BLOCKS.get(kind_of(part))
    return part if shape is None else shape(part)


def _media(part: Object) -> Json:
    source: Object = {"type": "base64", "media_type": part.get("mime_type"), "data": part.get("content")}
    if part.get("type") == "uri":
        source = {"type": "url", "url": part.get("uri")}
    return {"type": "image" if modality(part) == "image" else "document", "source": source}


_BLOCKS: dict[str, Callable[[Object], Json]] = {
    "text": lambda part: {"type": "text", "text": part["content"]} if "content" in part else part,
    "reasoning": lambda part: {"type": "thinking", "thinking": part.get("content")},
    "tool_call": lambda part: {
        "type": "tool_use",
        "id": part.get("id"),
        "name": part.get("name"),
        "input": arguments(part),
    },
    "tool_call_response": lambda part: {
        "type": "tool_result",
        "tool_use_id": part.get("id"),
        "content": result(part),
    },
    "blob": _media,
    "uri": _media,
}
