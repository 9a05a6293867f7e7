"""Spans without what was said in them, for the other exporters beside the conversation log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_convlog import attributes as names
from otel_convlog import readers
from otel_convlog.readers.gen_ai_content import CONTENT, CONTENT_PREFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.util.types import AttributeValue

# Of a turn's attributes these stay, with all that are not convlog's own.
_KEPT: Final = frozenset(
    {
        names.TURN_ID,
        names.ROUTE,
        names.CLIENT_MODEL,
        names.BACKEND,
        names.STREAM,
        names.UPSTREAM_MODEL,
        names.DURATION_MS,
        names.UPDATED_AT,
    }
)
_KEPT_OF_EXCEPTION: Final = frozenset({"exception.type", "exception.escaped"})

# What GenAI conventions, old and new, OpenInference, Traceloop and Logfire call the words themselves, besides what the
# readers read.
_CONTENT = re.compile(
    r"gen_ai\.(input\.messages|output\.messages|system_instructions|tool\.(definitions|call\.arguments|call\.result)"
    r"|tool\.description|prompt|completion|content|event\.content)(\..*)?"
    r"|llm\.(input_messages|output_messages|prompts|prompt_template|tools|function_call|invocation_parameters"
    r"|completions)(\..*)?"
    r"|(input|output)\.value|tool\.(parameters|description|json_schema)|(message|document)\..*|retrieval\.documents\..*"
    r"|embedding\.(embeddings|text|vector)(\..*)?|reranker\.(query|input_documents|output_documents)(\..*)?"
    r"|traceloop\.entity\.(input|output)"
    r"|request_data|response_data|all_messages_events|events|logfire\.json_schema|logfire\.msg"
)
_CONTENT_EVENT = re.compile(r"gen_ai\..*")


def without_turn_content(exporter: SpanExporter, *, genai: bool = False) -> SpanExporter:
    """Wrap an exporter so that it gets the spans of turns without their payloads.

    Names, models, usage, times, ids and errors' types stay. The spans that others see are not changed::

        provider.add_span_processor(BatchSpanProcessor(without_turn_content(OTLPSpanExporter())))

    Args:
        exporter: Any span exporter but the conversation log's.
        genai: Whether to leave the words out of spans of GenAI, OpenInference, Traceloop and Logfire
            instrumentations too.
    """
    return _WithoutTurnContent(exporter, genai=genai)


class _WithoutTurnContent(SpanExporter):
    def __init__(self, exporter: SpanExporter, *, genai: bool) -> None:
        self._exporter = exporter
        self._genai = genai

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([self._lean(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    def _lean(self, span: ReadableSpan) -> ReadableSpan:
        if readers.is_turn(span):
            return _copy(span, _turn_attributes(span), _turn_events(span))
        if not self._genai:
            return span
        attributes = span.attributes or {}
        kept = {name: value for name, value in attributes.items() if not _is_content(name)}
        events = [event for event in span.events if not _CONTENT_EVENT.fullmatch(event.name)]
        if len(kept) == len(attributes) and len(events) == len(span.events):
            return span
        return _copy(span, kept, events)


def _is_content(name: str) -> bool:
    return name in CONTENT or name.startswith(CONTENT_PREFIXES) or _CONTENT.fullmatch(name) is not None


def _turn_attributes(span: ReadableSpan) -> dict[str, AttributeValue]:
    kept = {
        name: value
        for name, value in (span.attributes or {}).items()
        if name in _KEPT or not name.startswith(names.PREFIX)
    }
    target_url = (span.attributes or {}).get(names.TARGET_URL)
    if isinstance(target_url, str):  # its query may hold a key, and what stands before its host a password
        kept[names.TARGET_URL] = re.sub(r"//[^/]*@", "//", re.split(r"[?#]", target_url, maxsplit=1)[0])
    return kept


def _turn_events(span: ReadableSpan) -> list[Event]:
    """Return the events without the streams, and exceptions without their words, which may repeat an answer."""
    kept = []
    for event in span.events:
        if event.name == "exception":
            of_it = {name: value for name, value in (event.attributes or {}).items() if name in _KEPT_OF_EXCEPTION}
            kept.append(Event(event.name, of_it, event.timestamp))
        elif not event.name.startswith(names.PREFIX):
            kept.append(event)
    return kept


def _copy(span: ReadableSpan, attributes: dict[str, AttributeValue], events: Sequence[Event]) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
