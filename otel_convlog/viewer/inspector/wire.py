"""The tab Wire: the four legs of a turn in two pairs, and what the proxy changed between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.jsontext import to_json
from otel_convlog.reading.legs import legs_of, request_of, url_of
from otel_convlog.reading.side_by_side import one_side, side_by_side
from otel_convlog.viewer.inspector.lines import Comparison, compared
from otel_convlog.viewer.templates import render

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json
    from otel_convlog.viewer.chosen import ChosenTurn

_MOST_ATTEMPTS = 20


@dataclass(frozen=True)
class Leg:
    """One leg.

    Attributes:
        name: As it is called.
        key: By which its JSON is fetched.
        url: Where it went; empty where that is not known, or it came from there.
        status: The answer's status, where it is known.
        size: Of its JSON in bytes; None where there is none.
        streamed: Whether it was put together from events.
        has_curl: Whether it can be sent again.
    """

    name: str
    key: str
    url: str
    status: str
    size: int | None
    streamed: bool
    has_curl: bool


@dataclass(frozen=True)
class Pair:
    """Two legs beside one another: what came to the proxy on the left, what left it on the right.

    Attributes:
        title: Between whom.
        parts: Comparisons by their names: headers, body.
        counts: How many lines were changed, added and removed.
    """

    title: str
    left: Leg
    right: Leg
    parts: list[tuple[str, Comparison]]
    counts: dict[str, int]


def panel(chosen: ChosenTurn) -> str:
    """Return the tab's HTML."""
    turn = chosen.read()
    otel = turn.get("otel")
    notes = otel if isinstance(otel, dict) else {}
    attempts = notes.get("attempts")
    return render(
        "inspector/wire.html",
        conversation_id=chosen.conversation.conversation_id,
        place=chosen.place,
        pairs=[_requests(turn), _responses(turn, notes)],
        attempts=[_attempt(attempt) for attempt in attempts[:_MOST_ATTEMPTS]] if isinstance(attempts, list) else [],
        error=None if turn.get("error") is None else compared(one_side(turn["error"], "same")),
    )


def leg_json(turn: dict[str, Json], key: str) -> Json:
    """Return a leg by its key: ``client-request``, ``upstream-response`` and so on.

    Raises:
        KeyError: There is no such leg.
    """
    return legs_of(turn)[key.replace("-", " ")]


def _requests(turn: dict[str, Json]) -> Pair:
    (headers, body), (sent_headers, sent_body) = request_of(turn, "client"), request_of(turn, "upstream")
    is_there = (turn.get("client_request") is not None or bool(headers), turn.get("upstream_request") is not None)
    return _pair(
        "client → upstream",
        (
            Leg("client request", "client-request", url_of(turn, "client"), "", _size(body), False, is_there[0]),
            Leg(
                "upstream request",
                "upstream-request",
                url_of(turn, "upstream"),
                "",
                _size(sent_body),
                False,
                is_there[1],
            ),
        ),
        [("headers", headers, sent_headers), ("body", body, sent_body)],
        is_there,
    )


def _responses(turn: dict[str, Json], notes: dict[str, Json]) -> Pair:
    legs = legs_of(turn)
    came, given = legs["upstream response"], legs["client response"]
    left, right = (
        Leg(
            f"{side} response",
            f"{side}-response",
            "",
            str(notes.get(f"{side}_status_code", "")),
            _size(value),
            value is not None and turn.get(f"{side}_response") is None,
            False,
        )
        for side, value in (("upstream", came), ("client", given))
    )
    return _pair("upstream → client", (left, right), [("body", came, given)], (came is not None, given is not None))


def _pair(title: str, legs: tuple[Leg, Leg], parts: list[tuple[str, Json, Json]], is_there: tuple[bool, bool]) -> Pair:
    shown: list[tuple[str, Comparison]] = []
    for name, left, right in parts:
        if all(is_there):
            shown.append((name, compared(side_by_side(left, right))))
        elif any(is_there):
            shown.append((name, compared(one_side(left if is_there[0] else right, "same"))))
    counts = dict.fromkeys(("changed", "added", "removed"), 0)
    for _, comparison in shown:
        for group in comparison.groups:
            for row in group.rows:
                if row.kind != "same":
                    counts[row.kind] += 1
    return Pair(title, *legs, shown, counts)


def _attempt(attempt: Json) -> dict[str, object]:
    told = attempt if isinstance(attempt, dict) else {}
    return {
        "url": str(told.get("url", "")),
        "status": str(told.get("status_code", "")),
        "failed": told.get("error") is not None,
        "lines": compared(one_side(attempt, "same")),
    }


def _size(value: Json) -> int | None:
    return None if value is None else len(to_json(value))
