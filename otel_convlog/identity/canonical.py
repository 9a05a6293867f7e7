"""Messages in a form that stays the same when a client sends its history again.

Clients do not give back what they were given: a string becomes a list of blocks, cache marks move, thinking is dropped,
reminders come and go, text is trimmed. What is left here is what stays: who said it, the text, the tool calls, the tool
results, and the bytes of images. It serves for comparing only; the log keeps the original.

One reader for each protocol (OpenAI chat, OpenAI responses, Anthropic messages, Gemini) gives the same few kinds of
parts, so that a history is recognised in another protocol's words too.
"""

from __future__ import annotations

import binascii
import re
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final, TypeAlias

import orjson

from otel_convlog.identity.wording import lasting
from otel_convlog.jsontext import to_json

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json

TEXT: Final = b"t"
CALL: Final = b"c"  # a tool call: name and arguments
RESULT: Final = b"r"  # what a tool gave back, behind a byte that stands also where it is nothing
MEDIA: Final = b"m"  # the digest of an image's or file's bytes
OTHER: Final = b"o"  # JSON of a kind that is not known here

_EMPTY: Final = b"\0"
_WHOLE_FLOAT: Final = re.compile(rb"(?<=\d)\.0(?![\d.eE])")

Part: TypeAlias = tuple[bytes, "str | bytes"]
SEAM: Final[Part] = (TEXT, "\n\n")  # where two messages become one; so do clients join them

Object: TypeAlias = "dict[str, Json]"

_SYSTEM_ROLES = frozenset({"system", "developer"})
_ASSISTANT_ROLES = frozenset({"assistant", "model"})

# What a model thinks, and what the provider's own tools do on its side: clients give it back or leave it out.
_UNSAID = frozenset(
    {
        "thinking",
        "redacted_thinking",
        "reasoning",
        "server_tool_use",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "mcp_list_tools",
        "item_reference",
        "compaction",
        "fallback",
    }
)
_CALLS = frozenset({"tool_use", "mcp_tool_use", "function_call", "custom_tool_call", "local_shell_call", "mcp_call"})
_MEDIA_KEYS = ("data", "file_data", "url", "image_url", "file_id", "file_url", "fileUri", "file_uri")
_PASSING_KEYS = frozenset({"cache_control", "id", "call_id", "tool_use_id", "status", "annotations", "citations"})


@dataclass(slots=True)
class Message:
    """What one side said in one go.

    Attributes:
        assistant: Whether the model said it; what a tool gave back is the other side's.
        parts: Its parts, neighbouring text not joined yet.
        ids: The ids and signatures in it that somebody has generated.
    """

    assistant: bool
    parts: list[Part] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class History:
    """The messages of a request, neighbouring ones of one side joined.

    Attributes:
        system: What system, developer and instructions say.
        seams: The numbers of parts of the first message before each further message of the same side.
    """

    messages: list[Message] = field(default_factory=list)
    system: list[str] = field(default_factory=list)
    seams: list[int] = field(default_factory=list)

    def side(self, *, assistant: bool) -> Message:
        """Return the message to which the words of this side's next message are added."""
        if not self.messages or self.messages[-1].assistant is not assistant:
            self.messages.append(Message(assistant))
        elif parts := self.messages[-1].parts:
            if len(self.messages) == 1:
                self.seams.append(len(parts))
            parts.append(SEAM)
        return self.messages[-1]


def read_history(request: Json) -> History:
    """Read the messages of a request of any of the four protocols; none where it is of another kind."""
    history = History()
    if not isinstance(request, dict):
        return history
    for name in ("system", "instructions", "systemInstruction", "system_instruction"):
        if name in request:
            history.system += _texts(request[name])
    for name in ("messages", "input", "contents"):
        messages = request.get(name)
        if isinstance(messages, str):
            history.side(assistant=False).parts.append((TEXT, messages))
        for message in messages if isinstance(messages, list) else ():
            if isinstance(message, dict):
                _read_message(history, message)
            elif isinstance(message, str):
                history.side(assistant=False).parts.append((TEXT, message))
    return history


def read_answer(value: Json) -> Message:
    """Read what a model answered: a message, a list of output items, or a list of parts."""
    history = History([Message(assistant=True)])
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict) and item.get("type", "message") == "message":
            _read_message(history, {**item, "role": "assistant"})
        else:
            _read_part(history.messages[-1], item)
    return history.messages[0]


