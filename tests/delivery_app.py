"""Servers that record one turn a request; ``DIRECTORY`` and ``PROCESSOR`` come as environment variables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from delivery_process import record, set_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

set_up(os.environ["DIRECTORY"], os.environ["PROCESSOR"])


def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    record(int(environ["PATH_INFO"].strip("/") or 0), 1)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


async def asgi(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[dict[str, Any]], Any]) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    record(int(scope["path"].strip("/") or 0), 1)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
