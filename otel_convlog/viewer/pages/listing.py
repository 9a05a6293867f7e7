"""The list of conversations, by filters that stand in its address; and what a search has found."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import groupby
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from otel_convlog.reading.conversations import ORDERS, Filters, find_conversations, find_one
from otel_convlog.reading.search import search
from otel_convlog.viewer.query import whole_number
from otel_convlog.viewer.templates import page, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

    from otel_convlog.reading.conversations import ConversationSummary

_PAGE = 50
_MOST_FOUND = 100
_LONGEST_VALUE = 500  # characters of what is looked for

_NUMBERS = {"min_tokens": int, "max_tokens": int, "min_duration_ms": float, "max_duration_ms": float}
_CHOICES = {"errors": {"yes": True, "no": False}, "complete": {"yes": True, "no": False}}
_OTHER_LABELS = {
    "evidence": "grouped by",
    "min_tokens": "tokens from",
    "max_tokens": "tokens to",
    "min_duration_ms": "ms from",
    "max_duration_ms": "ms to",
}
_LABELS = {field.name: _OTHER_LABELS.get(field.name, field.name) for field in fields(Filters)}
_LONGEST_NUMBER = 15  # characters: what SQLite takes


@dataclass(frozen=True)
class Chosen:
    """What an address says is wanted.

    Attributes:
        given: The filters as they stand in the address.
        wrong: Those that cannot be read.
    """

    filters: Filters
    given: dict[str, str]
    wrong: list[str]
    order: str
    ascending: bool
    offset: int

    def address(self, **changes: object) -> str:
        """Return the list's address with something else; what is None is left out."""
        values: dict[str, object] = {**self.given}
        values |= {"sort": self.order} if self.order != "updated" else {}
        values |= {"reverse": "yes"} if self.ascending else {}
        values |= changes
        kept = {name: value for name, value in values.items() if value is not None}
        return f"/?{urlencode(kept, errors='replace')}" if kept else "/"


def read_query(query: Mapping[str, str]) -> Chosen:
    """Read the filters of an address; what cannot be read is said, and does not count."""
    given: dict[str, str] = {}
    values: dict[str, object] = {}
    wrong: list[str] = []
    for field in fields(Filters):
        text = query.get(field.name, "").strip()[:_LONGEST_VALUE]
        if not text:
            continue
        try:
            values[field.name] = _value(field.name, text)
        except (ValueError, KeyError):
            wrong.append(f"{_LABELS[field.name]}: {text}")
        else:
            given[field.name] = text
    order = query.get("sort", "updated")
    return Chosen(
        filters=Filters(**values),  # type: ignore[arg-type]  # the fields have these types
        given=given,
        wrong=wrong,
        order=order if order in ORDERS else "updated",
        ascending=query.get("reverse") == "yes",
        offset=whole_number(query, "offset") or 0,
    )


def _value(name: str, text: str) -> object:
    if name in _NUMBERS:
        if len(text) > _LONGEST_NUMBER:
            raise ValueError(text)
        return _NUMBERS[name](text)
    return _CHOICES[name][text] if name in _CHOICES else text


def _list(request: Request) -> Response:
    chosen = read_query(request.query_params)
    wanted = request.query_params.get("q", "").strip()[:_LONGEST_VALUE]
    found = find_conversations(
        request.app.state.directory,
        chosen.filters,
        order=chosen.order,
        ascending=chosen.ascending,
        limit=_PAGE + 1,
        offset=chosen.offset,
    )
    return page(
        request,
        "list.html",
        chosen=chosen,
        labels=_LABELS,
        orders=list(ORDERS),
        days=_by_day(found[:_PAGE], chosen),
        newer=max(0, chosen.offset - _PAGE) if chosen.offset else None,
        older=chosen.offset + _PAGE if len(found) > _PAGE else None,
        q=wanted,
        results=_results(request, wanted) if wanted else "",
    )


def _row(request: Request) -> Response:
    """Answer one conversation's row, where the filters let it through."""
    chosen = read_query(request.query_params)
    found = find_one(request.app.state.directory, chosen.filters, request.path_params["id"])
    if found is None:
        return Response(status_code=204)
    return HTMLResponse(render("row.html", conversation=found, is_new=True))


def _search(request: Request) -> Response:
    return HTMLResponse(_results(request, request.query_params.get("q", "").strip()[:_LONGEST_VALUE]))


def _results(request: Request, wanted: str) -> str:
    texts = request.app.state.texts
    is_whole = texts.bring_up_to_date()
    found, problem = [], ""
    try:
        found = search(request.app.state.directory, wanted, limit=_MOST_FOUND) if wanted else []
    except ValueError as error:  # nothing to look for
        problem = str(error)
    return render(
        "results.html",
        wanted=wanted,
        found=found,
        most=_MOST_FOUND,
        problem=problem or texts.error,
        is_whole=is_whole,
        done=texts.done,
        total=texts.total,
    )


def _by_day(found: Sequence[ConversationSummary], chosen: Chosen) -> list[tuple[str, list[ConversationSummary]]]:
    """Return conversations by their days; all together where they are ordered by something else than time."""
    if chosen.order not in ("updated", "created"):
        return [("", list(found))] if found else []
    return [
        (day, list(some))
        for day, some in groupby(
            found, lambda one: (one.updated_at if chosen.order == "updated" else one.created_at)[:10]
        )
    ]


routes = [Route("/", _list), Route("/search", _search), Route("/row/{id:id}", _row)]