def _read_message(history: History, message: Object) -> None:
    role = message.get("role")
    if not isinstance(role, str):
        role = None
    if role in _SYSTEM_ROLES:
        history.system += _texts(message.get("content"))
        return
    kind = message.get("type")
    if role is None and kind is not None and kind != "message":  # an item of the responses protocol
        said = history.side(assistant=not (isinstance(kind, str) and kind.endswith("_output")))
        _read_part(said, message)
        return
    said = history.side(assistant=role in _ASSISTANT_ROLES)
    if role in ("tool", "function") and "parts" not in message:
        _note_id(said, message.get("tool_call_id"))
        said.parts.append((RESULT, _result(message.get("content"))))
        return
    content = message.get("content")
    if content and role is not None and len(message) == 2:  # most messages have no more, and there may be hundreds
        _read_parts(said, content)
        return
    _note_id(said, message.get("id"))
    _read_words(said, message, content)


def _read_words(said: Message, message: Object, content: Json) -> None:
    """Read what a message says and calls that is more than a text."""
    for value in (content, message.get("parts"), message.get("refusal")):
        if value:
            _read_parts(said, value)
    if isinstance(audio := message.get("audio"), dict):  # a spoken answer is given back by its id
        _note_id(said, audio.get("id"))
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            _note_id(said, call.get("id"))
            said.parts.append((CALL, _call(call)))
    if isinstance(call := message.get("function_call"), dict):  # the older form of a tool call
        said.parts.append((CALL, _call(call)))


def _read_parts(said: Message, content: Json) -> None:
    if isinstance(content, str):
        said.parts.append((TEXT, content))
    elif isinstance(content, list):
        for part in content:
            _read_part(said, part)
    else:
        _read_part(said, content)


def _read_part(said: Message, part: Json) -> None:
    if isinstance(part, str):
        said.parts.append((TEXT, part))
    elif isinstance(part, dict):
        kind = part.get("type")
        if isinstance(kind, str):
            _read_typed(said, kind, part)
        else:
            _read_gemini(said, part)
    elif part is not None:
        said.parts.append((OTHER, to_json(part)))


def _read_typed(said: Message, kind: str, part: Object) -> None:
    text = part.get("text")
    if isinstance(text, str) and kind in ("text", "input_text", "output_text"):
        said.parts.append((TEXT, text))
        return
    for name in ("id", "call_id", "tool_use_id", "signature", "encrypted_content"):
        if name in part:
            _note_id(said, part[name])
    if kind in _UNSAID:
        return
    if kind in _CALLS:
        said.parts.append((CALL, _call(part)))
    elif kind == "tool_result":
        said.parts.append((RESULT, _result(part.get("content"))))
    elif kind.endswith("_output"):
        said.parts.append((RESULT, _result(part.get("output"))))
    elif kind == "refusal":
        _read_part(said, part.get("refusal"))
    else:
        _read_media(said, part, part.get("source"), part.get(kind))


def _read_gemini(said: Message, part: Object) -> None:
    for name in ("thoughtSignature", "thought_signature"):
        _note_id(said, part.get(name))
    if part.get("thought") is True:
        return
    text = part.get("text")
    if isinstance(text, str):
        said.parts.append((TEXT, text))
        return
    for name in ("functionCall", "function_call"):
        if isinstance(call := part.get(name), dict):
            _note_id(said, call.get("id"))
            said.parts.append((CALL, _call(call)))
            return
    for name in ("functionResponse", "function_response"):
        if isinstance(answer := part.get(name), dict):
            _note_id(said, answer.get("id"))
            said.parts.append((RESULT, _result(answer.get("response"))))
            return
    inline = [part.get(name) for name in ("inlineData", "inline_data", "fileData", "file_data")]
    if any(inline):
        _read_media(said, part, *inline)
    elif set(part) - {"thoughtSignature", "thought_signature", "text"}:
        said.parts.append((OTHER, _lasting(part)))


