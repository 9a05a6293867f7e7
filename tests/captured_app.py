"""A proxy that knows nothing of turns: ``captured_app:app`` with the middleware, ``captured_app:bare`` without."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from otel_convlog import ConversationSpanProcessor
from otel_convlog.capture import ConvlogMiddleware, instrument_httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

_PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/models/{rest:path}")


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
    provider = TracerProvider()
    provider.add_span_processor(ConversationSpanProcessor(directory=os.environ["DIRECTORY"]))
    trace.set_tracer_provider(provider)
    async with httpx.AsyncClient(base_url=os.environ["UPSTREAM"], timeout=20) as client:
        yield {"client": client}
    provider.shutdown()


async def relay(request: Request) -> Response:
    client: httpx.AsyncClient = request.state.client
    headers = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
    body = await request.body()
    for host in filter(None, os.environ.get("FIRST", "").split(",")):  # tried before, in vain
        try:
            await client.post(host + request.url.path, content=body, headers=headers)
        except httpx.HTTPError:
            continue
    upstream = await client.send(
        client.build_request("POST", request.url.path, content=body, headers=headers), stream=True
    )
    kept = {name: value for name, value in upstream.headers.items() if name in ("content-type", "content-encoding")}
    return StreamingResponse(upstream.aiter_raw(), upstream.status_code, kept)


_routes = [Route(path, relay, methods=["POST"]) for path in _PATHS]
bare = Starlette(routes=_routes, lifespan=lifespan)
if os.environ.get("UPSTREAM"):
    instrument_httpx()
app = Starlette(routes=_routes, lifespan=lifespan, middleware=[Middleware(ConvlogMiddleware)])
