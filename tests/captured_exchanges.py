"""One request and its answer, through either middleware, in this process."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from captured_servers import turns_in
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_convlog import ConversationSpanExporter
from otel_convlog.capture import ConvlogMiddleware, ConvlogWSGIMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CHAT = "/v1/chat/completions"
JSON = ("content-type", "application/json; charset=utf-8")
EVENTS = ("Content-Type", "text/event-stream")


@dataclass(frozen=True)
class _Answered:
    pieces: Sequence[bytes]
    headers: Sequence[tuple[str, str]]
    status: int
    gets: int | None
    error: BaseException | None


class Exchanges:
    """An application that answers with what it is told, behind the middleware of its interface.

    Attributes:
        read: What the application has read of its last request.
        sent: The pieces that the client has got.
    """

    def __init__(self, interface: str, directory: Path) -> None:
        self.read = b""
        self.sent: list[bytes] = []
        self._interface = interface
        self._directory = directory
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(ConversationSpanExporter(directory=directory)))
        trace.set_tracer_provider(self._provider)

    @property
    def turns(self) -> list[dict[str, Any]]:
        return turns_in(self._directory)

    def close(self) -> None:
        self._provider.shutdown()

    def ask(  # noqa: PLR0913  what an exchange consists of
        self,
        body: bytes,
        answer: Sequence[bytes],
        *answer_headers: tuple[str, str],
        path: str = CHAT,
        method: str = "POST",
        status: int = 200,
        headers: Sequence[tuple[str, str]] = (),
        pieces: int = 1,
        gets: int | None = None,
        error: BaseException | None = None,
        **options: Any,
    ) -> None:
        """Send a request.

        Args:
            body: Its body.
            answer: The pieces that the application answers.
            answer_headers: The headers of the answer.
            path: Its path.
            method: Its method.
            status: The status of the answer.
            headers: The headers of the request.
            pieces: In how many pieces its body comes.
            gets: How many pieces the client gets before it leaves; None for all of them.
            error: What the application raises behind its last piece.
            options: Those of the middleware.
        """
        self.read, self.sent = b"", []
        answered = _Answered(answer, answer_headers, status, gets, error)
        if self._interface == "asgi":
            raw = [(name.encode(), value.encode()) for name, value in headers]
            scope = {"type": "http", "method": method, "path": path, "headers": raw}
            asyncio.run(self._over_asgi(scope, _parts(body, pieces), answered, options))
        else:
            environ: dict[str, Any] = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path}
            environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers}
            environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
            self._over_wsgi(environ, len(_parts(body, pieces)[0]), answered, options)

    async def _over_asgi(
        self, scope: dict[str, Any], parts: list[bytes], answered: _Answered, options: dict[str, Any]
    ) -> None:
        incoming = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        incoming[-1]["more_body"] = False

        async def app(_: Any, receive: Any, send: Any) -> None:
            more = True
            while more:
                message = await receive()
                self.read += message["body"]
                more = message["more_body"]
            encoded = [(name.encode(), value.encode()) for name, value in answered.headers]
            await send({"type": "http.response.start", "status": answered.status, "headers": encoded})
            for piece in answered.pieces[: answered.gets]:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if answered.gets is not None:
                assert (await receive())["type"] == "http.disconnect"
            elif answered.error is not None:
                raise answered.error
            else:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def receive() -> Any:
            return incoming.pop(0) if incoming else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message.get("body"):
                self.sent.append(message["body"])

        await ConvlogMiddleware(app, **options)(scope, receive, send)

    def _over_wsgi(self, environ: dict[str, Any], size: int, answered: _Answered, options: dict[str, Any]) -> None:
        def app(environ: Any, start_response: Any) -> Any:
            while piece := environ["wsgi.input"].read(max(size, 1)):
                self.read += piece
            start_response(f"{answered.status} Status", list(answered.headers))
            return passing()

        def passing() -> Iterator[bytes]:
            yield from answered.pieces
            if answered.error is not None:
                raise answered.error

        def start_response(*_: Any) -> Any:
            return self.sent.append

        served: Any = ConvlogWSGIMiddleware(app, **options)(environ, start_response)
        try:
            for number, piece in enumerate(served):
                if number == answered.gets:
                    break
                self.sent.append(piece)
        finally:
            if hasattr(served, "close"):
                served.close()


def _parts(body: bytes, pieces: int) -> list[bytes]:
    size = max(1, -(-len(body) // pieces))
    return [body[start : start + size] for start in range(0, max(len(body), 1), size)]
