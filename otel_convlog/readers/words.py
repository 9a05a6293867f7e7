"""What was said last in a call, in a form that is the same in every vocabulary."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from otel_convlog.jsontext import json_or_none, to_json
from otel_convlog.readers.parts import messages_of
from otel_convlog.readers.shapes.values import arguments, kind_of, parts_of, result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.call_span import CallSpan
    from otel_convlog.readers.parts import Object

_BLOCK = frozenset({"type", "text"})  # one of which a block of content has


def last_asked(span: CallSpan) -> str:
    """Return the text of the last message of a request, also where it is what a tool gave back; empty without one."""
    asked = _first(span.said.request, ("messages", "input", "contents")) if span.said.request else span.said.messages
    if isinstance(asked, str):
        return asked
    return _text(parts_of(_message(asked[-1]))) if isinstance(asked, list) and asked else ""


def answered(span: CallSpan) -> str:
    """Return the text of an answer; empty where it has none."""
    return next(filter(None, map(_text, _answers(span))), "")


def digest_of(span: CallSpan) -> bytes:
    """Return a digest of what was asked and answered last; empty where no words tell the call from others."""
    asked, answer = last_asked(span).strip(), answered(span).strip()
    calls = [_called(part) for parts in _answers(span) for part in parts if kind_of(part) == "tool_call"]
    if not asked or not (answer or calls or span.error is not None):
        return b""
    return blake2b(to_json([asked, answer, *calls]), digest_size=16).digest()


def contradict(one: CallSpan, other: CallSpan) -> bool:
    """Say whether two spans cannot tell of one call: they ask another thing, and are answered another one.

    Other ids alone say nothing: LiteLLM, for one, gives an answer an id of its own.
    """
    if not (one.has_content and other.has_content):
        return False
    asked = last_asked(one).strip(), last_asked(other).strip()
    if not all(asked) or asked[0] == asked[1]:
        return False
    answers = answered(one).strip(), answered(other).strip()
    if all(answers):
        return answers[0] != answers[1]
    return bool(one.response_id and other.response_id and one.response_id != other.response_id)


def _answers(span: CallSpan) -> Iterator[list[Json]]:
    """Give the parts of each message of an answer."""
    if span.said.answers:
        yield from map(parts_of, span.said.answers)
        return
    response = span.said.response or {}
    items = _first(response, ("choices", "output", "candidates"))
    for item in items if isinstance(items, list) else [response]:
        yield parts_of(_message(item))


def _message(value: Json) -> Json:
    """Return a message of any API, an item, a choice or a candidate in the conventions' form."""
    if isinstance(value, dict) and isinstance(content := value.get("content"), dict):  # a candidate of Gemini's
        value = content
    return next(iter(messages_of([value], "assistant")), None)


def _first(value: Mapping[str, Json] | None, names: tuple[str, ...]) -> Json:
    return next((value[name] for name in names if value and name in value), None)


def _text(parts: list[Json]) -> str:
    """Return what parts say in plain text, without thoughts, which not every vocabulary has."""
    texts: list[Json] = []
    for part in parts:
        if not isinstance(part, dict):
            texts.append(part)
        elif kind_of(part) == "tool_call_response":
            texts.append(_result(result(part)))
        elif kind_of(part) != "reasoning":
            texts.append(part.get("content", part.get("text")))
    return "\n".join(text for text in texts if isinstance(text, str) and text)


def _result(given: Json) -> str:
    """Return what a tool gave back: text as it is, values as JSON that is written always alike."""
    if isinstance(given, str):
        read = json_or_none(given) if given[:1] in ("{", "[") else None
        return given if read is None else _result(read)
    if isinstance(given, list) and given and all(isinstance(item, dict) and _BLOCK & item.keys() for item in given):
        return _text(parts_of({"content": given}))
    return _alike(given) if given is not None else ""


def _called(part: Json) -> str:
    return _alike([part.get("name"), arguments(part)]) if isinstance(part, dict) else ""


def _alike(value: Json) -> str:
    return to_json(_sorted(value)).decode()


def _sorted(value: Json) -> Json:
    if isinstance(value, dict):
        ordered: Object = {name: _sorted(value[name]) for name in sorted(value)}
        return ordered
    return [_sorted(item) for item in value] if isinstance(value, list) else value
