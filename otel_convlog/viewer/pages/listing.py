"""The list of conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from otel_convlog.reading.conversations import find_conversations
from otel_convlog.viewer.templates import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_MOST = 50


def _list(request: Request) -> Response:
    found = find_conversations(request.app.state.directory, limit=_MOST)
    return page(request, "list.html", conversations=found)


routes = [Route("/", _list)]
