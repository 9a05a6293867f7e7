"""A streamed answer put together again, so that it reads like one that was not streamed."""

from __future__ import annotations

import ast
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from otel_convlog.jsontext import json_or_none

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_convlog.jsontext import Json

    Object = dict[str, Json]

_LINE_END = re.compile(r"\r\n|\n|\r")  # of server-sent events; str.splitlines knows more, which JSON may hold
_FINAL_EVENTS = ("response.completed", "response.incomplete", "response.failed")


def assemble(events: Iterable[Json]) -> Json:
    """Put the events of one stream together.

    Args:
        events: As a proxy recorded them: the decoded chunks, chunks within ``{"type": …, "data": chunk}``, or the text
            of server-sent events, cut anywhere.

    Returns:
        An answer in the shape that its protocol has for one that was not streamed. Where the stream broke off, what
        came of it, with a null where the reason for its end would stand. None where the events are of another kind.
    """
    stream: _Stream | None = None
    for chunk in _chunks(events):
        if stream is None:
            stream = _stream_of(chunk)
        if stream is not None:
            stream.add(chunk)
    return stream.answer() if stream is not None else None


def _chunks(events: Iterable[Json]) -> Iterator[Object]:
    texts: list[str] = []
    for event in events:
        if isinstance(event, str):
            texts.append(event)
            continue
        yield from _decoded(texts)
        texts = []
        if isinstance(event, dict):
            data = event.get("data")
            if isinstance(data, str):
                yield from _decoded([data])
            else:
                yield data if isinstance(data, dict) else event
    yield from _decoded(texts)


def _decoded(texts: list[str]) -> list[Object]:
    """Return the chunks in the text of server-sent events: a stream that was cut anywhere, or a line a piece."""
    if not texts:
        return []
    if all(text.startswith(("b'", 'b"')) for text in texts):  # bytes, as JSON has them: as their str()
        with suppress(ValueError, SyntaxError):
            texts = [b"".join(map(ast.literal_eval, texts)).decode("utf-8", "replace")]
    chunks, all_lines_read = _lines_decoded("".join(texts))
    if not all_lines_read:
        by_piece, _ = _lines_decoded("\n".join(texts))
        return max(chunks, by_piece, key=len)
    return chunks


def _lines_decoded(text: str) -> tuple[list[Object], bool]:
    """Return the chunks in text, and whether all its lines of data were readable."""
    if text.lstrip()[:1] == "[":  # Gemini without server-sent events: one array
        array = json_or_none(text)
        return ([chunk for chunk in array if isinstance(chunk, dict)], True) if isinstance(array, list) else ([], False)
    chunks: list[Object] = []
    all_read = True
    for line in _LINE_END.split(text):
        content = line.removeprefix("data:").strip()
        if content[:1] == "{":
            chunk = json_or_none(content)
            if isinstance(chunk, dict):
                chunks.append(chunk)
            else:
                all_read = False
        elif content[:1] in ("}", '"', "]") or "data:" in content:  # the rest of a piece that was not one
            all_read = False
    return chunks, all_read


class _Stream(Protocol):
    """What has come of one stream."""

    def add(self, chunk: Object) -> None: ...

    def answer(self) -> Json: ...


def _stream_of(chunk: Object) -> _Stream | None:
    kind = chunk.get("type")
    if isinstance(chunk.get("choices"), list):
        return _Chat()
    if isinstance(kind, str) and kind.startswith("response."):
        return _Responses()
    if kind in ("message_start", "content_block_start", "content_block_delta"):
        return _Messages()
    inner = chunk.get("response")
    if "candidates" in chunk or (isinstance(inner, dict) and "candidates" in inner):
        return _Gemini()
    return None


class _Chat(_Stream):
    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}

    def add(self, chunk: Object) -> None:
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._choices.setdefault(_index(choice), _Choice()).add(choice)

    def answer(self) -> Json:
        return {"choices": [choice.answer() for _, choice in sorted(self._choices.items())]}


class _Choice:
    def __init__(self) -> None:
        self._content: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._reason: Json = None

    def add(self, choice: Object) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            _collect(self._content, delta.get("content"))
            _collect(self._refusal, delta.get("refusal"))
            calls = delta.get("tool_calls")
            for call in calls if isinstance(calls, list) else ():
                if isinstance(call, dict):
                    self._calls.setdefault(_index(call), _Call()).add(call)
        self._reason = choice.get("finish_reason") or self._reason

    def answer(self) -> Json:
        message: Object = {
            "role": "assistant",
            "content": "".join(self._content) or None,
            "refusal": "".join(self._refusal) or None,
            "tool_calls": [call.answer() for _, call in sorted(self._calls.items())],
        }
        return {"message": message, "finish_reason": self._reason}