def _read_media(said: Message, part: Object, *holders: Json) -> None:
    for holder in (*holders, part):
        for name in _MEDIA_KEYS if isinstance(holder, dict) else ():
            if isinstance(text := holder.get(name), str):  # type: ignore[union-attr]  # it is a dict
                said.parts.append((MEDIA, _media_digest(text, is_data=name in ("data", "file_data"))))
                return
        if isinstance(holder, str):
            said.parts.append((MEDIA, _media_digest(holder, is_data=False)))
            return
    said.parts.append((OTHER, _lasting(part)))


def _media_digest(text: str, *, is_data: bool) -> bytes:
    if text.startswith("data:"):
        text, is_data = text.partition(",")[2], True
    elif text.startswith(("http://", "https://")):
        text = text.partition("?")[0]  # a signature in it is another one each time
    data = text.encode("utf-8", "surrogatepass")
    if is_data:
        with suppress(binascii.Error):  # then its text is what tells it
            data = binascii.a2b_base64(data.replace(b"-", b"+").replace(b"_", b"/"))
    return sha256(data).digest()


def _call(part: Object) -> bytes:
    function = part.get("function") or part.get("custom")
    call = function if isinstance(function, dict) else part
    given: Json = None
    for name in ("arguments", "args", "input", "action"):
        if name in call:
            given = call[name]
            break
    if isinstance(given, str):
        try:
            given = orjson.loads(given)
        except ValueError:
            given = str(given).strip()
    called = call.get("name")
    tool = called.encode("utf-8", "surrogatepass") if isinstance(called, str) else b""
    arguments = _sorted(given) if given else b"{}"
    if b".0" in arguments:  # 1.0 is 1 in JavaScript
        arguments = _WHOLE_FLOAT.sub(b"", arguments)
    return tool + b"\0" + arguments


def _result(content: Json) -> bytes:
    """Return what a tool gave back."""
    if isinstance(content, dict):  # Gemini gives an object, in which text stands under a name of the client's choice
        (only, *more) = content.values() or (None,)
        if more or not isinstance(only, str):
            return _EMPTY + _sorted(content)
        content = only
    said = Message(assistant=False)
    _read_parts(said, content)
    return _EMPTY + essence(said)


def _sorted(value: Json) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer of more than 64 bits, a lone surrogate
        return to_json(value)


def _lasting(part: Object) -> bytes:
    kept: Object = {name: value for name, value in part.items() if name not in _PASSING_KEYS and value is not None}
    return _sorted(kept)


def _note_id(said: Message, value: Json) -> None:
    if isinstance(value, str) and value:
        said.ids.append(value)


def _texts(content: Json) -> list[str]:
    if isinstance(content, str):
        return [content]
    if isinstance(content, list):
        return [text for part in content for text in _texts(part)]
    if isinstance(content, dict):
        return _texts(content["text"] if "text" in content else content.get("parts"))
    return []


def essence(message: Message) -> bytes:
    """Return what a message says as bytes that compare; empty where it says nothing.

    Neighbouring texts count as one, with whatever line breaks a client has put between them. The white space around it
    does not count, nor do blocks that clients put in and take out again, nor the order of what was called, and came
    back, at the same time.
    """
    parts = message.parts
    if len(parts) == 1 and isinstance(text := parts[0][1], str):  # nearly all are, and there may be hundreds
        return _framed(TEXT, lasting(text, assistant=message.assistant))
    pieces = joined(message)
    if len(pieces) > 1:
        pieces = [
            piece
            for kind, run in groupby(pieces, itemgetter(0))
            for piece in (sorted(run) if kind in (CALL, RESULT) else run)
        ]
    return b"".join([_framed(kind, value) for kind, value in pieces])


def _framed(kind: bytes, value: bytes) -> bytes:
    if kind == TEXT:
        value = value.replace(b"\n", b"")
    return kind + len(value).to_bytes(8, "big") + value if value else b""


def joined(message: Message) -> list[tuple[bytes, bytes]]:
    """Return a message's parts as bytes, neighbouring texts as one, without what says nothing."""
    pieces: list[tuple[bytes, bytes]] = []
    texts: list[str] = []
    for kind, value in message.parts:
        if isinstance(value, str):
            texts.append(value)
            continue
        if texts and (text := lasting("".join(texts), assistant=message.assistant)):
            pieces.append((TEXT, text))
        texts = []
        pieces.append((kind, value))
    if texts and (text := lasting("".join(texts), assistant=message.assistant)):
        pieces.append((TEXT, text))
    return pieces
