"""A conversation: the rail of its turns, and what the chosen tab shows of the chosen turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route

from otel_convlog.viewer import inspector, links
from otel_convlog.viewer.chosen import choose
from otel_convlog.viewer.dialogue import history, part_text, rendered_panel, window, window_from
from otel_convlog.viewer.query import whole_number
from otel_convlog.viewer.rail import CHUNK, chunk_of, entries
from otel_convlog.viewer.templates import page, render

if TYPE_CHECKING:
    from markupsafe import Markup
    from starlette.requests import Request
    from starlette.responses import Response

    from otel_convlog.viewer.chosen import ChosenTurn


def _conversation(request: Request) -> Response:
    chosen = _chosen(request, request.query_params.get("turn", ""))
    tab = request.query_params.get("tab", "rendered")
    if tab not in links.TABS:
        tab = "rendered"
    shown = chunk_of(chosen.places, chosen.place.number)
    firsts = range(1, len(chosen.places) + 1, CHUNK)
    return page(
        request,
        "conversation.html",
        conversation=chosen.conversation,
        chosen=chosen.place,
        chosen_id=chosen.place.turn_id,
        count=len(chosen.places),
        bytes=sum(place.length for place in chosen.places),
        chunks=[chosen.places[first - 1 : first - 1 + CHUNK] for first in firsts],
        shown_from=shown.start,
        entries=entries(chosen.places, shown),
        tab=tab,
        panel=_panel(tab, chosen, request),
    )


def _panel(tab: str, chosen: ChosenTurn, request: Request) -> Markup:
    if tab == "rendered":
        return rendered_panel(chosen)
    return inspector.panel(tab, chosen, request.query_params)


def _tab(request: Request) -> Response:
    tab = request.path_params["tab"]
    chosen = _chosen(request, request.path_params["turn"])
    if tab in links.TABS:
        return HTMLResponse(_panel(tab, chosen, request))
    if tab == "history":
        return HTMLResponse(history(chosen.conversation.conversation_id, chosen.place))
    raise HTTPException(404)


def _text(request: Request) -> Response:
    """Answer the whole text of a part of a message, as it was logged."""
    chosen = _chosen(request, request.path_params["turn"])
    query = request.query_params
    message, part = whole_number(query, "message"), whole_number(query, "part")
    if message is None or part is None:
        raise HTTPException(404)
    text = part_text(chosen.places, chosen.place, query.get("of", ""), message, part)
    if text is None:
        raise HTTPException(404)
    return PlainTextResponse(text.encode("utf-8", "backslashreplace"), media_type="text/plain; charset=utf-8")


def _turns(request: Request) -> Response:
    chosen = _chosen(request)
    first, last = _range(request, len(chosen.places))
    wanted = window_from(chosen.places, first, last=last)
    return HTMLResponse(window(chosen.conversation.conversation_id, chosen.places, wanted))


def _rail(request: Request) -> Response:
    chosen = _chosen(request)
    first, last = _range(request, len(chosen.places))
    tab = request.query_params.get("tab", "")
    return HTMLResponse(
        render(
            "rail.html",
            conversation_id=chosen.conversation.conversation_id,
            entries=entries(chosen.places, range(first, min(last, first + CHUNK - 1) + 1)),
            chosen_id="",
            tab=tab if tab in links.TABS else "",
        )
    )


def _chosen(request: Request, which: str = "") -> ChosenTurn:
    return choose(request.app.state.directory, request.path_params["id"], which)


def _range(request: Request, count: int) -> tuple[int, int]:
    first, last = request.path_params["first"], min(request.path_params["last"], count)
    if not 1 <= first <= last:
        raise HTTPException(404)
    return first, last


_ROOT = "/conversation/{id:id}"
routes = [
    Route(_ROOT, _conversation),
    Route(_ROOT + "/turns/{first:int}-{last:int}", _turns),
    Route(_ROOT + "/rail/{first:int}-{last:int}", _rail),
    Route(_ROOT + "/turn/{turn:id}/text", _text),
    Route(_ROOT + "/turn/{turn:id}/{tab}", _tab),
]
