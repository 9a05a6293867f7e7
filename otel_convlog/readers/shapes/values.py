"""What the shapes share: the parts of a message, tools, and what they give back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_convlog.jsontext import json_or_none, to_json
from otel_convlog.readers.parts import as_text, chat_message, conventional, tool_call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.parts import Object

_SYSTEM_ROLES: Final = frozenset({"system", "developer"})

_SCHEMA_NAMES = ("parameters", "input_schema", "inputSchema", "parametersJsonSchema", "parameters_json_schema")


def parts_of(message: Json) -> list[Json]:
    """Return the parts of a message, each in the conventions' words."""
    if not isinstance(message, dict):
        return []
    if "parts" not in message:
        message = chat_message(message)
    given = message.get("parts")
    parts: list[Json] = [given] if given is not None else []
    if isinstance(given, list):
        parts = [conventional(part) for part in given]
    if call_id := message.get("tool_call_id"):  # LiteLLM has a chat's fields beside the parts
        return [{"type": "tool_call_response", "id": call_id, "response": only_text(parts) or parts}]
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        parts += [tool_call(call) for call in calls if isinstance(call, dict)]
    return parts


def is_system(message: Json) -> bool:
    """Say whether a message is the system's."""
    role = message.get("role") if isinstance(message, dict) else None
    return isinstance(role, str) and role in _SYSTEM_ROLES


def kind_of(part: Json) -> str:
    """Return a part's type; empty where it names none."""
    kind = part.get("type") if isinstance(part, dict) else None
    return kind if isinstance(kind, str) else ""


def only_text(parts: Sequence[Json]) -> Json:
    """Return the text of which alone the parts consist; None where there is more, or less."""
    if len(parts) == 1 and isinstance(part := parts[0], dict) and part.get("type") == "text":
        return part.get("content", part.get("text"))
    return None


def text_of(parts: Sequence[Json]) -> str:
    """Return what parts say as one text."""
    texts = [part.get("content", part.get("text")) if isinstance(part, dict) else part for part in parts]
    return "\n".join(text if isinstance(text, str) else to_json(text).decode() for text in texts if text is not None)


def modality(part: Object) -> str:
    """Return ``image``, ``audio`` or the like for a part that is media."""
    if given := part.get("modality"):
        return as_text(given)
    return as_text(part.get("mime_type") or "image").partition("/")[0]


def result(part: Object) -> Json:
    """Return what a tool gave back."""
    return part["response"] if "response" in part else part.get("result", part.get("content"))


def arguments(part: Object) -> Json:
    """Return a call's arguments as an object, also where they are the text of one."""
    given = part.get("arguments")
    if not isinstance(given, str):
        return given
    read = json_or_none(given)
    return read if isinstance(read, dict) else given


def arguments_text(part: Object) -> Json:
    """Return a call's arguments as the text of their JSON."""
    given = part.get("arguments")
    return given if given is None or isinstance(given, str) else to_json(given).decode()


def function_of(tool: Json) -> Object | None:
    """Return what a tool that is a function says of it, in whichever API's words; None for a tool of the provider's."""
    if not isinstance(tool, dict) or tool.get("type") not in (None, "function", "custom"):
        return None
    function = tool.get("function", tool)
    return function if isinstance(function, dict) and "name" in function else None


def declared(function: Mapping[str, Json], schema_name: str) -> Object:
    """Return a function's name and description, and its parameters under an API's name for them."""
    schemas = [function[name] for name in _SCHEMA_NAMES if name in function]
    rest: Object = {name: value for name, value in function.items() if name not in ("type", *_SCHEMA_NAMES)}
    return {**rest, schema_name: schemas[0]} if schemas else rest
