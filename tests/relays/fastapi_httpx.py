"""FastAPI, with httpx."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from relays.common import PATHS, UPSTREAM, headers_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=UPSTREAM, timeout=20) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


async def relay(request: Request) -> Response:
    body = await request.json()
    if not isinstance(body, dict):
        return JSONResponse({"error": {"message": "no object"}}, 400)
    client: httpx.AsyncClient = request.state.client
    headers = headers_upstream(request.headers.items())
    if not body.get("stream"):
        answer = await client.post(request.url.path, json=body, headers=headers)
        return Response(answer.content, answer.status_code, media_type=answer.headers["content-type"])
    outgoing = client.build_request("POST", request.url.path, json=body, headers=headers)
    upstream = await client.send(outgoing, stream=True)
    return StreamingResponse(upstream.aiter_bytes(), upstream.status_code, media_type=upstream.headers["content-type"])


for path in PATHS:
    app.post(path)(relay)
