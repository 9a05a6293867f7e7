"""What was said as one value: a request or an answer as its API has it, messages, or text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.readers.attribute_values import nested
from otel_convlog.readers.parts import as_text, messages_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.call_span import Said
    from otel_convlog.readers.parts import Object

_HIDDEN = frozenset({"__REDACTED__", "redacted-by-litellm", "{}", "[]"})  # in the place of what is not to be seen


_REQUEST_KEYS = {"input": "responses", "contents": "gemini", "prompt": "completions"}
_RESPONSE_KEYS = {"output": "responses", "candidates": "gemini"}

# What OpenAI's responses have in their output; a message has parts of its own there.
_OUTPUT_ITEMS = frozenset({"message", "function_call", "reasoning"})
_OUTPUT_PARTS = frozenset({"output_text", "refusal"})


def json_or_text(value: object) -> Json:
    """Return an attribute's value: nested, the value of its JSON, or else text; None for what has been hidden."""
    if isinstance(value, str) and value in _HIDDEN:
        return None
    read = nested(value)
    return value if read is None and isinstance(value, str) else read


def ask(said: Said, value: Json) -> None:
    """Take a value that holds what was asked."""
    if isinstance(value, dict):
        if is_request(value):
            said.request = value
            return
        said.tools = said.tools or value.get("tools")
        if isinstance(system := value.get("system"), str):
            said.system = said.system or [{"type": "text", "content": system}]
        value = value.get("messages", value.get("prompt", value.get("input", value)))
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):  # LangChain: a batch of one
        value = value[0]
    if value:
        said.messages = messages_of(_of_langchain(value))


def answer(said: Said, value: Json) -> None:
    """Take a value that holds what was answered."""
    if isinstance(value, dict):
        if is_response(value) and not _is_output_item(value):
            said.response = value
            return
        if isinstance(batches := value.get("generations"), list):  # LangChain
            value = [item for batch in batches if isinstance(batch, list) for item in batch]
        else:
            value = value.get("messages") or value.get("choices") or value
    items: list[Json] = value if isinstance(value, list) else [value]
    if items and all(map(_is_output_item, items)):
        said.response = {"output": items}
    elif value:
        said.answers = messages_of(_of_langchain(value), "assistant")


def _of_langchain(value: Json) -> Json:
    """Return LangChain's messages, which stand as the constructors of their classes, as a chat's."""
    if isinstance(value, list):
        return [_of_langchain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(inner := value.get("message"), dict) and "text" in value:  # a generation
        return _of_langchain(inner)
    fields = value.get("kwargs", value.get("data"))
    if not isinstance(fields, dict) or value.get("type") in (None, "function"):
        return value
    kind = fields.get("type", value.get("type"))
    message: Object = {**fields, "role": fields.get("role", kind)}
    message.pop("type", None)
    return message


def route_of(request: Mapping[str, Json] | None, response: Mapping[str, Json] | None) -> str:
    """Return the API of a whole request, or else of a whole answer; empty where that is a chat, or they do not tell."""
    for name, route in _REQUEST_KEYS.items() if request and "messages" not in request else ():
        if request and name in request:
            return route
    return next((route for name, route in _RESPONSE_KEYS.items() if response and name in response), "")


def _is_output_item(item: Json) -> bool:
    if not isinstance(item, dict) or as_text(item.get("type")) not in _OUTPUT_ITEMS:
        return False
    parts = item.get("content")
    return item["type"] != "message" or (
        isinstance(parts, list)
        and all(isinstance(part, dict) and as_text(part.get("type")) in _OUTPUT_PARTS for part in parts)
    )


def is_request(value: Mapping[str, Json]) -> bool:
    """Say whether this is a request as an API takes it, with messages that the rules of identity understand."""
    messages = value.get("messages")
    if isinstance(messages, list) and messages:
        return all(isinstance(message, dict) and "role" in message and _has_words(message) for message in messages)
    for name in ("input", "contents"):
        items = value.get(name)
        if isinstance(items, list) and items:
            return all(isinstance(item, dict) and ("type" in item or _has_words(item)) for item in items)
    return "model" in value and isinstance(value.get("input", value.get("prompt")), (str, list))


def _has_words(message: Mapping[str, Json]) -> bool:
    return "content" in message or "parts" in message or "tool_calls" in message


def is_response(value: Mapping[str, Json]) -> bool:
    """Say whether this is an answer as an API gives it."""
    for name in ("choices", "output", "content", "candidates"):
        items = value.get(name)
        if isinstance(items, list) and items and all(isinstance(item, dict) for item in items):
            return name != "content" or "role" in value
    return False
