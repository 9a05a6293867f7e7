"""Messages as the GenAI semantic conventions have them, ``{"role", "parts"}``, brought into that form from others.

The conventions' parts: ``text`` and ``reasoning`` (``content``), ``tool_call`` (``id``, ``name``, ``arguments``),
``tool_call_response`` (``id``, ``response``), ``blob`` (``mime_type``, ``content``), ``uri`` and ``file``. Parts of
another type, a provider's own blocks for instance, pass through as they are
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-input-messages.json).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from otel_convlog.jsontext import json_or_none, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_convlog.jsontext import Json

Object: TypeAlias = "dict[str, Json]"

_MEDIA = {"image-url": "image", "audio-url": "audio", "video-url": "video", "document-url": "document"}
_TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
_BLOCK_KEYS = frozenset({"type", "text", "toolUse", "toolResult", "image", "reasoningContent"})
_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool"}  # LangChain, Gemini, OpenAI


def as_text(value: Json) -> str:
    """Return a value as text: its JSON where it is none."""
    return value if isinstance(value, str) else to_json(value).decode()


def text_message(role: str, text: str) -> Object:
    """Return a message that is one text."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def messages_of(value: Json, role: str = "user") -> list[Json]:
    """Return messages in the conventions' form, from that form or from that of a chat.

    Args:
        value: A list of messages, one of them, or text.
        role: Whose they are where they do not say it.
    """
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, str):
        return [text_message(role, value)]
    if not isinstance(value, list):
        return []
    if value and all(isinstance(ends, dict) and {"role", "parts"} <= ends.keys() for ends in (value[0], value[-1])):
        return value  # the shapes bring in order what is not as these are; to look at all of them would cost
    return [_message(message, role) for message in value if message is not None]


def objects_of(values: Json) -> Json:
    """Return a list with the objects in it that stand as the text of their JSON, where that is how they all stand."""
    if not isinstance(values, list) or not all(isinstance(value, str) and value[:1] == "{" for value in values):
        return values
    read = [json_or_none(value) if isinstance(value, str) else None for value in values]
    return read if all(isinstance(value, dict) for value in read) else values


def _message(value: Json, role: str) -> Json:
    if not isinstance(value, dict):
        return text_message(role, as_text(value))
    if isinstance(value.get("parts"), list):
        return value if value.get("role") else {**value, "role": role}
    if "role" not in value and (item := _ITEMS.get(_name(value.get("type")))):
        return item(value)
    if isinstance(inner := value.get("message"), dict):  # a choice, or an event's body
        reason = value.get("finish_reason")
        message = _message(inner, role)
        return {**message, "finish_reason": reason} if reason and isinstance(message, dict) else message
    return chat_message(value, role)


