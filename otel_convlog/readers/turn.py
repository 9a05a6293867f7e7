"""Reads the spans of `otel_convlog.turn`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog import attributes as names
from otel_convlog.readers.captured import assembled, read_attempts, read_stream
from otel_convlog.readers.foreign import masked_headers, masked_url, with_masked_headers
from otel_convlog.readers.turn_fields import TurnFields
from otel_convlog.record import TurnRecord
from otel_convlog.span_fields import turn_id
from otel_convlog.times import TIME_PATTERN, format_time

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    from otel_convlog.jsontext import Json

NAME = "turn"

_STATUSES = {names.CLIENT_STATUS: "client_status_code", names.UPSTREAM_STATUS: "upstream_status_code"}


def is_turn(span: ReadableSpan) -> bool:
    """Say whether a span is one of ours."""
    if span.context is None:
        return False
    return span.name == names.SPAN_NAME or (span.attributes is not None and names.TURN_ID in span.attributes)


def read(span: ReadableSpan) -> TurnRecord | None:
    """Return the turn that the span records, or None for a span of another kind.

    What limits of the SDK have cut off is missing in the turn, or stands there as the text that is left of its JSON;
    ``complete`` and ``lost`` in the turn's ``otel`` object say so. Headers and URLs are masked here too: the span may
    have been made by another program (docs/span-contract.md).
    """
    context = span.context
    attributes = span.attributes or {}
    if context is None or not is_turn(span):
        return None
    fields = TurnFields(attributes)
    started_ns, ended_ns = span.start_time or 0, span.end_time or span.start_time or 0
    upstream = read_stream(span, names.UPSTREAM_EVENTS_EVENT, fields)
    client = read_stream(span, names.CLIENT_EVENTS_EVENT, fields, same_as=upstream)
    updated_at = attributes.get(names.UPDATED_AT)
    record = TurnRecord(
        turn_id=turn_id(context.trace_id, context.span_id),
        route=fields.plain(names.ROUTE),
        client_model=fields.plain(names.CLIENT_MODEL),
        backend=fields.plain(names.BACKEND),
        stream=attributes.get(names.STREAM) is True,
        target_url=masked_url(fields.plain(names.TARGET_URL)),
        upstream_model=fields.plain(names.UPSTREAM_MODEL),
        started_at=format_time(started_ns),
        updated_at=updated_at
        if isinstance(updated_at, str) and TIME_PATTERN.fullmatch(updated_at)
        else format_time(ended_ns),
        request_headers=masked_headers(fields.json(names.REQUEST_HEADERS, {})),
        client_request=fields.json(names.CLIENT_REQUEST),
        metadata=fields.json(names.METADATA, {}),
        upstream_request=with_masked_headers(fields.json(names.UPSTREAM_REQUEST)),
        upstream_response=fields.json(names.UPSTREAM_RESPONSE),
        client_response=fields.json(names.CLIENT_RESPONSE),
        upstream_events=upstream.events,
        client_events=client.events,
        stream_summary=fields.json(names.STREAM_SUMMARY, {}),
        error=fields.json(names.ERROR),
        duration_ms=_duration_ms(attributes.get(names.DURATION_MS), ended_ns - started_ns),
        usage=fields.json(names.USAGE),
        request_is_whole=names.CLIENT_REQUEST in attributes
        and "client_request" not in fields.truncated
        and "client_request" not in fields.bounded,
        attributes={
            name: value
            for name, value in attributes.items()
            if isinstance(value, str) and not name.startswith(names.PREFIX)
        },
        trace=_trace(span, context, fields),
    )
    return assembled(record, client.wire.rest) if client.wire is not None else record


def _duration_ms(given: object, span_ns: int) -> float:
    if isinstance(given, (int, float)) and given:
        return given
    return round(span_ns / 1e6)


def _trace(span: ReadableSpan, context: SpanContext, fields: TurnFields) -> dict[str, Json]:
    truncated, bounded = fields.truncated, fields.bounded
    attempts = read_attempts(fields.json(names.ATTEMPTS))
    of_events = sum(event.dropped_attributes for event in span.events)
    counts = {"attributes": span.dropped_attributes + of_events, "events": span.dropped_events}
    lost: dict[str, Json] = {kind: count for kind, count in counts.items() if count}
    if truncated:
        lost["truncated"] = truncated
    if bounded:
        lost["bounded"] = bounded
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
    for name, key in _STATUSES.items():
        if isinstance(status := fields.attributes.get(name), int):
            trace[key] = status
    if attempts:
        trace["attempts"] = attempts
    return trace
