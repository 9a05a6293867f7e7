"""The page's application: one directory's log, read afresh for every request."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, nullcontext
from importlib.resources import files
from typing import TYPE_CHECKING

from anyio.to_thread import current_default_thread_limiter
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from otel_convlog.reading.conversations import UnknownConversationError
from otel_convlog.viewer import inspector, live
from otel_convlog.viewer.chosen import UnknownTurnError
from otel_convlog.viewer.guard import Guard
from otel_convlog.viewer.inspector.raw import NoSuchPlaceError
from otel_convlog.viewer.pages import conversation, exporting, forgetting, listing, overview
from otel_convlog.viewer.templates import page, static
from otel_convlog.viewer.texts import Texts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from contextlib import AbstractContextManager
    from pathlib import Path

    from starlette.requests import Request

_logger = logging.getLogger(__name__)

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_FOR_EVER = "private, max-age=31536000, immutable"  # the address has a digest of what is there
# Requests that read files at the same time: each may hold a turn of many megabytes in memory.
_THREADS = 4


def create_app(
    directory: Path,
    *,
    hosts: Collection[str],
    token: str,
    changing: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Starlette:
    """Make the application.

    Args:
        directory: The log's directory, its catalog up to date.
        hosts: The exact values of ``Host`` under which it is reached, such as ``127.0.0.1:8666``.
        token: What the start-up URL has.
        changing: Entered where a page changes the log; at its end the change is to be where it counts.
    """
    app = Starlette(
        routes=[
            *listing.routes,
            *live.routes,
            *inspector.routes,
            *conversation.routes,
            *exporting.routes,
            *forgetting.routes,
            *overview.routes,
            Route("/static/{digest}/{name}", _static),
        ],
        middleware=[Middleware(Guard, hosts=hosts, token=token)],
        exception_handlers={
            404: _not_found,
            UnknownConversationError: _not_found,
            UnknownTurnError: _not_found,
            NoSuchPlaceError: _not_found,
            FileNotFoundError: _not_found,  # what was there when it was looked up has been removed since
            OSError: _unreadable,
            ValueError: _unreadable,  # it stands no more where it did, or is no JSON
        },
        lifespan=_lifespan,
    )
    app.state.directory = directory
    app.state.changing = changing
    app.state.live = live.Live(directory)
    app.state.texts = Texts(directory)
    return app


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = _THREADS
    yield


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    kind = _TYPES.get(name.rpartition(".")[2])
    folder = files("otel_convlog.viewer") / "static"
    if kind is None or name not in (file.name for file in folder.iterdir()):
        return PlainTextResponse("There is no such file.", 404)
    # An address of another release is answered too: the browser may have come from a page that it made.
    caching = _FOR_EVER if request.url.path == static(name) else "no-store"
    return Response((folder / name).read_bytes(), media_type=kind, headers={"cache-control": caching})


def _not_found(request: Request, _: Exception) -> Response:
    return page(request, "not_found.html", 404)


def _unreadable(request: Request, error: Exception) -> Response:
    _logger.warning("%s cannot be shown", request.url.path, exc_info=error)
    return page(request, "unreadable.html", 500, error=str(error))
