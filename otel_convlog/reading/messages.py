"""Messages as a person reads them, in one form for OpenAI chat, OpenAI responses, Anthropic messages and Gemini.

Nothing is left out, as it is where histories are compared (`otel_convlog.identity.canonical`): what a model thinks, and
what is of no kind that is known, is shown too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from otel_convlog.jsontext import json_or_none, to_json
from otel_convlog.streams import assemble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_convlog.jsontext import Json

    Object: TypeAlias = "dict[str, Json]"

Kind: TypeAlias = Literal["text", "thinking", "call", "result", "media", "other"]

_SYSTEM_FIELDS = ("system", "instructions", "systemInstruction", "system_instruction")
_MESSAGE_FIELDS = ("messages", "input", "contents")
_TEXTS = frozenset({"text", "input_text", "output_text"})
_THOUGHTS = ("reasoning_content", "reasoning")  # of a chat's message, by servers beyond OpenAI's own
_CALLS = frozenset(
    {"tool_use", "server_tool_use", "mcp_tool_use", "function_call", "custom_tool_call", "local_shell_call", "mcp_call"}
)
_MEDIA = ("image", "document", "audio", "file", "video", "input_image", "input_file", "input_audio", "image_url")


@dataclass(frozen=True)
class Part:
    """A part of a message.

    Attributes:
        kind: What it is.
        text: What is said, thought or given back; a call's arguments as JSON; what a picture or file is, in a word.
        name: Of the tool that is called.
        call_id: Which call this is, or answers.
        source: The address of a picture or file; a ``data:`` URL where it stands in the message itself.
    """

    kind: Kind
    text: str
    name: str = ""
    call_id: str = ""
    source: str = ""


@dataclass(frozen=True)
class Message:
    """A message, or an item of OpenAI's responses.

    Attributes:
        role: Who speaks, in the request's own words: ``user``, ``assistant``, ``system``, ``tool``…
        raw: It as the request has it.
    """

    role: str
    parts: tuple[Part, ...]
    raw: Json

    @property
    def is_system(self) -> bool:
        """Whether it is the system's or the developer's."""
        return self.role in ("system", "developer")

    @property
    def text(self) -> str:
        """What it says, without thoughts, calls and results."""
        return "\n".join(part.text for part in self.parts if part.kind == "text")


def request_messages(request: Json) -> list[Message]:
    """Return the messages of a request, the system's first; none where it is of a kind that is not known."""
    if not isinstance(request, dict):
        return []
    found = [
        Message("system", tuple(_parts(request[name])), request[name]) for name in _SYSTEM_FIELDS if request.get(name)
    ]
    for name in _MESSAGE_FIELDS:
        messages = request.get(name)
        if isinstance(messages, str):
            found.append(Message("user", (Part("text", messages),), messages))
        found += [read_message(message, "user") for message in (messages if isinstance(messages, list) else ())]
    return found


def answer_messages(answer: Json) -> list[Message]:
    """Return the messages of a whole answer: several where it has several choices or items."""
    if not isinstance(answer, dict):
        return []
    if isinstance(inner := answer.get("response"), dict):
        answer = inner
    for name, inside in (("choices", "message"), ("candidates", "content")):
        if isinstance(choices := answer.get(name), list):
            return [
                read_message(choice[inside], "assistant")
                for choice in choices
                if isinstance(choice, dict) and choice.get(inside)
            ]
    if isinstance(output := answer.get("output"), list):
        return [read_message(item, "assistant") for item in output]
    if answer.get("content"):
        return [read_message(answer, "assistant")]
    return []


def answer_of(turn: Object, *sides: str) -> Json:
    """Return a turn's whole answer, put together where it was streamed; None where there is none.

    Args:
        turn: The turn's JSON.
        sides: Where to look, in this order; ``client``, then ``upstream``, where nothing is said.
    """
    trace = turn.get("stream_trace")
    streams = trace if isinstance(trace, dict) else {}
    for side in sides or ("client", "upstream"):
        if (answer := turn.get(f"{side}_response")) is not None:
            return answer
        events = streams.get(f"{side}_events")
        if isinstance(events, list) and events and (answer := assemble(events)) is not None:
            return answer
    return None


def answers_of(turn: Object) -> list[Message]:
    """Return the messages that a turn's client was answered, else what came from upstream, else the summary's text."""
    if messages := answer_messages(answer_of(turn)):
        return messages
    trace = turn.get("stream_trace")
    summary = trace.get("summary") if isinstance(trace, dict) else None
    text = summary.get("text") if isinstance(summary, dict) else None
    return [Message("assistant", (Part("text", text),), text)] if isinstance(text, str) and text else []


