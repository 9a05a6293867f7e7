"""Middleware that records the turns of an ASGI application."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from opentelemetry import context as context_api

from otel_convlog.capture.bodies import MOST_BYTES, AnswerReader, parsed
from otel_convlog.capture.routes import Routes
from otel_convlog.current import within
from otel_convlog.turn import Turn, can_record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from otel_convlog.capture.routes import Matched

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Scope = MutableMapping[str, Any]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_logger = logging.getLogger(__name__)


class ConvlogMiddleware:
    """Records each request to a model API's path as a turn, and what the client is answered, whole or streamed.

    Every byte reaches the application and the client as without it, and at the same moment: an answer is read after it
    has been sent on. Within the request the turn is the current one, so that the hooks of `otel_convlog.capture.httpx`
    record what goes upstream::

        app.add_middleware(ConvlogMiddleware)

    Args:
        app: The application.
        paths: More paths than those of the known APIs: a path, or its end, and the name of its route.
        most_bytes: How much of a request or a whole answer is kept.
    """

    def __init__(
        self, app: Application, *, paths: Mapping[str, str] | None = None, most_bytes: int = MOST_BYTES
    ) -> None:
        self._app = app
        self._routes = Routes(paths)
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        matched = None
        if scope["type"] == "http" and scope.get("method") == "POST" and can_record():
            matched = self._routes.match(str(scope.get("path", "")))
        if matched is None:
            await self._app(scope, receive, send)
            return
        request = _Request(receive)
        body = await request.read(self._most_bytes)
        turn = _start(scope, matched, body)
        if turn is None:
            await self._app(scope, request.receive, send)
            return
        answer = _Answer(turn, matched, send, self._most_bytes)
        token = context_api.attach(within(turn, turn.span))
        try:
            await self._app(scope, request.receive, answer.send)
        except BaseException as error:
            answer.break_off(error)
            raise
        finally:
            answer.end(client_left=request.client_left)
            context_api.detach(token)


def _start(scope: Scope, matched: Matched, body: bytes | None) -> Turn | None:
    """Start a turn; None for a request that is none: no JSON object, or too long to be kept."""
    request = parsed(body) if body is not None else None
    if not isinstance(request, dict):
        return None
    model = request.get("model") or matched.model
    turn = Turn(
        route=matched.route.name,
        client_model=model if isinstance(model, str) else "",
        backend=matched.route.backend,
        stream=bool(request.get("stream")) or matched.streams,
        client_request=request,
        request_headers=scope.get("headers"),
    )
    return turn if turn.recording else None


class _Request:
    """A request's messages, read ahead and given to the application as they came."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read: deque[Message] = deque()
        self.client_left = False

    async def read(self, most_bytes: int) -> bytes | None:
        """Return the body; None where it is longer than that, or the client has left."""
        size = 0
        while size <= most_bytes:
            message = await self._receive()
            self._read.append(message)
            if message["type"] != "http.request":
                self.client_left = True
                return None
            size += len(message.get("body", b""))
            if not message.get("more_body", False):
                return b"".join(read.get("body", b"") for read in self._read)
        return None

    async def receive(self) -> Message:
        """Give the application its next message."""
        if self._read:
            return self._read.popleft()
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.client_left = True
        return message


class _Answer:
    """Records what a client is answered, after it has been sent."""

    def __init__(self, turn: Turn, matched: Matched, send: Send, most_bytes: int) -> None:
        self._turn = turn
        self._matched = matched
        self._send = send
        self._most_bytes = most_bytes
        self._reader: AnswerReader | None = None
        self._status = 0
        self._ended = False

    async def send(self, message: Message) -> None:
        """Send a message on, and record it."""
        await self._send(message)
        try:
            self._record(message)
        except Exception:
            _logger.warning("an answer could not be recorded", exc_info=True)

    def break_off(self, error: BaseException) -> None:
        """Record that the application has failed."""
        if not self._ended:
            self._turn.attach_error({"type": type(error).__name__, "message": str(error)})

    def end(self, *, client_left: bool) -> None:
        """End the turn of an answer that has not ended itself."""
        if self._ended:
            return
        if client_left:
            self._turn.attach_error(
                {"type": "client_disconnected", "message": "the client left before the answer ended"}
            )
        self._finish(complete=False)

    def _record(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = int(message["status"])
            headers = {bytes(name).lower(): bytes(value) for name, value in message.get("headers", ())}
            self._reader = AnswerReader(
                headers.get(b"content-type", b"").decode("latin-1"),
                headers.get(b"content-encoding", b"").decode("latin-1"),
                self._matched.route.unnamed_event,
                self._most_bytes,
            )
        elif message["type"] == "http.response.body" and self._reader is not None:
            for event in self._reader.feed(message.get("body", b"")):
                self._turn.append_client_event(event)
            if not message.get("more_body", False):
                self._finish(complete=True)

    def _finish(self, *, complete: bool) -> None:
        self._ended = True
        reader = self._reader
        usage = None
        if reader is not None and reader.streams:
            self._turn.assemble_answer()
        elif reader is not None:
            answer = reader.whole()
            self._turn.attach_client_response(answer)
            usage = answer.get("usage", answer.get("usageMetadata")) if isinstance(answer, dict) else None
            if complete and self._status >= 400:
                self._turn.attach_error({"type": "status", "status_code": self._status, "body": answer})
        self._turn.finalize(usage=usage if isinstance(usage, dict) else None)