class _Call:
    def __init__(self) -> None:
        self._id: Json = None
        self._name: list[str] = []
        self._arguments: list[str] = []

    def add(self, call: Object) -> None:
        self._id = call.get("id") or self._id
        function = call.get("function")
        if isinstance(function, dict):
            _collect(self._name, function.get("name"))
            _collect(self._arguments, function.get("arguments"))

    def answer(self) -> Json:
        function: Object = {"name": "".join(self._name), "arguments": "".join(self._arguments)}
        return {"id": self._id, "type": "function", "function": function}


class _Responses(_Stream):
    def __init__(self) -> None:
        self._response: Object = {}
        self._items: dict[int, Object] = {}
        self._texts: dict[int, list[str]] = {}
        self._final = False

    def add(self, chunk: Object) -> None:
        kind, response, item = chunk.get("type"), chunk.get("response"), chunk.get("item")
        position = _index(chunk, "output_index")
        if isinstance(response, dict):
            self._response = response
            self._final = kind in _FINAL_EVENTS
        if kind == "response.output_item.done" and isinstance(item, dict):
            self._items[position] = item
        elif kind == "response.output_text.delta":
            _collect(self._texts.setdefault(position, []), chunk.get("delta"))

    def answer(self) -> Json:
        if self._final and self._response.get("output"):
            return self._response
        items: dict[int, Json] = {
            position: {"type": "message", "role": "assistant", "content": "".join(texts)}
            for position, texts in self._texts.items()
        }
        items.update(self._items)
        status = self._response.get("status") if self._final else "in_progress"
        return {**self._response, "output": [item for _, item in sorted(items.items())], "status": status}


class _Messages(_Stream):
    def __init__(self) -> None:
        self._blocks: dict[int, Object] = {}
        self._pieces: dict[int, list[str]] = {}
        self._reason: Json = None

    def add(self, chunk: Object) -> None:
        block, delta = chunk.get("content_block"), chunk.get("delta")
        if isinstance(block, dict):
            self._blocks[_index(chunk)] = dict(block)
        if not isinstance(delta, dict):
            return
        self._reason = delta.get("stop_reason") or self._reason
        pieces = self._pieces.setdefault(_index(chunk), [])
        _collect(pieces, delta.get("text"))
        _collect(pieces, delta.get("partial_json"))
        if isinstance(signature := delta.get("signature"), str):
            self._blocks.setdefault(_index(chunk), {"type": "thinking"})["signature"] = signature

    def answer(self) -> Json:
        content: list[Json] = []
        for position, block in sorted(self._blocks.items()):
            text = "".join(self._pieces.get(position, ()))
            if block.get("type") == "text":
                before = block.get("text")
                block["text"] = (before if isinstance(before, str) else "") + text
            elif text:
                block["input"] = text
            content.append(block)
        return {"role": "assistant", "content": content, "stop_reason": self._reason}


class _Gemini(_Stream):
    def __init__(self) -> None:
        self._candidates: dict[int, tuple[list[Json], Object]] = {}

    def add(self, chunk: Object) -> None:
        inner = chunk.get("response")
        candidates = (inner if isinstance(inner, dict) else chunk).get("candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            if not isinstance(candidate, dict):
                continue
            parts, end = self._candidates.setdefault(_index(candidate), ([], {"finishReason": None}))
            content = candidate.get("content")
            more = content.get("parts") if isinstance(content, dict) else None
            parts += more if isinstance(more, list) else []
            end["finishReason"] = candidate.get("finishReason") or end["finishReason"]

    def answer(self) -> Json:
        return {
            "candidates": [
                {"content": {"role": "model", "parts": parts}, **end}
                for _, (parts, end) in sorted(self._candidates.items())
            ]
        }


def _index(value: Object, key: str = "index") -> int:
    index = value.get(key)
    return index if isinstance(index, int) else 0


def _collect(pieces: list[str], piece: Json) -> None:
    if isinstance(piece, str):
        pieces.append(piece)
