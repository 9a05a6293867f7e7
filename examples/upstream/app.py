"""A stand-in for a paid model API: OpenAI chat and responses, Anthropic messages, plain and streamed, offline.

It answers the same request with the same bytes. It calls the first tool on offer when the last user message asks for
the weather, and uses the tool's result once that is in the history. What goes wrong is chosen by the model's name:

==================  ==============================================================================
``error-<status>``  the protocol's error answer with that status, e.g. ``error-429``
``html-502``        a gateway's error page, which is no JSON
``slow``            a pause before each event (before a plain answer: one)
``stall``           half the events (plain: nothing), then silence for as long as the client stays
``endless``         half the events, then the last of them again and again (plain: a usual answer)
``cut``             half the bytes, then the connection is closed
``stream-error``    half the events, then the protocol's own error event (plain: status 500)
==================  ==============================================================================

Run it: ``python examples/upstream/app.py --port 8001``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.asgi import serve
from examples.serving import add_port
from examples.upstream import chat, messages, responses
from examples.upstream.model import Dialect, Json

DIALECTS: dict[str, Dialect] = {
    "/v1/chat/completions": chat,
    "/v1/responses": responses,
    "/v1/messages": messages,
}

SLOW_PAUSE_S = 0.1
ENDLESS_PAUSE_S = 0.01


async def answer(request: Request) -> Response:
    """Answer a request of any of the protocols, or fail as its model's name demands."""
    dialect = DIALECTS[request.url.path]
    if not ({"authorization", "x-api-key"} & set(request.headers)):
        return JSONResponse(dialect.error(401, "no API key was given"), 401)
    try:
        body = json.loads(await request.body())
        model = str(body["model"])
    except (ValueError, TypeError, KeyError) as error:
        return JSONResponse(dialect.error(400, f"no model in the request's body: {error!r}"), 400)
    if failure := re.fullmatch(r"error-([45]\d\d)", model):
        status = int(failure[1])
        headers = {"retry-after": "7"} if status == 429 else None
        return JSONResponse(dialect.error(status, f"the model {model} always fails"), status, headers)
    if model == "html-502":
        return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", 502)
    if body.get("stream"):
        return StreamingResponse(_stream(dialect, body, model), media_type="text/event-stream")
    return await _plain(request, dialect, body, model)


async def _plain(request: Request, dialect: Dialect, body: Json, model: str) -> Response:
    if model == "slow":
        await anyio.sleep(SLOW_PAUSE_S)
    elif model == "stall":
        await request.receive()  # the body is read, so what comes next is the client's departure
    elif model == "stream-error":
        return JSONResponse(dialect.error(500, "the model broke down"), 500)
    response = JSONResponse(dialect.answer(body))
    if model == "cut":
        response.body = response.body[: len(response.body) // 2]  # less than its content-length: the server hangs up
    return response


async def _stream(dialect: Dialect, body: Json, model: str) -> AsyncIterator[bytes]:
    events = list(dialect.stream(body))
    if model in {"stall", "endless", "cut", "stream-error"}:
        events = events[: len(events) // 2]
    for event in events:
        if model == "slow":
            await anyio.sleep(SLOW_PAUSE_S)
        yield event
    if model == "stall":
        await anyio.sleep_forever()
    elif model == "endless":
        while True:
            await anyio.sleep(ENDLESS_PAUSE_S)
            yield events[-1]
    elif model == "cut":
        yield events[-1][: len(events[-1]) // 2]
        raise ConnectionAbortedError("cut, as the model's name demands")
    elif model == "stream-error":
        yield dialect.stream_error("the model broke down")


app = Starlette(routes=[Route(path, answer, methods=["POST"]) for path in DIALECTS])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A deterministic offline stand-in for a paid model API.")
    add_port(parser)
    serve(app, parser.parse_args().port, log_level="critical")  # a broken connection is its job and no news
