"""A conversation to take away: one file with all that its pages show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse
from starlette.routing import Route

from otel_convlog.viewer.chosen import choose
from otel_convlog.viewer.export import page_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def _export(request: Request) -> Response:
    chosen = choose(request.app.state.directory, request.path_params["id"])
    name = re.sub(r"[^A-Za-z0-9._-]", "_", chosen.conversation.conversation_id)[:100].strip(".") or "conversation"
    return StreamingResponse(
        (piece.encode("utf-8", "backslashreplace") for piece in page_of(chosen.conversation, chosen.places)),
        media_type="text/html",
        headers={"content-disposition": f'attachment; filename="{name}.html"'},
    )


routes = [Route("/conversation/{id:id}/export", _export)]