def read_message(message: Json, role: str) -> Message:
    """Read one message, or one item of OpenAI's responses.

    Args:
        message: It.
        role: Who speaks where it does not say.
    """
    if not isinstance(message, dict):
        return Message(role, tuple(_parts(message)), message)
    said = message.get("role")
    kind = message.get("type")
    if isinstance(said, str):
        role = said
    elif isinstance(kind, str) and kind != "message":
        role = "tool" if kind.endswith("_output") else "assistant"
        return Message(role, tuple(_part(message)), message)
    if role in ("tool", "function") and "parts" not in message:
        result = Part("result", _joined(message.get("content")), call_id=_text(message.get("tool_call_id")))
        return Message(role, (result,), message)
    return Message(role, tuple(_message_parts(message)), message)


def _message_parts(message: Object) -> Iterator[Part]:
    for name in _THOUGHTS:
        if isinstance(thought := message.get(name), str) and thought:
            yield Part("thinking", thought)
    for name in ("content", "parts", "refusal"):
        yield from _parts(message.get(name))
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            yield _call(call)
    if isinstance(call := message.get("function_call"), dict):
        yield _call(call)


def _parts(content: Json) -> Iterator[Part]:
    if isinstance(content, list):
        for part in content:
            yield from _part(part)
    elif content is not None:
        yield from _part(content)


def _part(part: Json) -> Iterator[Part]:
    if isinstance(part, str):
        if part:
            yield Part("text", part)
        return
    if not isinstance(part, dict):
        yield Part("other", _json(part))
        return
    kind = part.get("type")
    if isinstance(kind, str):
        yield _typed(kind, part)
    elif "parts" in part:  # Gemini's system instruction
        yield from _parts(part["parts"])
    else:
        yield _of_gemini(part)


def _typed(kind: str, part: Object) -> Part:
    text = part.get("text")
    if kind == "refusal" or (kind in _TEXTS and isinstance(text, str)):
        return Part("text", _text(part.get("refusal", text)))
    if kind in ("thinking", "redacted_thinking", "reasoning"):
        return Part("thinking", _thought(part))
    if kind in _CALLS:
        return _call(part)
    if kind.endswith(("tool_result", "_output")):
        content = part.get("content") if kind.endswith("tool_result") else part.get("output")
        return Part("result", _joined(content), call_id=_call_id(part))
    if kind in _MEDIA:
        return _media(kind, part)
    return Part("other", _json(part))


def _thought(part: Object) -> str:
    if isinstance(text := part.get("thinking"), str):
        return text
    said = [_joined(part.get(name)) for name in ("summary", "content")]
    return "\n".join(filter(None, said)) or "(encrypted)"


def _of_gemini(part: Object) -> Part:
    text = part.get("text")
    if isinstance(text, str):
        return Part("thinking" if part.get("thought") is True else "text", text)
    for name in ("functionCall", "function_call"):
        if isinstance(call := part.get(name), dict):
            return _call(call)
    for name in ("functionResponse", "function_response"):
        if isinstance(answer := part.get(name), dict):
            return Part("result", _joined(answer.get("response")), call_id=_call_id(answer))
    for name in ("inlineData", "inline_data", "fileData", "file_data"):
        if isinstance(data := part.get(name), dict):
            return _media("file", data)
    return Part("other", _json(part))


def _call(part: Object) -> Part:
    function = part.get("function") or part.get("custom")
    call = function if isinstance(function, dict) else part
    given: Json = None
    for name in ("arguments", "args", "input", "action"):
        if name in call:
            given = call[name]
            break
    if isinstance(given, str):
        read = json_or_none(given)
        given = given if read is None else read
    arguments = given if isinstance(given, str) else _json(given if given is not None else {})
    return Part("call", arguments, name=_text(call.get("name") or part.get("type")), call_id=_call_id(part))


def _call_id(part: Object) -> str:
    for name in ("call_id", "tool_use_id", "id"):
        if isinstance(found := part.get(name), str):
            return found
    return ""


def _media(kind: str, part: Object) -> Part:
    """Return a picture or a file: in a word its kind, its type or address, and how long it is."""
    holders = [part, *(value for value in part.values() if isinstance(value, dict))]
    what = ""
    for holder in holders:
        for name, value in holder.items():
            if not isinstance(value, str):
                continue
            if name in ("media_type", "mime_type", "mimeType", "format", "filename"):
                what = value
            elif name in ("data", "file_data") or value.startswith("data:"):
                what = what or value.partition(";")[0].removeprefix("data:")[:40]
                source = value if value.startswith("data:") else f"data:{what};base64,{value}"
                return Part("media", f"{kind} {what}, {len(value):,} characters", source=source)
            elif name in ("url", "image_url", "file_id", "file_url", "fileUri", "file_uri"):
                return Part("media", f"{kind} {value}", source=value)
    return Part("media", f"{kind} {what}".strip())


def _joined(content: Json) -> str:
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, list):
        return "\n".join(part.text for part in _parts(content))
    return _json(content)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else "" if value is None else _json(value)


def _json(value: Json) -> str:
    return to_json(value).decode().strip()
