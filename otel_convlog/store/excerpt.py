"""A conversation in two lines: what its user said first, and what was answered last."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
            if isinstance(message, dict) and message.get("role", "user") == "user" and (text := _text(message)):
                return text
    return ""


def reply_text(turn: dict[str, Json]) -> str:
    """Return the beginning of what a turn's client was answered; empty where that is not known."""
    for name in ("client_response", "upstream_response"):
        answer = turn.get(name)
        if isinstance(answer, dict):
            for part in (*(answer.get(key) for key in _ANSWERS), answer):
                if text := _text(part):
                    return text
    trace = turn.get("stream_trace")
    summary = trace.get("summary") if isinstance(trace, dict) else None
    return _text(summary.get("text")) if isinstance(summary, dict) else ""


def _text(value: Json) -> str:
    """Return the beginning of the first text in a message, a part of one, or a list of them."""
    if isinstance(value, str):
        return _short(value)
    parts: list[Json] = []
    if isinstance(value, list):
        parts = value
    elif isinstance(value, dict):
        parts = [value[name] for name in ("message", "content", "parts", "text") if name in value]
    for part in parts:
        if text := _text(part):
            return text
    return ""


def _short(text: str) -> str:
    # Cut before and after: white space may be most of a text of megabytes.
    return " ".join(text[: 2 * _LONGEST].split())[:_LONGEST]
