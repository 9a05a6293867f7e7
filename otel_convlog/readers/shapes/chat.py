"""The shape of OpenAI's chat/completions (https://platform.openai.com/docs/api-reference/chat)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_convlog.jsontext import to_json
from otel_convlog.readers.shapes.values import (
    arguments_text,
    declared,
    function_of,
    modality,
    only_text,
    parts_of,
    result,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.parts import Object

_BESIDE = frozenset({"tool_calls", "tool_call_id"})

PARAMETERS: Final = {"stop_sequences": "stop", "choice_count": "n"}


def ask(request: Object, said: Sequence[Json], system: Sequence[Json]) -> None:
    """Add the messages to a request."""
    shaped: list[Json] = [{"role": "system", "content": _content(system)}] if system else []
    given: Sequence[Any] = said
    for message in given:
        try:  # nearly all are one text, and there may be hundreds
            parts = message["parts"]
            first = parts[0]
            if first["type"] == "text" and len(parts) == 1 and not message.get("name") and _BESIDE.isdisjoint(message):
                shaped.append({"role": message["role"], "content": first["content"]})
                continue
        except (TypeError, KeyError, IndexError, AttributeError):
            pass
        if isinstance(message, dict):
            shaped += _messages(message)
    request["messages"] = shaped


def configure(request: Object, parameters: Mapping[str, Json]) -> None:
    """Add the parameters to a request."""
    request.update(parameters)


def answer(response: Object, said: Sequence[Json], reasons: Sequence[Json]) -> None:
    """Add what was answered, and why it ended, to a response."""
    response["choices"] = [
        {
            "index": at,
            "message": _message(message, parts_of(message)) if isinstance(message, dict) else None,
            "finish_reason": reason,
        }
        for at, (message, reason) in enumerate(zip(said, reasons, strict=True))
    ]


def tool(given: Json) -> Json:
    """Return a tool."""
    function = function_of(given)
    return given if function is None else {"type": "function", "function": declared(function, "parameters")}


def part(given: Json) -> Json:
    """Return a part of a content."""
    if not isinstance(given, dict):
        return {"type": "text", "text": given}
    kind = given.get("type")
    if kind == "text" and "content" in given:
        return {"type": "text", "text": given["content"]}
    if kind in ("blob", "uri"):
        url = given.get("uri") or f"data:{given.get('mime_type') or ''};base64,{given.get('content') or ''}"
        if modality(given) == "image":
            return {"type": "image_url", "image_url": {"url": url}}
        return {"type": "file", "file": {"file_data": url}}
    if kind == "file" and "file_id" in given:
        return {"type": "file", "file": {"file_id": given["file_id"]}}
    return given


def result_text(given: Object) -> Json:
    """Return what a tool gave back: text, or parts."""
    value = result(given)
    if isinstance(value, list) and all(isinstance(item, dict) and isinstance(item.get("type"), str) for item in value):
        return [part(item) for item in value]
    return value if value is None or isinstance(value, str) else to_json(value).decode()


def _messages(message: Object) -> list[Json]:
    """Return a message as those of a chat; each tool's result is one of its own there."""
    shaped: list[Json] = []
    rest: list[Json] = []
    for given in parts_of(message):
        if isinstance(given, dict) and given.get("type") == "tool_call_response":
            shaped.append({"role": "tool", "tool_call_id": given.get("id"), "content": result_text(given)})
        else:
            rest.append(given)
    if rest or not shaped:
        shaped.append(_message(message, rest))
    return shaped


def _message(message: Object, parts: Sequence[Json]) -> Object:
    said: list[Json] = []
    calls: list[Json] = []
    thoughts: list[Json] = []
    for given in parts:
        kind = given.get("type") if isinstance(given, dict) else None
        if isinstance(given, dict) and kind == "tool_call":
            function: Object = {"name": given.get("name"), "arguments": arguments_text(given)}
            calls.append({"id": given.get("id"), "type": "function", "function": function})
        elif kind == "reasoning":
            thoughts.append(given)
        else:
            said.append(given)
    shaped: Object = {"role": message.get("role"), "content": _content(said) if said else None}
    if message.get("name"):
        shaped["name"] = message["name"]
    if thoughts:
        shaped["reasoning_content"] = text_of(thoughts)
    if calls:
        shaped["tool_calls"] = calls
    return shaped


def _content(parts: Sequence[Json]) -> Json:
    text = only_text(parts)
    return [part(given) for given in parts] if text is None else text
