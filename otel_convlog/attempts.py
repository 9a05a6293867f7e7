"""The upstream calls of one turn: usually one, several where the proxy tries again or turns to another model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from otel_convlog import attributes as names
from otel_convlog.jsontext import CAREFUL_MARK, from_any_json, to_json
from otel_convlog.redaction.headers import sanitize_headers
from otel_convlog.span_fields import attribute_text
from otel_convlog.wire import MOST_BYTES, Answer, Body

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.util.types import AttributeValue

    from otel_convlog.jsontext import Json

# One of these is in every request to a model, whatever its API.
_QUESTIONS = frozenset({"messages", "input", "contents", "prompt"})

# The parts of an earlier call on its turn's span. The answer is its text there; in the log it is what that says
# (docs/format.md, `otel.attempts`).
URL: Final = "url"
STATUS: Final = "status_code"
REQUEST: Final = "upstream_request"
ERROR: Final = "error"
ANSWER: Final = "answer"
BOUNDED: Final = "bounded"
LENGTHS: Final = "lengths"  # of streams only
EVENT_TYPE: Final = "event_type"  # of streams only

_RAW = (names.UPSTREAM_REQUEST, names.UPSTREAM_RESPONSE, names.ATTEMPTS)


class Target(NamedTuple):
    """Where an upstream call goes.

    Attributes:
        url: Its URL; what is secret in it is masked.
        backend: Who offers the API that this is, where it is a known one's path.
        model: The model that the path names.
        event_type: The type of the answer's streamed events that name none.
    """

    url: str
    backend: str = ""
    model: str = ""
    event_type: str = "event"


class Attempt:
    """One upstream call, recorded while it is made.

    Args:
        target: Where it goes.
        headers: Its headers; they are masked.
        encoding: Its body's ``Content-Encoding``.
        most_bytes: How much of a body is kept.
    """

    __slots__ = ("_headers", "_most_bytes", "answer", "body", "error", "status", "target")

    def __init__(self, target: Target, headers: object, encoding: str = "", most_bytes: int = MOST_BYTES) -> None:
        self.target = target
        self.body = Body(encoding, most_bytes)
        self.answer: Answer | None = None
        self.status: int | None = None
        self.error: dict[str, Json] | None = None
        self._headers = json_text(sanitize_headers(headers))
        self._most_bytes = most_bytes

    def send_headers(self, headers: object) -> None:
        """Record the headers as they are sent, where that is known later than that they will be."""
        self._headers = json_text(sanitize_headers(headers))

    def respond(self, status: int, content_type: str, encoding: str) -> Answer:
        """Record that an answer has begun; return what takes its bytes."""
        self.status = status
        self.answer = Answer(
            content_type,
            encoding,
            asked_for_stream=True,
            event_type=self.target.event_type,
            most_bytes=self._most_bytes,
        )
        return self.answer

    def fail(self, error: BaseException) -> None:
        """Record what went wrong."""
        self.error = {"type": type(error).__name__, "message": attribute_text(error)}

    @property
    def headers(self) -> str:
        """The request's headers, as JSON."""
        return self._headers


class SentRequest:
    """The request of an upstream call.

    Attributes:
        attempt: The call.
        asks: Whether it asks a model something.
        model: The model that it asks.
        text: ``{"headers", "body"}``, as JSON.
        whole: Whether that is all of it.
    """

    def __init__(self, attempt: Attempt, known: tuple[str, Json] | None) -> None:
        body = attempt.body.read()
        text, value = known if known is not None and known[0] == body.text else json_of_body(body.text)
        request = value if isinstance(value, dict) else {}
        model = request.get("model")
        self.attempt = attempt
        self.asks = bool(attempt.target.backend) or not _QUESTIONS.isdisjoint(request)
        self.model = attribute_text(model) if isinstance(model, str) and model else attempt.target.model
        self.text = f'{{"headers":{attempt.headers},"body":{text}}}'
        self.whole = body.whole


class Upstream(NamedTuple):
    """What the upstream calls of a turn come to.

    Attributes:
        fields: Attributes for the turn's span.
        raw: Those of them that are bodies as they were on the wire.
        bounded: The turn's fields of which only the beginning is kept.
        stream: The last call's answer, where it streams.
        error: What went wrong with the last call.
    """

    fields: dict[str, AttributeValue]
    raw: list[str]
    bounded: list[str]
    stream: Answer | None
    error: dict[str, Json] | None


def describe(attempts: Sequence[Attempt], known: tuple[str, Json] | None = None) -> Upstream:
    """Return what a turn's span says of its upstream calls: of the last one singly, of those before it together.

    Calls that ask no model anything are left out, unless there are no others.

    Args:
        attempts: The calls, one at least.
        known: The JSON of the client's request, and what it says: many proxies send it upstream as it is.
    """
    requests = [SentRequest(attempt, known) for attempt in attempts]
    *earlier, last = [request for request in requests if request.asks] or requests
    attempt = last.attempt
    fields: dict[str, AttributeValue] = {names.UPSTREAM_REQUEST: last.text, names.TARGET_URL: attempt.target.url}
    bounded = [] if last.whole else [REQUEST]
    if last.model:
        fields[names.UPSTREAM_MODEL] = last.model
    if attempt.status is not None:
        fields[names.UPSTREAM_STATUS] = attempt.status
    answer = attempt.answer if attempt.answer is not None and attempt.answer.size else None
    stream = answer if answer is not None and answer.streams else None
    if answer is not None and stream is None:
        body = answer.read()
        fields[names.UPSTREAM_RESPONSE] = body.text
        if not body.whole:
            bounded.append("upstream_response")
    if earlier:
        fields[names.ATTEMPTS] = json_array(map(_as_json, earlier))
    return Upstream(fields, [name for name in _RAW if name in fields], bounded, stream, attempt.error)


def _as_json(request: SentRequest) -> str:
    """Return all of a call as JSON."""
    attempt = request.attempt
    parts = {URL: json_text(attempt.target.url), REQUEST: request.text}
    if attempt.status is not None:
        parts[STATUS] = json_text(attempt.status)
    if attempt.error is not None:
        parts[ERROR] = json_text(attempt.error)
    if attempt.answer is not None and attempt.answer.size:
        body = attempt.answer.read()
        parts[ANSWER] = json_text(body.text)
        parts[BOUNDED] = json_text(not body.whole)
        if attempt.answer.streams:
            parts[LENGTHS] = json_text(body.lengths)
            parts[EVENT_TYPE] = json_text(attempt.answer.event_type)
    return json_object(parts)


def json_of_body(text: str) -> tuple[str, Json]:
    """Return the JSON of a body, and what it says: the body itself, where it is JSON, else its text as JSON."""
    try:
        return text, orjson.loads(text)
    except orjson.JSONDecodeError:
        pass  # the escape of a lone surrogate, or no JSON at all: the other parser tells
    try:
        return text, from_any_json(text)
    except ValueError:
        return json_text(text or None), None


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
