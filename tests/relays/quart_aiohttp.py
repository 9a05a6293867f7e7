"""Quart, with aiohttp."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
from quart import Quart, Response, request

from relays.common import PATHS, UPSTREAM, headers_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

app = Quart(__name__)
sessions: list[aiohttp.ClientSession] = []


@app.before_serving
async def begin() -> None:
    sessions.append(aiohttp.ClientSession(UPSTREAM))


@app.after_serving
async def end() -> None:
    await sessions.pop().close()


async def relay() -> Response:
    body = await request.get_data()
    upstream = await sessions[0].post(request.path, data=body, headers=headers_upstream(request.headers.items()))
    if upstream.content_type != "text/event-stream":
        return Response(await upstream.read(), upstream.status, content_type=upstream.headers["content-type"])

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in upstream.content.iter_any():
            yield piece

    return Response(pieces(), upstream.status, content_type=upstream.headers["content-type"])


for number, path in enumerate(PATHS):
    app.add_url_rule(path, f"relay-{number}", relay, methods=["POST"])