def chat_message(value: Mapping[str, Json], role: str = "user") -> Object:
    """Return a message of a chat (``role``, ``content``, ``tool_calls``, ``tool_call_id``) in the conventions' form."""
    said = value.get("role") or role
    said = _ROLES.get(said, said) if isinstance(said, str) else role
    content = value.get("content")
    if "content" not in value and "blocks" in value:  # LlamaIndex
        content = value["blocks"]
    parts: list[Json] = []
    if isinstance(thought := value.get("reasoning_content") or value.get("reasoning"), str):
        parts.append({"type": "reasoning", "content": thought})
    call_id = value.get("tool_call_id") or (value.get("id") if said == "tool" else None)
    if said == "tool":
        parts.append({"type": "tool_call_response", "id": call_id, "response": content})
    else:
        parts += parts_of(content)
    calls = value.get("tool_calls")
    parts += [tool_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    if isinstance(call := value.get("function_call"), dict):
        parts.append(tool_call(call))
    message: Object = {"role": said, "parts": parts}
    for name in ("finish_reason", "name"):
        if isinstance(word := value.get(name), str) and not (name == "name" and said == "tool"):
            message[name] = word
    return message


def parts_of(content: Json) -> list[Json]:
    """Return what a message of a chat says, as parts; text that is JSON of a list of blocks is read."""
    if isinstance(content, str):
        if content[:2] in ('["', "[{") and isinstance(blocks := json_or_none(content), list) and _are_blocks(blocks):
            content = blocks
        else:
            return [{"type": "text", "content": content}] if content else []
    if isinstance(content, list):
        return [_part(block) for block in content if block is not None]
    return [] if content is None else [_part(content)]


def _are_blocks(blocks: list[Json]) -> bool:
    return all(isinstance(block, dict) and not _BLOCK_KEYS.isdisjoint(block) for block in blocks)


def _part(block: Json) -> Json:
    if not isinstance(block, dict):
        return {"type": "text", "content": as_text(block)}
    given = block.get("type", block.get("block_type"))
    kind = _name(given)
    if kind in _TEXT_TYPES and isinstance(text := block.get("text"), str):
        return {"type": "text", "content": text}
    if kind in ("tool_use", "tool-call"):
        return tool_call(block)
    if kind in ("tool_result", "tool-result"):
        return _tool_result(block)
    return _of_one_key(block) if given is None else conventional(block)


def _tool_result(block: Mapping[str, Json]) -> Object:
    call_id = next((block[name] for name in ("tool_use_id", "toolCallId", "toolUseId") if name in block), None)
    given = next((block[name] for name in ("content", "output", "result") if name in block), None)
    if isinstance(given, dict) and set(given) == {"type", "value"}:  # the AI SDK's
        given = given["value"]
    return {"type": "tool_call_response", "id": call_id, "response": given}


def _of_one_key(block: Object) -> Json:
    """Return a block of Bedrock's or Gemini's, whose one key says what it is."""
    if isinstance(text := block.get("text"), str):
        return {"type": "reasoning" if block.get("thought") is True else "text", "content": text}
    if isinstance(call := block.get("toolUse"), dict):
        return tool_call(call)
    if isinstance(result := block.get("toolResult"), dict):
        return _tool_result(result)
    for name in ("function_call", "functionCall"):
        if isinstance(call := block.get(name), dict):
            return tool_call(call)
    for name in ("function_response", "functionResponse"):
        if isinstance(result := block.get(name), dict):
            return {"type": "tool_call_response", "id": result.get("id"), "response": result.get("response")}
    return block


def conventional(part: Json) -> Json:
    """Return a part whose name is of an instrumentation's own making as the conventions have it."""
    if not isinstance(part, dict):
        return part
    kind = part.get("type")
    if kind is None:
        return _of_one_key(part)
    if kind in ("thinking", "reasoning"):
        return {**part, "type": "reasoning", "content": part.get("content", part.get("thinking", part.get("text")))}
    if isinstance(kind, str) and kind in _MEDIA:
        return {"type": "uri", "modality": _MEDIA[kind], "uri": part.get("url")}
    if kind == "binary":
        return {"type": "blob", "mime_type": part.get("media_type"), "content": part.get("content")}
    return part


def tool_call(call: Mapping[str, Json]) -> Object:
    """Return a tool call of any API as a part."""
    function = call.get("function")
    called: Mapping[str, Json] = function if isinstance(function, dict) else call
    arguments: Json = None
    for name in ("arguments", "args", "input"):
        if name in called:
            arguments = called[name]
            break
    return {
        "type": "tool_call",
        "id": next((call[name] for name in ("id", "toolCallId", "toolUseId", "call_id") if name in call), None),
        "name": called.get("name", called.get("toolName")),
        "arguments": arguments,
    }


def _name(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _called(item: Object) -> Object:
    return {"role": "assistant", "parts": [{**tool_call(item), "id": item.get("call_id", item.get("id"))}]}


def _returned(item: Object) -> Object:
    response: Object = {"type": "tool_call_response", "id": item.get("call_id"), "response": item.get("output")}
    return {"role": "tool", "parts": [response]}


def _thought(item: Object) -> Object:
    summary = item.get("summary") or item.get("content")
    return {"role": "assistant", "parts": [{"type": "reasoning", "content": plain_text({"content": summary})}]}


_ITEMS = {  # of OpenAI's responses, that are no messages there
    "function_call": _called,
    "function_call_output": _returned,
    "reasoning": _thought,
}


def joined(chunks: Sequence[Json]) -> Object:
    """Return messages in the conventions' form that are the chunks of one as that one, its texts put together."""
    message: Object = {}
    parts: list[Json] = []
    for chunk in chunks:
        if not isinstance(chunk, dict):
            continue
        message.update({name: value for name, value in chunk.items() if value})
        for part in _list(chunk.get("parts")):
            last = parts[-1] if parts else None
            if isinstance(part, dict) and isinstance(last, dict) and _is_more_of(part, last):
                parts[-1] = {**last, "content": f"{last['content']}{part['content']}"}
            else:
                parts.append(part)
    return {**message, "parts": parts}


def _is_more_of(part: Object, last: Object) -> bool:
    same = part.get("type") == last.get("type") and part.get("type") in ("text", "reasoning")
    return same and isinstance(part.get("content"), str) and isinstance(last.get("content"), str)


def says_any(message: Json) -> bool:
    """Say whether a message in the conventions' form has any part: without one, what it said is not known."""
    if not isinstance(message, dict):
        return message is not None
    return bool(message.get("parts", message.get("content")) or message.get("tool_calls"))


def plain_text(message: Json) -> str:
    """Return what a message of any form says in plain text."""
    if not isinstance(message, dict):
        return message if isinstance(message, str) else ""
    said = message.get("parts", message.get("content"))
    if isinstance(said, str):
        return said
    texts = [part.get("content", part.get("text")) if isinstance(part, dict) else part for part in _list(said)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
