"""One request through the proxy, recorded as one span."""

from __future__ import annotations

import functools
import logging
import threading
from contextlib import suppress
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, ParamSpec

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from otel_convlog import attempts, open_turns
from otel_convlog import attributes as names
from otel_convlog.attempts import json_text as _json
from otel_convlog.current import current_turn, within
from otel_convlog.identity.explicit import named_conversation
from otel_convlog.redaction.headers import sanitize_headers
from otel_convlog.redaction.urls import sanitize_url
from otel_convlog.span_fields import attribute_text, figures, genai_attributes, truth, turn_id, type_name
from otel_convlog.tracer import current_tracer, start_span
from otel_convlog.wire_fields import event_attributes, raw_fields, wire_attributes

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer
    from opentelemetry.util.types import AttributeValue
    from typing_extensions import Self

    from otel_convlog.attempts import Attempt
    from otel_convlog.jsontext import Json
    from otel_convlog.wire import Answer

_logger = logging.getLogger(__name__)

_MOST_NEEDED = (names.ROUTE, names.CLIENT_REQUEST, names.GEN_AI_CONVERSATION_ID)

_P = ParamSpec("_P")


def never_raises(method: Callable[_P, None]) -> Callable[_P, None]:
    """Keep from the proxy whatever goes wrong in recording: foreign objects and span processors may raise anything."""

    @functools.wraps(method)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception:
            _logger.warning("a turn could not be recorded whole (%s)", method.__name__, exc_info=True)

    return guarded


