"""What a turn's span says of an answer in OpenTelemetry's own words, found without reading all of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.jsontext import json_or_none

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json

_USAGE = ('"usage"', '"usageMetadata"')
_NOTHING = ("null", "{}")


class Glance(NamedTuple):
    """What is seen of an answer at once: its id, its model, the token counts in its provider's words, its error."""

    response_id: str = ""
    model: str = ""
    usage: dict[str, Json] | None = None
    error: str = ""


def glance_at(answer: Json) -> Glance:
    """Look at a whole answer, or at an event of a stream."""
    if not isinstance(answer, dict):
        return Glance()
    holders = [answer, *(inner for name in ("response", "message") if isinstance(inner := answer.get(name), dict))]
    found: dict[str, Json] = {}
    for holder in holders:
        for name, value in holder.items():
            found.setdefault(name, value)
    usage = found.get("usage", found.get("usageMetadata"))
    error = found.get("error")
    return Glance(
        _text(found.get("id", found.get("responseId"))),
        _text(found.get("model", found.get("modelVersion"))),
        usage if isinstance(usage, dict) and usage else None,
        _text(error.get("message") if isinstance(error, dict) else error),
    )


def glance_at_stream(text: str) -> Glance:
    """Look at a stream: at its first event, and at the first and the last that count tokens.

    Anthropic counts what went in at the begin of a stream, and what came out at its end; others count at the end, or
    all the way.
    """
    first = glance_at(_object_at(text, 0))
    usage: dict[str, Json] = {}
    for position in (_first_usage(text), _last_usage(text)):
        if position >= 0:
            usage.update(glance_at(_object_at(text, text.rfind("\n", 0, position) + 1)).usage or {})
    return Glance(first.response_id, first.model, usage or None)


def _object_at(text: str, position: int) -> Json:
    """Return the first object of JSON in a line that begins here, or behind it; None where it is none."""
    begin = text.find("{", position)
    if begin < 0:
        return None
    end = text.find("\n", begin)
    return json_or_none(text[begin : end if end >= 0 else len(text)].rstrip("\r,] "))


def _first_usage(text: str) -> int:
    positions = [position for name in _USAGE if (position := text.find(name)) >= 0]
    return min(positions, default=-1)


def _last_usage(text: str) -> int:
    """Return where the last token counts stand that are no null."""
    for name in _USAGE:
        position = text.rfind(name)
        while position >= 0:
            value = text[position + len(name) : position + len(name) + 8].lstrip(" :")
            if not value.startswith(_NOTHING):
                return position
            position = text.rfind(name, 0, position)
    return -1


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
