"""From the spans of one call to its turn: the union of what they know."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from otel_convlog.readers.shapes import request_of, response_of
from otel_convlog.record import StreamEvents, TurnRecord
from otel_convlog.span_fields import turn_id
from otel_convlog.times import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.call_span import CallSpan, Said
    from otel_convlog.readers.parts import Object

_MESSAGES_KEY = {"responses": "input", "gemini": "contents", "completions": "prompt"}


def record_of(spans: Sequence[CallSpan], around: Sequence[CallSpan] = ()) -> TurnRecord:
    """Return the turn that spans of one call record together.

    Args:
        spans: The one whose turn it is first; what the others know is added.
        around: Spans around the call, an agent's or a chain's, the inner ones first: they give ids only.
    """
    first = spans[0]
    # Who has the answer knows most; of several the one that is nearest to the wire: it stands in the others.
    ids = {span.span_id for span in spans}
    nearest = sorted(spans, key=lambda span: (span.ended_ns - span.started_ns, span.parent_span_id not in ids))
    calls = sorted(nearest, key=lambda span: not span.said.answers_it)
    main = calls[0]
    route = next((span.route for span in calls if span.route), "chat")
    client_model = next((span.client_model for span in calls if span.client_model), "")
    response_id = next((span.response_id for span in calls if span.response_id), "")
    asking = next((span for span in calls if span.said.asks), main)
    models = [span.response_model for span in calls if span.response_model]
    response_model = next((model for model in models if model != client_model), next(iter(models), ""))
    started_ns, ended_ns = min(span.started_ns for span in calls), max(span.ended_ns for span in calls)
    errors = [span.error for span in calls if isinstance(span.error, dict)]
    metadata: dict[str, Json] = {}
    usage: dict[str, Json] = {}
    for span in reversed(calls):
        metadata.update(span.metadata)
    for span in reversed(nearest):
        usage.update(span.usage)
    texts: dict[str, str] = {}
    for span in (*reversed(around), *reversed(calls)):
        texts.update(span.texts)
    lost = _lost(calls)
    readable = asking.said.asks and not isinstance(asking.said.messages, str)
    stream = any(span.stream for span in calls)
    return TurnRecord(
        turn_id=turn_id(first.trace_id, first.span_id),
        route=route,
        client_model=client_model or response_model,
        backend=next((span.backend for span in calls if span.backend), ""),
        stream=stream,
        target_url=next((span.target_url for span in calls if span.target_url), ""),
        upstream_model="",
        started_at=format_time(started_ns),
        updated_at=format_time(ended_ns),
        request_headers={},
        client_request=_continuing(
            _request(route, client_model, asking.said, stream=stream),
            next((span.previous_response_id for span in (*calls, *around) if span.previous_response_id), ""),
        ),
        metadata=metadata,
        upstream_request=None,
        upstream_response=None,
        client_response=_response(route, response_id, response_model, calls),
        upstream_events=StreamEvents(),
        client_events=StreamEvents(),
        stream_summary={},
        error=None if main.said.answers_it and main.error is None else _fullest(errors),
        duration_ms=round((ended_ns - started_ns) / 1e6),
        usage=usage or None,
        request_is_whole=readable and not asking.said.missing,
        request_is_window=readable and bool(asking.said.missing),
        attributes=texts,
        trace=_trace(first, spans, lost),
    )


def with_call_spans(record: TurnRecord, spans: Sequence[CallSpan]) -> TurnRecord:
    """Return a turn that the proxy has recorded, with what spans of its call know beside it.

    What the proxy has recorded counts; the usage is added where it has given none.
    """
    usage = record.usage
    if usage is None:
        usage = next((dict(span.usage) for span in spans if span.usage), None)
    return replace(
        record,
        usage=usage,
        attributes={**{name: text for span in spans for name, text in span.texts.items()}, **record.attributes},
        trace={**record.trace, "spans": list(_described(spans))},
    )


def _fullest(errors: Sequence[Object]) -> Json:
    """Return the first error that has a message, for a client library's own span may have its type alone."""
    return next((error for error in errors if error.get("message")), next(iter(errors), None))


def _request(route: str, model: str, said: Said, *, stream: bool) -> Json:
    if not said.asks:
        return None
    if said.request is not None:
        request: Object = dict(said.request)
        if model:
            request.setdefault("model", model)
        for name, value in said.parameters.items():
            request.setdefault(name, value)
        return request
    if isinstance(said.messages, str):  # cut
        request = {"model": model} if model else {}
        return {**request, _MESSAGES_KEY.get(route, "messages"): said.messages}
    parameters = {**said.parameters, "stream": True} if stream else said.parameters
    return request_of(
        route, said.messages or [], model=model, system=said.system, tools=said.tools, parameters=parameters
    )


def _continuing(request: Json, previous_response_id: str) -> Json:
    if isinstance(request, dict) and previous_response_id:
        return {**request, "previous_response_id": request.get("previous_response_id") or previous_response_id}
    return request


def _response(route: str, response_id: str, model: str, calls: Sequence[CallSpan]) -> Json:
    reasons = next((span.finish_reasons for span in calls if span.finish_reasons), [])
    answering = next((span for span in calls if span.said.answers_it), None)
    if answering is None:
        failed = any(span.error is not None for span in calls)  # LiteLLM has an id of its own for what failed, too
        if not (reasons or (response_id and not failed)):
            return None
        # What was said is not known; that there was an answer is.
        known: Object = {"id": response_id, "model": model, "finish_reasons": list(reasons)}
        return {name: value for name, value in known.items() if value}
    if answering.said.response is not None:
        return answering.said.response
    return response_of(
        route,
        answering.said.answers or [],
        response_id=response_id,
        model=model,
        finish_reasons=answering.finish_reasons or reasons,
    )


def _lost(calls: Sequence[CallSpan]) -> dict[str, Json]:
    """Return what limits of the SDK have cut, where it is of what is used."""
    used = [span for span in calls if span.has_content]
    counts = {
        "attributes": max((span.dropped for span in used), default=0),
        "events": max((span.dropped_events for span in used), default=0),
        "messages": max((span.said.missing for span in used), default=0),
    }
    lost: dict[str, Json] = {kind: count for kind, count in counts.items() if count}
    if cut := [name for span in used for name in span.said.cut]:
        lost["truncated"] = cut
    return lost


def _trace(first: CallSpan, spans: Sequence[CallSpan], lost: dict[str, Json]) -> dict[str, Json]:
    trace: dict[str, Json] = {
        "trace_id": f"{first.trace_id:032x}",
        "span_id": f"{first.span_id:016x}",
        "parent_span_id": f"{first.parent_span_id:016x}" if first.parent_span_id else None,
        "service_name": first.service_name,
        "sampled": first.sampled,
        "source": first.source,
        "complete": not lost,
    }
    if lost:
        trace["lost"] = lost
    if len(spans) > 1:
        trace["spans"] = list(_described(spans[1:]))
    return trace


def _described(spans: Sequence[CallSpan]) -> Iterator[Json]:
    for span in spans:
        yield {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}", "source": span.source}
