"""Forgetting a conversation: the one thing that the pages can change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.routing import Route

from otel_convlog.privacy import Target, forget, verify
from otel_convlog.reading.conversations import resolve
from otel_convlog.viewer.templates import render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def _facts(request: Request) -> Response:
    """Answer what would be removed."""
    would = forget(request.app.state.directory, _target(request), dry_run=True)
    return HTMLResponse(render("forget.html", forgotten=would, is_done=False, left=[]))


def _forget(request: Request) -> Response:
    target = _target(request)
    with request.app.state.changing():
        forgotten = forget(request.app.state.directory, target)
    left = verify(request.app.state.directory, target)
    return HTMLResponse(render("forget.html", forgotten=forgotten, is_done=True, left=left))


def _target(request: Request) -> Target:
    conversation_id: str = request.path_params["id"]
    if resolve(request.app.state.directory, conversation_id).conversation_id != conversation_id:
        raise HTTPException(404)  # the beginning of an id is enough to read, and not to remove
    return Target(conversation_id=conversation_id)


_PATH = "/conversation/{id:id}/forget"
routes = [Route(_PATH, _facts, methods=["GET"]), Route(_PATH, _forget, methods=["POST"])]
