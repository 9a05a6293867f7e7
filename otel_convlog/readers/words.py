"""What was said last in a call, in a form that is the same in every vocabulary."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from otel_convlog.jsontext import to_json
from otel_convlog.readers.parts import plain_text

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json
    from otel_convlog.readers.call_span import CallSpan


def last_asked(span: CallSpan) -> str:
    """Return the text of the last message of a request; empty where it has none."""
    asked: Json = span.said.messages
    if span.said.request is not None:
        asked = next(
            (span.said.request[name] for name in ("messages", "input", "contents") if name in span.said.request), None
        )
    if isinstance(asked, str):
        return asked
    return plain_text(asked[-1]) if isinstance(asked, list) and asked else ""


def answered(span: CallSpan) -> str:
    """Return the text of an answer; empty where it has none."""
    if span.said.answers:
        return plain_text(span.said.answers[0])
    response = span.said.response or {}
    for name in ("choices", "output", "candidates"):
        items = response.get(name)
        if isinstance(items, list):
            texts = [
                plain_text(item.get("message", item.get("content", item)) if isinstance(item, dict) else item)
                for item in items
            ]
            return next(filter(None, texts), "")
    return plain_text(response)


def digest_of(span: CallSpan) -> bytes:
    """Return a digest of what was asked and answered last; empty where no text tells the call from others."""
    asked, answer = last_asked(span).strip(), answered(span).strip()
    if not asked or not (answer or span.error is not None):
        return b""
    return blake2b(to_json([asked, answer]), digest_size=16).digest()


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
