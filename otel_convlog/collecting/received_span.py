"""Spans as the exporter reads them, made of those that have come by OTLP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.proto.trace.v1 import trace_pb2 as otlp
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_convlog import readers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1 import common_pb2 as common
    from opentelemetry.util.types import AnyValue

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8

# An exporter is given what is sampled, and SDKs leave the flag out (opentelemetry-exporter-otlp 1.45 does).
_FLAGS = TraceFlags(TraceFlags.SAMPLED)
_KINDS = {
    otlp.Span.SPAN_KIND_SERVER: SpanKind.SERVER,
    otlp.Span.SPAN_KIND_CLIENT: SpanKind.CLIENT,
    otlp.Span.SPAN_KIND_PRODUCER: SpanKind.PRODUCER,
    otlp.Span.SPAN_KIND_CONSUMER: SpanKind.CONSUMER,
}
_STATUSES = {otlp.Status.STATUS_CODE_OK: StatusCode.OK, otlp.Status.STATUS_CODE_ERROR: StatusCode.ERROR}
_VALUES = frozenset(("string_value", "bool_value", "int_value", "double_value", "bytes_value"))


class InvalidSpanError(ValueError):
    """A span has no ids by which it could be told from others."""


class ReceivedSpan(ReadableSpan):
    """A span that has come from another process.

    Of a span that no reader reads, there is only what tells which spans stand in it.

    Args:
        resource: What has made it.
        scope: What in that has.
        span: The span.
        source: What it has come in: its resource and its scope, once more.

    Raises:
        InvalidSpanError: Its ids are none.
    """

    def __init__(
        self,
        resource: Resource,
        scope: InstrumentationScope | None,
        span: otlp.Span,
        source: tuple[otlp.ResourceSpans, otlp.ScopeSpans],
    ) -> None:
        self.key = (_id(span.trace_id, TRACE_ID_BYTES), _id(span.span_id, SPAN_ID_BYTES))
        trace_id, span_id = self.key
        self._span, self._source = span, source
        self._lost_attributes = span.dropped_attributes_count
        self._lost_events = span.dropped_events_count
        self.may_be_read = readers.may_read(span.name, [pair.key for pair in span.attributes])
        is_remote = bool(span.flags & otlp.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
        super().__init__(
            name=span.name,
            context=SpanContext(trace_id, span_id, is_remote=False, trace_flags=_FLAGS),
            parent=SpanContext(trace_id, _id(span.parent_span_id, SPAN_ID_BYTES), is_remote=is_remote)
            if span.parent_span_id
            else None,
            resource=resource,
            attributes=_attributes(span.attributes if self.may_be_read else ()),
            events=[_event(event) for event in span.events] if self.may_be_read else (),
            links=[_link(link) for link in span.links] if self.may_be_read else (),
            kind=_KINDS.get(span.kind, SpanKind.INTERNAL),
            instrumentation_scope=scope,
            status=_status(span.status),
            start_time=span.start_time_unix_nano,
            end_time=span.end_time_unix_nano,
        )

    @property
    def dropped_attributes(self) -> int:
        """How many attributes a limit has cost, those of its events among them."""
        return self._lost_attributes + sum(event.dropped_attributes_count for event in self._span.events)

    @property
    def dropped_events(self) -> int:
        """How many events a limit has cost."""
        return self._lost_events

    def as_resource_spans(self) -> bytes:
        """Return the span as it has come, with its resource and its scope alone."""
        resource_spans, scope_spans = self._source
        return otlp.ResourceSpans(
            resource=resource_spans.resource, scope_spans=[otlp.ScopeSpans(scope=scope_spans.scope, spans=[self._span])]
        ).SerializeToString()


def received_spans(request: ExportTraceServiceRequest) -> Iterator[ReceivedSpan | InvalidSpanError]:
    """Yield the spans of a request, each as far as it is one."""
    for resource_spans in request.resource_spans:
        resource = Resource(_attributes(resource_spans.resource.attributes))
        for scope_spans in resource_spans.scope_spans:
            scope = InstrumentationScope(scope_spans.scope.name, scope_spans.scope.version or None)
            for span in scope_spans.spans:
                try:
                    yield ReceivedSpan(resource, scope, span, (resource_spans, scope_spans))
                except InvalidSpanError as error:
                    yield error


def _id(given: bytes, size: int) -> int:
    number = int.from_bytes(given, "big")
    if len(given) != size or not number:
        raise InvalidSpanError("a span's ids must be 16 and 8 bytes that are not all zero")
    return number


def _attributes(pairs: Iterable[common.KeyValue]) -> dict[str, AnyValue]:
    values = {pair.key: _value(pair.value) for pair in pairs}
    return {name: value for name, value in values.items() if value is not None}


def _value(value: common.AnyValue) -> AnyValue:
    kind = value.WhichOneof("value")
    if kind in _VALUES:
        plain: AnyValue = getattr(value, kind)
        return plain
    if kind == "array_value":
        return tuple(_value(item) for item in value.array_value.values)
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value) for pair in value.kvlist_value.values}
    return None


def _event(event: otlp.Span.Event) -> Event:
    return Event(event.name, _attributes(event.attributes), event.time_unix_nano)


def _link(link: otlp.Span.Link) -> Link:
    is_remote = bool(link.flags & otlp.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
    trace_id, span_id = int.from_bytes(link.trace_id, "big"), int.from_bytes(link.span_id, "big")
    return Link(SpanContext(trace_id, span_id, is_remote=is_remote), _attributes(link.attributes))


def _status(status: otlp.Status) -> Status:
    code = _STATUSES.get(status.code, StatusCode.UNSET)
    return Status(code, status.message or None if code is StatusCode.ERROR else None)
