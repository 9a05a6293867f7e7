"""A turn that is recorded off the wire, between a client and the application that answers it."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry import propagate, trace
from opentelemetry.context import create_key, get_current, get_value, set_value
from opentelemetry.propagators.textmap import CarrierT, Getter, default_getter

from otel_convlog import attributes as names
from otel_convlog.attempts import json_of_body
from otel_convlog.capture.glance import Glance, glance_at, glance_at_stream
from otel_convlog.current import within
from otel_convlog.span_fields import attribute_text, genai_attributes
from otel_convlog.tracer import start_span
from otel_convlog.turn import Turn, never_raises
from otel_convlog.wire import Answer, Body
from otel_convlog.wire_fields import raw_fields

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer
    from opentelemetry.util.types import AttributeValue

    from otel_convlog.attempts import Attempt
    from otel_convlog.capture.routes import Matched
    from otel_convlog.jsontext import Json

_FIRST_ERROR_STATUS = 400

_ENTRANCE = create_key("convlog-entrance")


class Problem(NamedTuple):
    """What kept an answer from its end.

    Attributes:
        kind: ``client_disconnected``, ``unfinished``, or the class of what was raised.
        message: What it says.
    """

    kind: str
    message: str


CLIENT_LEFT = Problem("client_disconnected", "the client left before the answer ended")
UNFINISHED = Problem("unfinished", "the application has not ended its answer")


class Entrance(NamedTuple):
    """Where a request has come in.

    Attributes:
        interface: ``asgi`` or ``wsgi``.
        path: Its path.
    """

    interface: str
    path: str

    @property
    def is_inner(self) -> bool:
        """Whether the other interface's middleware records the request: a bridge brings it from there to here."""
        outer = get_value(_ENTRANCE)
        return isinstance(outer, Entrance) and outer.interface != self.interface and outer.path == self.path