class Turn:
    """One request through the proxy: what the client sent, what went upstream, what came back, what the client got.

    Everything is captured as it is at the time of the call. No method ever raises; all may be called from any thread.
    What is recorded after `finalize` is dropped.

    Used as a context manager, a turn makes its span current (so that spans of the upstream call nest in it), records an
    exception that passes through, and is finalized at the end::

        with Turn(route="chat", client_model="gpt-5", backend="openai", stream=False, client_request=body) as turn:
            turn.attach_upstream_request(payload, headers)
            ...

    Where nothing records (no SDK, the SDK or convlog switched off, or not sampled) the turn does nothing.

    Args:
        route: ``chat`` (OpenAI chat/completions), ``responses`` (OpenAI responses), ``messages`` (Anthropic
            messages), or any other name.
        client_model: The model that the client asked for.
        backend: The provider that the request goes to, as ``gen_ai.provider.name`` has it, e.g. ``openai``.
        stream: Whether the client asked for a stream.
        client_request: The request's body, usually a mapping.
        request_headers: The client's headers, as `sanitize_headers` takes them; they are masked before they are
            recorded.
        target_url: Where the request goes.
        upstream_model: The model that is asked upstream.
        metadata: Whatever else should stand with the turn.
    """

    __slots__ = (
        "_attempts",
        "_client_events",
        "_context_token",
        "_end_lock",
        "_entered",
        "_fields",
        "_span",
        "_started_ns",
        "_upstream_events",
    )

    def __init__(  # noqa: PLR0913  the specification's arguments
        self,
        *,
        route: str,
        client_model: str,
        backend: str,
        stream: bool,
        client_request: object,
        request_headers: object = None,
        target_url: str = "",
        upstream_model: str = "",
        metadata: object = None,
    ) -> None:
        self._span: Span | None = None  # None: nothing is recorded, or not any more
        self._context_token: Token[Context] | None = None
        plain: dict[str, object] = {
            names.ROUTE: route,
            names.CLIENT_MODEL: client_model,
            names.BACKEND: backend,
            names.TARGET_URL: target_url,
            names.UPSTREAM_MODEL: upstream_model,
        }
        self._begin(plain, stream, client_request, request_headers, metadata)

    @never_raises
    def _begin(
        self,
        plain: dict[str, object],
        stream: object,
        client_request: object,
        request_headers: object,
        metadata: object,
    ) -> None:
        tracer = current_tracer()
        if tracer is None:
            return
        texts: dict[str, str] = {}
        exact: dict[str, object] = {}
        plain[names.TARGET_URL] = _shown_url(plain[names.TARGET_URL])
        for name, value in plain.items():
            texts[name] = text = attribute_text(value)
            if text is not value and (value is None or issubclass(type(value), (str, int, float))):
                exact[name] = value
        head: dict[str, AttributeValue] = {names.STREAM: truth(stream)}
        head.update(genai_attributes(texts[names.ROUTE], texts[names.CLIENT_MODEL], texts[names.BACKEND]))
        given = {name: text for name, text in texts.items() if text}
        span = self._take_over({**head, **texts}) or self._start_span(tracer, {**head, **given})
        if span is None:
            return
        headers = sanitize_headers(request_headers)
        span_context = span.get_span_context()
        self._fields: dict[str, AttributeValue] = {
            names.TURN_ID: turn_id(span_context.trace_id, span_context.span_id),
            names.ROUTE: texts[names.ROUTE],
            names.REQUEST_HEADERS: _json(headers),
            names.CLIENT_REQUEST: _json(client_request),
        }
        if metadata is not None:
            self._fields[names.METADATA] = _json(metadata)
        # What the proxy says counts before what hooks see.
        self._fields.update({name: given[name] for name in (names.TARGET_URL, names.UPSTREAM_MODEL) if name in given})
        if exact:
            self._fields[names.EXACT] = _json(exact)
        # Event, time, event, time, …: both are added in one step, and the garbage collector has nothing to do with
        # them.
        self._upstream_events: list[str | int] = []
        self._client_events: list[str | int] = []
        self._end_lock = threading.RLock()  # a signal's handler may end the very turn that is being ended
        self._span = span
        open_turns.begin(span, span_context)
        self._name_conversation(client_request, headers)

    def _name_conversation(self, client_request: object, headers: object) -> None:
        """Note the conversation that a request names; its headers are those that may be shown."""
        if (named := named_conversation(client_request, headers, {})) is not None:
            self._fields[names.GEN_AI_CONVERSATION_ID] = named.conversation_id

    def _start_span(self, tracer: Tracer, head: dict[str, AttributeValue]) -> Span | None:
        span = start_span(tracer, head)
        self._started_ns = perf_counter_ns()
        self._attempts: list[Attempt] = []
        return span

    def _take_over(self, head: dict[str, AttributeValue]) -> Span | None:
        """Become what is recorded of a request that is being captured: what the proxy says itself comes first."""
        outer = current_turn()
        taken = outer.hand_over(self) if outer is not None else None
        if taken is None:
            return None
        span, self._started_ns, self._attempts = taken
        span.set_attributes(head)
        return span

    def hand_over(self, successor: Turn) -> tuple[Span, int, list[Attempt]] | None:  # noqa: ARG002  for a captured one
        """Let a turn that begins within this one take its place; None where it has a place of its own."""
        return None

    @property
    def in_charge(self) -> Turn:
        """The turn that records what this one would: itself, or the one that has taken its place."""
        return self

    @property
    def span(self) -> Span:
        """The turn's span, e.g. to make it current elsewhere; an invalid span where nothing is recorded."""
        return self._span or trace.INVALID_SPAN

    @property
    def recording(self) -> bool:
        """Whether what is attached now will be logged."""
        return self._span is not None

    @never_raises
    def attach_upstream_request(self, payload: object, headers: object = None) -> None:
        """Record what was sent upstream: the body and, masked, the headers."""
        self._attach(names.UPSTREAM_REQUEST, {"headers": sanitize_headers(headers), "body": payload})

    @never_raises
    def attach_upstream_response(self, response_data: object) -> None:
        """Record the whole upstream answer of a request that was not streamed."""
        self._attach(names.UPSTREAM_RESPONSE, response_data)
        self._describe_response(response_data)

    @never_raises
    def attach_client_response(self, response_data: object) -> None:
        """Record the whole answer that the client was given."""
        self._attach(names.CLIENT_RESPONSE, response_data)

    def append_upstream_event(self, event: object) -> None:
        """Record one streamed event that came from upstream."""
        if self._span is not None:
            self._upstream_events += (_json(event), perf_counter_ns())

    def append_client_event(self, event: object) -> None:
        """Record one streamed event that was sent to the client."""
        if self._span is not None:
            self._client_events += (_json(event), perf_counter_ns())

    @never_raises
    def set_stream_summary(self, summary: object) -> None:
        """Record what the stream came to, e.g. its text, the numbers of events, usage."""
        self._attach(names.STREAM_SUMMARY, {} if summary is None else summary)

    @never_raises
    def attach_error(self, error: object) -> None:
        """Record what went wrong: text, or an object, where possible with ``type`` and ``message``."""
        self._attach(names.ERROR, error)
        if self._span is None or error is None:
            return
        kind = error.get("type") if isinstance(error, dict) else None
        # "_OTHER" is the conventions' word for an error without a name
        # (https://opentelemetry.io/docs/specs/semconv/registry/attributes/error/)
        self._fail(attribute_text(kind) if isinstance(kind, str) and kind else "_OTHER")

    def add_attempt(self, attempt: Attempt) -> bool:
        """Record an upstream call, for hooks of HTTP clients.

        Of several, the last one's request, answer and events become the turn's, where the proxy records none itself;
        the others stand in ``otel.attempts``.

        Returns:
            Whether anything is recorded.
        """
        if self._span is None:
            return False
        self._attempts.append(attempt)
        return True

    @never_raises
    def finalize(self, *, usage: object = None, duration_ms: float | None = None) -> None:
        """End the turn: its span ends, and it goes to the exporter. A second call does nothing.

        Args:
            usage: Token counts in the provider's words, usually a mapping; None where there are none.
            duration_ms: How long the turn took; None or 0 for the time since it started.
        """
        span = self._take_span()
        if span is None:
            return
        end_time = time_ns()
        try:
            self._fill(span, end_time, usage, duration_ms)
        except BaseException:  # a signal's handler may raise in there
            with suppress(Exception):  # it was no handler's
                self._fill(span, end_time, usage, duration_ms)
            raise
        finally:
            try:
                open_turns.end(span.get_span_context().span_id)
            finally:
                span.end(end_time)

    def __enter__(self) -> Self:
        if self._span is not None and self._context_token is None:
            self._entered = self._span
            self._context_token = context_api.attach(within(self, self._span))
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None:
            self._record_exception(exc)
        self.finalize()
        token, self._context_token = self._context_token, None
        # In another context than the one it was entered in, as a generator may be whose steps run in several threads,
        # there is nothing to undo, and the API would log an error.
        if token is not None and trace.get_current_span() is self._entered:
            context_api.detach(token)

    def _take_span(self) -> Span | None:
        """Return the span to the one caller that ends it."""
        if self._span is None:
            return None
        with self._end_lock:
            span = self._span
            self._span = None
        return span

    def _attach(self, name: str, value: object) -> None:
        if self._span is not None:
            self._fields[name] = _json(value)

    def _describe_response(self, response_data: object) -> None:
        if self._span is None or not isinstance(response_data, dict):
            return
        for key, name in (("model", names.GEN_AI_RESPONSE_MODEL), ("id", names.GEN_AI_RESPONSE_ID)):
            value = response_data.get(key)
            if isinstance(value, str):
                self._fields[name] = attribute_text(value)

    @never_raises
    def _record_exception(self, exc: BaseException) -> None:
        span = self._span
        if span is None:
            return
        kind = type_name(exc)
        if names.ERROR not in self._fields:
            self._attach(names.ERROR, {"type": kind, "message": attribute_text(exc)})
        self._fail(kind)
        span.record_exception(exc)

    def _fail(self, kind: str) -> None:
        if self._span is None:
            return
        self._fields[names.ERROR_TYPE] = kind
        self._span.set_status(Status(StatusCode.ERROR))

    def _fill(self, span: Span, end_time: int, usage: object, duration_ms: float | None) -> None:
        fields: dict[str, AttributeValue] = figures(usage, duration_ms)
        upstream = attempts.describe(list(self._attempts), self._known_request()) if self._attempts else None
        if upstream is not None:
            fields.update(upstream.fields)
            if upstream.error is not None:
                fields.update({names.ERROR: _json(upstream.error), names.ERROR_TYPE: str(upstream.error["type"])})
                span.set_status(Status(StatusCode.ERROR))
        given = dict(self._fields)  # a snapshot: another thread may still be attaching
        if upstream is not None:
            given.update(raw_fields(given, [name for name in upstream.raw if name not in given], upstream.bounded))
        fields.update(given)
        if usage is not None:
            fields[names.USAGE] = _json(usage)
        # Where the SDK limits the number of attributes, it keeps those that were set last.
        fields.update({name: fields.pop(name) for name in _MOST_NEEDED if name in fields})
        span.set_attributes(fields)
        for name, events, stream in (
            (names.UPSTREAM_EVENTS_EVENT, self._upstream_events, upstream.stream if upstream is not None else None),
            (names.CLIENT_EVENTS_EVENT, self._client_events, self._client_stream()),
        ):
            if _has_event(span, name):  # this has been interrupted, and begins anew
                continue
            if events:
                span.add_event(name, event_attributes(list(events), self._started_ns), end_time)
            elif stream is not None:
                span.add_event(name, wire_attributes(stream, self._started_ns), end_time)

    def _known_request(self) -> tuple[str, Json] | None:
        """Return the JSON of the client's request, and what it says, where that is at hand."""
        return None

    def _client_stream(self) -> Answer | None:
        """Return what the client was streamed, as it was on the wire, where that is known."""
        return None


def _has_event(span: Span, name: str) -> bool:
    return any(event.name == name for event in getattr(span, "events", ()))


def _shown_url(url: object) -> object:
    """Return a URL without its secrets; what is no URL's text as it is."""
    if url is None or issubclass(type(url), (int, float)):  # not isinstance, which asks the object itself
        return url
    return sanitize_url(url if type(url) is str else attribute_text(url))
