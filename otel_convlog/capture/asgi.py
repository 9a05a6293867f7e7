"""Middleware that records the turns of an ASGI application."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from opentelemetry import context as context_api
from opentelemetry.propagators.textmap import Getter

from otel_convlog.capture.captured_turn import CLIENT_LEFT, UNFINISHED, CapturedTurn, Entrance, Problem, context_of
from otel_convlog.capture.options import CaptureOptions
from otel_convlog.tracer import can_record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping

    from otel_convlog.wire import Answer

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Scope = MutableMapping[str, Any]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_logger = logging.getLogger(__name__)

_SENDS_SURELY = frozenset({"2.0", "2.1", "2.2", "2.3"})  # versions of the standard

_MARK = "otel_convlog.captured"  # in the scope of a request that a middleware further out records


class ConvlogMiddleware:
    """Records each request to a model API's path as a turn, and what the client is answered, whole or streamed.

    Every message reaches the application and the client as without it, and at the same moment: it looks at what has
    passed. Within the request the turn is the current one, so that the hooks of `otel_convlog.capture` record what goes
    upstream::

        app.add_middleware(ConvlogMiddleware)

    Args:
        app: The application.
        paths: More paths than those of the known APIs: a path, or its end, and the name of its route; by default those
            of ``OTEL_EXPORTER_CONVLOG_CAPTURE_PATHS``.
        most_bytes: How much of a body is kept; by default ``OTEL_EXPORTER_CONVLOG_CAPTURE_BYTES``.
    """

    def __init__(
        self, app: Application, *, paths: Mapping[str, str] | None = None, most_bytes: int | None = None
    ) -> None:
        self._app = app
        self._options = CaptureOptions.resolve(paths, most_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await serve(self._app, self._options, scope, receive, send)


async def serve(app: Application, options: CaptureOptions, scope: Scope, receive: Receive, send: Send) -> None:
    """Let an application serve a connection, and record it where it is a turn."""
    try:
        turn = _begin(scope, options)
    except Exception:  # whatever the server gives
        _logger.warning("a request could not be recorded", exc_info=True)
        turn = None
    if turn is None:
        await app(scope, receive, send)
        return
    exchange = _Exchange(turn, receive, send, send_may_fail=_send_may_fail(scope))
    problem: Problem | None = None
    token = context_api.attach(turn.context)
    try:
        await app(scope, exchange.receive, exchange.send)
    except BaseException as error:
        problem = Problem(type(error).__name__, str(error))
        raise
    finally:
        context_api.detach(token)
        exchange.break_off(problem)


def _begin(scope: Scope, options: CaptureOptions) -> CapturedTurn | None:
    """Begin a turn; None for a request that is none, or is recorded already."""
    if scope["type"] != "http" or scope.get("method") != "POST" or _MARK in scope or not can_record():
        return None
    entrance = Entrance("asgi", str(scope.get("path", "")))
    matched = options.routes.match(entrance.path)
    if matched is None or entrance.is_inner:
        return None
    scope[_MARK] = True
    headers = scope.get("headers", ())
    named: dict[bytes, bytes] = dict(headers)  # their names are in small letters, as the standard has it
    encoding = _text(named.get(b"content-encoding", b""))
    turn = CapturedTurn(entrance, matched, headers, encoding, context_of(named, _GETTER), most_bytes=options.most_bytes)
    return turn if turn.recording else None


class _HeaderGetter(Getter["Mapping[bytes, bytes]"]):
    """Gets a propagator the headers that it asks for."""

    def get(self, carrier: Mapping[bytes, bytes], key: str) -> list[str] | None:
        value = carrier.get(key.lower().encode("latin-1", "replace"))
        return None if value is None else [_text(value)]

    def keys(self, carrier: Mapping[bytes, bytes]) -> list[str]:
        return [_text(name) for name in carrier]


_GETTER = _HeaderGetter()


class _Exchange:
    """The messages of one request and its answer, as they pass."""

    def __init__(self, turn: CapturedTurn, receive: Receive, send: Send, *, send_may_fail: bool) -> None:
        self._turn = turn
        self._receive = receive
        self._send = send
        self._send_may_fail = send_may_fail
        self._answer: Answer | None = None
        self._client_left = False
        self._ended = False

    async def receive(self) -> Message:
        """Give the application its next message."""
        message = await self._receive()
        try:
            if message["type"] == "http.request":
                self._turn.receive(message.get("body", b""))
                if not message.get("more_body", False):
                    self._turn.received()
            elif message["type"] == "http.disconnect":
                self._client_left = True
        except Exception:
            _logger.warning("a request could not be recorded", exc_info=True)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Send a message on, and look at it."""
        # A coroutine for each event of a stream would be most of what the middleware costs.
        if self._send_may_fail or self._answer is None or not message.get("more_body"):
            return self._send_and_look(message)
        try:
            self._answer.add(message.get("body", b""))
        except Exception:
            _logger.warning("an answer could not be recorded", exc_info=True)
        return self._send(message)

    async def _send_and_look(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:
            self._client_left = True
            raise
        try:
            if message["type"] != "http.response.body":
                self._begin_answer(message)
                return
            if self._answer is not None:
                self._answer.add(message.get("body", b""))
            if not message.get("more_body"):
                self._end(None)
        except Exception:
            _logger.warning("an answer could not be recorded", exc_info=True)

    def break_off(self, problem: Problem | None) -> None:
        """End the turn of an answer that has not ended itself."""
        if not self._ended:
            self._end(CLIENT_LEFT if self._client_left else problem or UNFINISHED)

    def _begin_answer(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers", ())
            self._answer = self._turn.respond(
                int(message["status"]), _header(headers, b"content-type"), _header(headers, b"content-encoding")
            )
        elif message["type"] == "http.response.pathsend":  # a file, which the server sends itself
            self._end(None)

    def _end(self, problem: Problem | None) -> None:
        if not self._ended:
            self._ended = True
            self._turn.finish(problem)


def _send_may_fail(scope: Scope) -> bool:
    """Say whether the server tells who sends that the client has left, by an `OSError`: from version 2.4 of ASGI on."""
    return scope.get("asgi", {}).get("spec_version") not in _SENDS_SURELY


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    """Return a header's value; empty where there is none."""
    return next((_text(value) for key, value in headers if bytes(key).lower() == name), "")


def _text(value: bytes) -> str:
    return bytes(value).decode("latin-1")
