"""What the tabs show of one turn: a module each, and its HTML in ``templates/inspector/``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from otel_convlog.jsontext import to_indented_json
from otel_convlog.reading.legs import curl_of
from otel_convlog.viewer.chosen import choose
from otel_convlog.viewer.inspector import diff, events, raw, wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from otel_convlog.viewer.chosen import ChosenTurn

_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"


def panel(tab: str, chosen: ChosenTurn, query: Mapping[str, str]) -> Markup:
    """Return what a tab shows of a turn.

    Args:
        tab: ``wire``, ``events``, ``diff`` or ``raw``.
        chosen: The turn.
        query: What of it, as the tab's module says.

    Raises:
        LookupError: There is no such thing in the turn.
    """
    if tab == "wire":
        text = wire.panel(chosen)
    else:
        text = {"events": events.panel, "diff": diff.panel, "raw": raw.panel}[tab](chosen, query)
    return Markup(text)  # noqa: S704  a template's, in which all values are escaped


def _event_rows(request: Request) -> Response:
    return HTMLResponse(events.rows(_chosen(request), request.query_params))


def _event(request: Request) -> Response:
    html = events.one(_chosen(request), request.query_params)
    if html is None:
        raise HTTPException(404)
    return HTMLResponse(html)


def _nodes(request: Request) -> Response:
    return HTMLResponse(raw.children(_chosen(request), request.query_params))


def _value(request: Request) -> Response:
    """Answer the JSON of the turn, or of what is at a place in it."""
    chosen = _chosen(request)
    headers = {"content-disposition": f'attachment; filename="turn-{chosen.place.number}.json"'}
    data = raw.value_text(chosen.read(), request.query_params.get("at", ""))
    return Response(data, media_type=_JSON, headers=headers)


def _leg(request: Request) -> Response:
    try:
        leg = wire.leg_json(_chosen(request).read(), request.path_params["leg"])
    except KeyError:
        raise HTTPException(404) from None
    return Response(to_indented_json(leg), media_type=_JSON)


def _curl(request: Request) -> Response:
    side = request.path_params["side"]
    turn = _chosen(request).read()
    command = curl_of(turn, "client" if side == "client" else "upstream")
    return Response(command.encode("utf-8", "backslashreplace"), media_type=_TEXT)


def _chosen(request: Request) -> ChosenTurn:
    return choose(request.app.state.directory, request.path_params["id"], request.path_params["turn"])


_ROOT = "/conversation/{id:id}/turn/{turn:id}"
routes = [
    Route(_ROOT + "/event-rows", _event_rows),
    Route(_ROOT + "/event", _event),
    Route(_ROOT + "/nodes", _nodes),
    Route(_ROOT + "/json", _value),
    Route(_ROOT + "/leg/{leg}", _leg),
    Route(_ROOT + "/curl/{side}", _curl),
]
