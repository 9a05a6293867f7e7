"""The upstream calls of one turn: usually one, several where the proxy tries again or turns to another model."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from otel_convlog import attributes as names
from otel_convlog.jsontext import CAREFUL_MARK, to_json
from otel_convlog.redaction.headers import sanitize_headers
from otel_convlog.redaction.urls import sanitize_url
from otel_convlog.span_fields import attribute_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.util.types import AttributeValue

# The parts of an attempt, as otel.attempts has them (docs/format.md).
URL: Final = "url"
STATUS: Final = "status_code"
REQUEST: Final = "upstream_request"
RESPONSE: Final = "upstream_response"
EVENTS: Final = "upstream_events"
ERROR: Final = "error"


class Attempt:
    """One upstream call. Everything is captured as it is at the time of the call.

    Args:
        url: Where the request goes.
        body: The request's body.
        headers: Its headers; they are masked.
    """

    __slots__ = ("_parts", "events", "model", "url")

    def __init__(self, url: str, body: object, headers: object) -> None:
        self.url = attribute_text(sanitize_url(url))
        model = body.get("model") if isinstance(body, dict) else None
        self.model = attribute_text(model) if isinstance(model, str) else ""
        self._parts: dict[str, str] = {
            URL: json_text(self.url),
            REQUEST: json_text({"headers": sanitize_headers(headers), "body": body}),
        }
        self.events: list[str | int] = []  # event, time, event, time, …

    def respond(self, status: int) -> None:
        """Record that an answer has begun."""
        self._parts[STATUS] = json_text(status)

    def receive(self, answer: object) -> None:
        """Record the whole answer."""
        self._parts[RESPONSE] = json_text(answer)

    def append(self, event: object) -> None:
        """Record one streamed event."""
        self.events += (json_text(event), perf_counter_ns())

    def fail(self, error: object) -> None:
        """Record what went wrong."""
        self._parts[ERROR] = json_text(error)

    def part(self, name: str) -> str | None:
        """Return the JSON of a part; None where there is none."""
        return self._parts.get(name)

    def as_json(self) -> str:
        """Return all of it as JSON."""
        parts = dict(self._parts)
        if self.events:
            parts[EVENTS] = json_array(text for text in self.events[0::2] if isinstance(text, str))
        return json_object(parts)


def fields_of(attempts: Sequence[Attempt]) -> dict[str, AttributeValue]:
    """Return the span attributes of a turn's upstream calls: of the last one singly, of those before it together."""
    *earlier, last = attempts
    fields: dict[str, AttributeValue] = {}
    for part, name in ((REQUEST, names.UPSTREAM_REQUEST), (RESPONSE, names.UPSTREAM_RESPONSE), (ERROR, names.ERROR)):
        text = last.part(part)
        if text is not None:
            fields[name] = text
    fields[names.TARGET_URL] = last.url
    if last.model:
        fields[names.UPSTREAM_MODEL] = last.model
    if earlier:
        fields[names.ATTEMPTS] = json_array(attempt.as_json() for attempt in earlier)
    return fields


def json_text(value: object) -> str:
    """Encode a value. As text, for orjson's buffer is far larger than a small value, and costly to keep."""
    return to_json(value).decode()


def json_array(texts: Iterable[str]) -> str:
    """Return the JSON of a list of values that are JSON already."""
    items = list(texts)
    array = "[" + ",".join(items) + "]"
    return CAREFUL_MARK + array if any(text.startswith(CAREFUL_MARK) for text in items) else array


def json_object(texts: dict[str, str]) -> str:
    """Return the JSON of an object whose values are JSON already."""
    text = "{" + ",".join(f"{json_text(name)}:{value}" for name, value in texts.items()) + "}"
    return CAREFUL_MARK + text if any(value.startswith(CAREFUL_MARK) for value in texts.values()) else text