class CapturedTurn(Turn):
    """Records what a client sends and what it is answered while both pass, whole or streamed.

    Where the application records a turn of its own for the request, that takes this one's place.

    Args:
        entrance: Where the request has come in.
        matched: Which API it is to.
        headers: The request's headers, as `sanitize_headers` takes them.
        encoding: Its body's ``Content-Encoding``.
        came_with: The context that it came with, from `context_of`.
        most_bytes: How much of a body is kept.
    """

    __slots__ = (
        "_answer",
        "_came_with",
        "_entrance",
        "_headers",
        "_known",
        "_matched",
        "_most_bytes",
        "_request",
        "_status",
        "_successor",
    )

    def __init__(  # noqa: PLR0913  what is known of a request
        self,
        entrance: Entrance,
        matched: Matched,
        headers: object,
        encoding: str,
        came_with: Context,
        *,
        most_bytes: int,
    ) -> None:
        self._entrance = entrance
        self._matched = matched
        self._headers: object = {}
        self._came_with = came_with
        self._most_bytes = most_bytes
        self._request: Body | None = Body(encoding, most_bytes)  # None: all of it has passed
        self._known: tuple[str, Json] | None = None
        self._answer: Answer | None = None
        self._status = 0
        self._successor: Turn | None = None
        super().__init__(
            route=matched.route.name,
            client_model=matched.model,
            backend=matched.route.backend,
            stream=matched.streams,
            client_request=None,
            request_headers=headers,
        )

    @property
    def context(self) -> Context:
        """The context in which the application is to answer: this turn is the current one there."""
        return set_value(_ENTRANCE, self._entrance, within(self, self.span, self._came_with))

    def _start_span(self, tracer: Tracer, head: dict[str, AttributeValue]) -> Span | None:
        """Start the span in the client's trace; where that one is not recorded, in a trace of its own."""
        self._started_ns = perf_counter_ns()
        self._attempts: list[Attempt] = []
        return start_span(tracer, head, self._came_with) or start_span(tracer, head)

    def hand_over(self, successor: Turn) -> tuple[Span, int, list[Attempt]] | None:
        """Let the turn that the application itself records take this one's place."""
        span = self._take_span()
        if span is None:
            return None
        self._successor = successor
        return span, self._started_ns, self._attempts

    @property
    def in_charge(self) -> Turn:
        """The turn that the application itself records, where it does."""
        return self if self._successor is None else self._successor

    def _name_conversation(self, _client_request: object, headers: object) -> None:
        """Keep the headers until the request is there."""
        self._headers = headers

    def _take_over(self, head: object) -> None:
        """Take no other's place: a request that an application sends to itself is one of its own."""

    def receive(self, piece: bytes) -> None:
        """Take the next bytes of the request."""
        if self._request is not None:
            self._request.add(piece)

    @never_raises
    def received(self, *, whole: bool = True) -> None:
        """Note that no more of the request will come.

        Args:
            whole: Whether that is all of it; the application may leave a part unread.
        """
        request, self._request = self._request, None
        if request is None or self._span is None:
            return
        body = request.read()
        text, value = self._known = json_of_body(body.text)
        self._fields[names.CLIENT_REQUEST] = text
        self._note_raw(names.CLIENT_REQUEST, whole=body.whole and (whole or not request.size))
        if not isinstance(value, dict):
            return
        model = value.get("model")
        if isinstance(model, str) and model:
            self._fields[names.CLIENT_MODEL] = model = attribute_text(model)
            self._fields.update(genai_attributes("", model, ""))
        self._fields[names.STREAM] = bool(value.get("stream")) or self._matched.streams
        super()._name_conversation(value, self._headers)

    def respond(self, status: int, content_type: str, encoding: str) -> Answer:
        """Note that an answer begins; return what takes its bytes."""
        self._status = status
        self._answer = Answer(
            content_type,
            encoding,
            asked_for_stream=self._fields.get(names.STREAM) is True if self.recording else False,
            event_type=self._matched.route.unnamed_event,
            most_bytes=self._most_bytes,
        )
        return self._answer

    @never_raises
    def finish(self, problem: Problem | None = None) -> None:
        """End the turn.

        Args:
            problem: What kept the answer from its end; None where it is complete.
        """
        self.received(whole=False)
        if self._span is None:
            return
        answer = self._describe_answer()
        error: dict[str, Json] = {}
        if problem is not None:
            error = {"type": problem.kind, "message": problem.message}
        elif self._status >= _FIRST_ERROR_STATUS:
            error = {"type": "status", "message": answer.error}
        if error and self._status:
            error["status_code"] = self._status
        if self._attempts:
            last = self._attempts[-1]
            self._fields[names.BACKEND] = last.target.backend or self._matched.route.backend
            if error and last.error is not None:
                error["upstream"] = last.error
        if error:
            self.attach_error(error)
        self.finalize(usage=answer.usage)

    def _describe_answer(self) -> Glance:
        """Record what the answer was, as far as it is not a stream."""
        if self._status:
            self._fields[names.CLIENT_STATUS] = self._status
        if self._answer is None or not self._answer.size:
            return Glance()
        body = self._answer.read()
        if self._answer.streams:
            glance = glance_at_stream(body.text)
        else:
            text, value = json_of_body(body.text)
            self._fields[names.CLIENT_RESPONSE] = text
            self._note_raw(names.CLIENT_RESPONSE, whole=body.whole)
            glance = glance_at(value)
        for name, found in (
            (names.GEN_AI_RESPONSE_ID, glance.response_id),
            (names.GEN_AI_RESPONSE_MODEL, glance.model),
        ):
            if found:
                self._fields[name] = attribute_text(found)
        return glance

    def _known_request(self) -> tuple[str, Json] | None:
        return self._known

    def _client_stream(self) -> Answer | None:
        answer = self._answer
        return answer if answer is not None and answer.size and answer.streams else None

    def _note_raw(self, name: str, *, whole: bool) -> None:
        """Note that an attribute is a body as it was on the wire, and whether it is all of it."""
        self._fields.update(raw_fields(self._fields, [name], [] if whole else [name.removeprefix(names.PREFIX)]))


def context_of(headers: CarrierT, getter: Getter[CarrierT] = default_getter) -> Context:
    """Return the context that a request comes with: the current one, or else what the client's headers say of it.

    OpenTelemetry's instrumentation of a server, where it comes later, sees a span, and asks the headers no more.

    Args:
        headers: The headers.
        getter: Gets one of them by its name.
    """
    current = get_current()
    if trace.get_current_span(current) is not trace.INVALID_SPAN:
        return current
    return propagate.extract(headers, current, getter)
