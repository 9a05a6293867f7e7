"""The proxy of `app.py` in the other style: it records no turn itself, the middleware and the hook see what passes.

Three lines know of the log, in `create_app`. `opentelemetry-instrument` can do without them: docs/capture.md.

Run it::

    python examples/proxy/captured.py --upstream http://127.0.0.1:8001 --port 8000 --directory data/conversations
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette import routing
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.asgi import serve
from examples.proxy.app import start_tracing
from examples.serving import ProxyOptions
from examples.wire import ROUTES, error_body, headers_through, headers_upstream, parse_request, rewrite_model
from otel_convlog.capture import ConvlogMiddleware, instrument_httpx


def create_app(options: ProxyOptions, *, capture: bool = True) -> Starlette:
    """Make the proxy, with or without the log."""
    if capture:
        instrument_httpx()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        provider = start_tracing(options.directory) if capture else None
        limits = httpx.Limits(max_connections=None)  # a stream holds its connection; the next client must not wait
        async with httpx.AsyncClient(timeout=options.timeout_s, limits=limits) as client:
            yield {"client": client, "options": options}
        if provider is not None:
            provider.shutdown()

    return Starlette(
        routes=[routing.Route(path, relay, methods=["POST"]) for path in ROUTES],
        lifespan=lifespan,
        middleware=[Middleware(ConvlogMiddleware)] if capture else [],
    )


async def relay(request: Request) -> Response:
    """Pass one request on and its answer back."""
    route, options, client = ROUTES[request.url.path], request.state.options, request.state.client
    body = await request.body()
    try:
        _, upstream_body = rewrite_model(parse_request(body), body, options.models)
    except ValueError as error:
        return JSONResponse(error_body(route, "invalid_request_error", str(error)), 400)
    url = httpx.URL(options.upstream + request.url.path, query=request.url.query.encode() or None)
    headers = headers_upstream(request.headers.items())
    try:
        outgoing = client.build_request("POST", url, content=upstream_body, headers=headers)
        upstream = await client.send(outgoing, stream=True)
    except httpx.HTTPError as error:
        status = 504 if isinstance(error, httpx.TimeoutException) else 502
        return JSONResponse(error_body(route, "upstream_error", f"{type(error).__name__}: {error}"), status)
    return StreamingResponse(
        upstream.aiter_bytes(),
        upstream.status_code,
        headers_through(upstream.headers.items()),
        background=BackgroundTask(upstream.aclose),
    )


if __name__ == "__main__":
    options = ProxyOptions.from_command_line("A proxy whose conversations are logged.")
    serve(create_app(options), options.port)
