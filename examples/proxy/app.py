"""An asynchronous proxy for OpenAI and Anthropic clients that logs its conversations with otel_convlog.

It passes requests on and answers back, byte for byte and at once, and can rewrite the model's name on the way. What the
log needs is recorded beside that: look for the calls of `otel_convlog`, the rest is the proxy. The turns that go wrong
are logged too: the upstream answers with an error, too late, or not at all; it dies in mid-stream; the client hangs up.

Run it::

    python examples/proxy/app.py --upstream http://127.0.0.1:8001 --port 8000 --directory data/conversations
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from starlette import routing
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import otel_convlog
from examples.asgi import serve
from examples.serving import ProxyOptions
from examples.wire import (
    ROUTES,
    Route,
    StreamReader,
    error_body,
    headers_through,
    headers_upstream,
    parse_answer,
    parse_request,
    rewrite_model,
    usage_of,
)

SHUTDOWN_TIMEOUT_S = 5.0
HUNG_UP = {"type": "client_disconnected", "message": "the client hung up in mid-stream"}


def start_tracing(directory: Path | None) -> TracerProvider:
    """Set OpenTelemetry up so that turns become files; not needed where `opentelemetry-instrument` sets it up."""
    provider = TracerProvider()
    provider.add_span_processor(otel_convlog.ConversationSpanProcessor(directory=directory, writer="process"))
    trace.set_tracer_provider(provider)
    return provider


def create_app(options: ProxyOptions) -> Starlette:
    """Make the proxy."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        provider = start_tracing(options.directory)
        limits = httpx.Limits(max_connections=None)  # a stream holds its connection; the next client must not wait
        under_way: set[asyncio.Task[object]] = set()
        async with httpx.AsyncClient(timeout=options.timeout_s, limits=limits) as client:
            yield {"client": client, "options": options, "under_way": under_way}
            if under_way:  # uvicorn cancels what takes too long at shutdown, but does not wait for it to end
                await asyncio.wait(under_way, timeout=SHUTDOWN_TIMEOUT_S)
        provider.shutdown()  # writes what the batch processor still holds

    return Starlette(routes=[routing.Route(path, relay, methods=["POST"]) for path in ROUTES], lifespan=lifespan)


async def relay(request: Request) -> Response:
    """Pass one request on and its answer back, and record the two as a turn."""
    route, options, client = ROUTES[request.url.path], request.state.options, request.state.client
    if task := asyncio.current_task():
        request.state.under_way.add(task)
        task.add_done_callback(request.state.under_way.discard)

    body = await request.body()
    try:
        client_request = parse_request(body)
    except ValueError as error:  # nothing that could be a conversation
        return JSONResponse(error_body(route, "invalid_request_error", str(error)), 400)

    upstream_request, upstream_body = rewrite_model(client_request, body, options.models)
    url = httpx.URL(options.upstream + request.url.path, query=request.url.query.encode() or None)
    headers = headers_upstream(request.headers.items())
    outgoing = client.build_request("POST", url, content=upstream_body, headers=headers)

    turn = otel_convlog.start_turn(
        route=route.name,
        client_model=str(client_request.get("model", "")),
        backend=route.backend,
        stream=bool(client_request.get("stream")),
        client_request=client_request,
        request_headers=dict(request.headers),
        target_url=str(outgoing.url),
        upstream_model=str(upstream_request.get("model", "")),
    )
    otel_convlog.attach_upstream_request(turn, upstream_request, dict(outgoing.headers))

    try:
        upstream = await client.send(outgoing, stream=True)
        if upstream.headers.get("content-type", "").startswith("text/event-stream"):
            return RecordedStream(upstream, route, turn)
        return await _whole_answer(upstream, turn)
    except httpx.HTTPError as error:
        return _no_answer(error, route, turn)
    except BaseException as error:  # a mistake of this proxy's, or its shutdown
        otel_convlog.attach_error(turn, {"type": type(error).__name__, "message": str(error)})
        otel_convlog.finalize_turn(turn)
        raise


async def _whole_answer(upstream: httpx.Response, turn: otel_convlog.Turn | None) -> Response:
    try:
        await upstream.aread()
    finally:
        await upstream.aclose()
    answer = parse_answer(upstream.text)
    otel_convlog.attach_upstream_response(turn, answer)
    otel_convlog.attach_client_response(turn, answer)
    if upstream.is_error:
        error = {"type": "upstream_status", "status_code": upstream.status_code, "body": answer}
        otel_convlog.attach_error(turn, error)
    otel_convlog.finalize_turn(turn, usage=usage_of(answer))
    return Response(upstream.content, upstream.status_code, headers_through(upstream.headers.items()))


def _no_answer(error: httpx.HTTPError, route: Route, turn: otel_convlog.Turn | None) -> Response:
    kind, message = explain(error)
    answer = error_body(route, kind, message)
    otel_convlog.attach_error(turn, {"type": kind, "stage": "request", "message": message})
    otel_convlog.attach_client_response(turn, answer)
    otel_convlog.finalize_turn(turn)
    return JSONResponse(answer, 504 if kind == "upstream_timeout" else 502)


class RecordedStream(StreamingResponse):
    """An upstream's stream on its way to the client, and the end of its turn, however that comes.

    The turn ends in `__call__`, not in the generator: one that nobody reads to its end, or at all where the client has
    hung up early, is closed when it is collected, if ever.
    """

    def __init__(self, upstream: httpx.Response, route: Route, turn: otel_convlog.Turn | None) -> None:
        self._upstream = upstream
        self._turn = turn
        self._reader = StreamReader(route)
        self._error: object = HUNG_UP
        super().__init__(self._pass_on(), upstream.status_code, headers_through(upstream.headers.items()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; whatever happens then, the turn ends here."""
        try:
            await super().__call__(scope, receive, send)
        except ClientDisconnect:
            raise
        except BaseException as error:  # a mistake of this proxy's, or its shutdown
            self._error = {"type": type(error).__name__, "message": str(error)}
            raise
        finally:
            if self._error is HUNG_UP:  # unless it had all of the answer, and did not wait for the connection's end
                self._error = self._reader.ending_error() and HUNG_UP
            if self._error is not None:
                otel_convlog.attach_error(self._turn, self._error)
            otel_convlog.set_stream_summary(self._turn, self._reader.summary())
            otel_convlog.finalize_turn(self._turn, usage=self._reader.usage)
            await self._upstream.aclose()

    async def _pass_on(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._upstream.aiter_bytes():
                events = self._reader.feed(piece)
                for event in events:
                    otel_convlog.append_upstream_event(self._turn, event)
                yield piece
                for event in events:
                    otel_convlog.append_client_event(self._turn, event)
            self._error = self._reader.ending_error()
        except httpx.HTTPError as error:
            kind, message = explain(error)
            self._error = {"type": kind, "stage": "stream", "message": message}
            event, piece = self._reader.failure(kind, message)
            yield piece
            otel_convlog.append_client_event(self._turn, event)


def explain(error: httpx.HTTPError) -> tuple[str, str]:
    """What kind of error it is, and the error in a line (some of httpx's have no text of their own)."""
    kind = "upstream_timeout" if isinstance(error, httpx.TimeoutException) else "upstream_error"
    return kind, f"{type(error).__name__}: {error}".removesuffix(": ")


if __name__ == "__main__":
    options = ProxyOptions.from_command_line("A proxy that logs its conversations.")
    serve(create_app(options), options.port)
