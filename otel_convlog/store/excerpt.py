"""A conversation in two lines: what its user said first, and what was answered last."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_convlog.jsontext import Json

_LONGEST = 200  # characters

# Where the protocols keep their messages, and a message its text: OpenAI chat and Anthropic, OpenAI responses, Gemini.
_MESSAGES = ("messages", "input", "contents")
_ANSWERS = ("choices", "output", "candidates")


def first_user_text(request: Json) -> str:
    """Return the beginning of the first text of a user in a request; empty where there is none."""
    if not isinstance(request, dict):
        return ""
    for name in _MESSAGES:
        messages = request.get(name)
        if isinstance(messages, str):
            return _short(messages)
        for message in messages if isinstance(messages, list) else []:
            if isinstance(message, dict) and message.get("role", "user") == "user":
                text = _short(" ".join(_texts(message)))
                if text:
                    return text
    return ""


def reply_text(turn: dict[str, Json]) -> str:
    """Return the beginning of what a turn's client was answered; empty where that is not known."""
    for name in ("client_response", "upstream_response"):
        answer = turn.get(name)
        if isinstance(answer, dict):
            text = _short(" ".join(text for key in _ANSWERS for text in _texts(answer.get(key))))
            text = text or _short(" ".join(_texts(answer)))
            if text:
                return text
    trace = turn.get("stream_trace")
    summary = trace.get("summary") if isinstance(trace, dict) else None
    text_of_stream = summary.get("text") if isinstance(summary, dict) else None
    return _short(text_of_stream) if isinstance(text_of_stream, str) else ""


def _texts(value: Json) -> Iterator[str]:
    """Yield the texts in a message, a part of one, or a list of them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item) if not isinstance(item, str) else (item,)
    elif isinstance(value, dict):
        for name in ("message", "content", "parts", "text"):
            yield from _texts(value.get(name))


def _short(text: str) -> str:
    # Cut before and after: white space may be most of a text of megabytes.
    return " ".join(text[: 10 * _LONGEST].split())[:_LONGEST]
