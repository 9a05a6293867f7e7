"""Reads the spans of `otel_convlog.turn`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import SpanLimits

from otel_convlog import attributes as names
from otel_convlog.jsontext import from_json
from otel_convlog.record import StreamEvents, TurnRecord
from otel_convlog.streams import assemble
from otel_convlog.times import TIME_PATTERN, format_time
from otel_convlog.turn import turn_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    from otel_convlog.jsontext import Json

NAME = "turn"


def is_turn(span: ReadableSpan) -> bool:
    """Say whether a span is one of ours."""
    if span.context is None:
        return False
    return span.name == names.SPAN_NAME or (span.attributes is not None and names.TURN_ID in span.attributes)


def read(span: ReadableSpan) -> TurnRecord | None:
    """Return the turn that the span records, or None for a span of another kind.

    What limits of the SDK have cut off is missing in the turn, or stands there as the text that is left of its JSON;
    ``complete`` and ``lost`` in the turn's ``otel`` object say so.
    """
    context = span.context
    attributes = span.attributes or {}
    if context is None or not is_turn(span):
        return None
    fields = _Fields(attributes)
    started_ns, ended_ns = span.start_time or 0, span.end_time or span.start_time or 0
    upstream_events = _stream_events(span, names.UPSTREAM_EVENTS_EVENT, fields)
    client_events = _stream_events(span, names.CLIENT_EVENTS_EVENT, fields)
    updated_at = attributes.get(names.UPDATED_AT)
    record = TurnRecord(
        turn_id=turn_id(context.trace_id, context.span_id),
        route=fields.plain(names.ROUTE),
        client_model=fields.plain(names.CLIENT_MODEL),
        backend=fields.plain(names.BACKEND),
        stream=attributes.get(names.STREAM) is True,
        target_url=fields.plain(names.TARGET_URL),
        upstream_model=fields.plain(names.UPSTREAM_MODEL),
        started_at=format_time(started_ns),
        updated_at=updated_at
        if isinstance(updated_at, str) and TIME_PATTERN.fullmatch(updated_at)
        else format_time(ended_ns),
        request_headers=fields.json(names.REQUEST_HEADERS, {}),
        client_request=fields.json(names.CLIENT_REQUEST),
        metadata=fields.json(names.METADATA, {}),
        upstream_request=fields.json(names.UPSTREAM_REQUEST),
        upstream_response=fields.json(names.UPSTREAM_RESPONSE),
        client_response=fields.json(names.CLIENT_RESPONSE),
        upstream_events=upstream_events,
        client_events=client_events,
        stream_summary=fields.json(names.STREAM_SUMMARY, {}),
        error=fields.json(names.ERROR),
        duration_ms=_duration_ms(attributes.get(names.DURATION_MS), ended_ns - started_ns),
        usage=fields.json(names.USAGE),
        request_is_whole=names.CLIENT_REQUEST in attributes and "client_request" not in fields.truncated,
        attributes={
            name: value
            for name, value in attributes.items()
            if isinstance(value, str) and not name.startswith(names.PREFIX)
        },
        trace=_trace(span, context, fields),
    )
    return _assembled(record) if attributes.get(names.ASSEMBLE) is True else record


def _assembled(record: TurnRecord) -> TurnRecord:
    """Put together what the client was streamed, and take the usage from it, where the proxy has given neither."""
    events = record.client_events.events
    if not events:
        return record
    counts = Counter(event.get("type") for event in events if isinstance(event, dict))
    summary: dict[str, Json] = {"event_counts": {str(kind): count for kind, count in counts.items()}}
    answer = assemble(events)
    usage: Json = None
    if isinstance(answer, dict):
        usage = answer.get("usage", answer.get("usageMetadata"))
        summary["response"] = answer
    return replace(
        record,
        client_response=answer if record.client_response is None else record.client_response,
        stream_summary=record.stream_summary or summary,
        usage=usage if record.usage is None else record.usage,
    )


@cache
def _length_limit() -> int | None:
    """Return the number of characters that the SDK leaves of a text, as its variables say."""
    limit = SpanLimits().max_span_attribute_length
    return limit if isinstance(limit, int) and limit > 0 else None


class _Fields:
    """A span's or event's attributes by their meaning; notes those whose JSON was cut off."""

    def __init__(self, attributes: Mapping[str, object]) -> None:
        self._attributes = attributes
        self.truncated: list[Json] = []
        exact = self.json(names.EXACT, {})
        self._exact = exact if isinstance(exact, dict) else {}
        limit = _length_limit()
        texts = [value for value in attributes.values() if isinstance(value, str)] if limit is not None else []
        # Where something is longer, this span's tracer has other limits than the SDK's variables say.
        self._limit = limit if all(len(text) <= (limit or 0) for text in texts) else None

    def plain(self, name: str) -> Json:
        """Return a field that is usually text; what is not stands, exactly, in one attribute beside."""
        value = self._exact.get(name, self._attributes.get(name, ""))
        if isinstance(value, str) and len(value) == self._limit:
            self.truncated.append(name.removeprefix(names.PREFIX))
        return value if value is None or isinstance(value, (str, int, float)) else str(value)

    def json(self, name: str, default: Json = None) -> Json:
        """Return a field that is JSON text; the text itself where it has been cut."""
        return self.decoded(self._attributes.get(name), name, default)

    def decoded(self, text: object, name: str, default: Json) -> Json:
        """Decode JSON text that belongs to the field or event of that name."""
        if not isinstance(text, (str, bytes)):
            return default
        try:
            return from_json(text)
        except ValueError:
            self.truncated.append(name.removeprefix(names.PREFIX))
            return text if isinstance(text, str) else text.decode("utf-8", "replace")


def _stream_events(span: ReadableSpan, name: str, fields: _Fields) -> StreamEvents:
    for event in span.events:
        if event.name == name:
            attributes = event.attributes or {}
            events = fields.decoded(attributes.get(names.EVENTS), name, [])
            if not isinstance(events, list):  # cut JSON: one event that is the text left of all
                return StreamEvents([events])
            return StreamEvents(events, _milliseconds(fields.decoded(attributes.get(names.OFFSETS_NS), name, [])))
    return StreamEvents()


def _milliseconds(offsets_ns: Json) -> list[float]:
    if not isinstance(offsets_ns, list):
        return []
    return [round(offset / 1e6, 3) for offset in offsets_ns if isinstance(offset, int)]


def _duration_ms(given: object, span_ns: int) -> float:
    if isinstance(given, (int, float)) and given:
        return given
    return round(span_ns / 1e6)


def _trace(span: ReadableSpan, context: SpanContext, fields: _Fields) -> dict[str, Json]:
    truncated = fields.truncated
    attempts = fields.json(names.ATTEMPTS)
    of_events = sum(event.dropped_attributes for event in span.events)
    counts = {"attributes": span.dropped_attributes + of_events, "events": span.dropped_events}
    lost: dict[str, Json] = {kind: count for kind, count in counts.items() if count}
    if truncated:
        lost["truncated"] = truncated
    trace: dict[str, Json] = {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "parent_span_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "service_name": str(span.resource.attributes.get("service.name", "")),
        "sampled": context.trace_flags.sampled,
        "source": NAME,
        "complete": not lost,
    }
    if lost:
        trace["lost"] = lost
    if attempts:
        trace["attempts"] = attempts
    return trace
