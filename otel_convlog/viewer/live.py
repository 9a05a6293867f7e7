"""Turns as they are written, told to the pages that are open: one look at the catalog for all of them."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse
from starlette.routing import Route

from otel_convlog.reading.recent import Follower
from otel_convlog.viewer import links

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

_LOOK_S = 0.5
_HEARTBEAT_S = 15.0  # what stands between a browser and us may close a connection on which nothing passes
_MOST_WAITING = 200  # turns that wait for a page; one that is slower looks anew
_RETRY_MS = 2000  # after which a browser connects again
_LOOK_ANEW = "event: anew\ndata: {}\n\n"


class Live:
    """Tells open pages which turns are new.

    Args:
        directory: The log's directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pages: set[asyncio.Queue[str | None]] = set()
        self._follower: asyncio.Task[None] | None = None
        self._ended = False

    def end(self) -> None:
        """Let all pages go, and take no more: the server stops."""
        self._ended = True
        for page in self._pages:
            _put(page, None)

    async def messages(self) -> AsyncIterator[str]:
        """Yield what one page is to be told, as server-sent events, until the server stops."""
        waiting: asyncio.Queue[str | None] = asyncio.Queue(_MOST_WAITING)
        async with self._open(waiting):
            yield f"retry: {_RETRY_MS}\n\n"
            while not self._ended:
                message: str | None = ":\n\n"
                with suppress(asyncio.TimeoutError):
                    message = await asyncio.wait_for(waiting.get(), _HEARTBEAT_S)
                if message is None:
                    return
                yield message

    @asynccontextmanager
    async def _open(self, page: asyncio.Queue[str | None]) -> AsyncIterator[None]:
        self._pages.add(page)
        if self._follower is None:
            self._follower = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            self._pages.discard(page)

    async def _follow(self) -> None:
        """Look for new turns while any page wants to know."""
        follower = Follower(self._directory)
        try:
            await asyncio.to_thread(follower.last, 0)
            while self._pages and not self._ended:
                for turn in await asyncio.to_thread(follower.new):
                    told = json.dumps({"conversation": turn.conversation_id, "row": links.row(turn.conversation_id)})
                    for page in self._pages:
                        _put(page, f"event: turn\ndata: {told}\n\n")
                await asyncio.sleep(_LOOK_S)
        finally:
            self._follower = None  # at once: a page that opens while this one closes needs another
            await asyncio.to_thread(follower.close)


def _put(page: asyncio.Queue[str | None], message: str | None) -> None:
    if page.full():
        while not page.empty():
            page.get_nowait()
        page.put_nowait(_LOOK_ANEW)
    if message is None or not page.full():
        page.put_nowait(message)


async def _live(request: Request) -> Response:
    return StreamingResponse(request.app.state.live.messages(), media_type="text/event-stream")


routes = [Route("/live", _live)]
