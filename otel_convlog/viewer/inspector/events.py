"""The tab Events: a picture of the stream as it came and went, and its events one by one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from statistics import median
from typing import TYPE_CHECKING

from markupsafe import Markup

from otel_convlog.jsontext import to_indented_json
from otel_convlog.reading.harmless import harmless
from otel_convlog.reading.timing import STALL_MS, TimedEvent, timeline
from otel_convlog.viewer.markdown import code_html
from otel_convlog.viewer.plots import round_steps
from otel_convlog.viewer.query import whole_number
from otel_convlog.viewer.templates import render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otel_convlog.jsontext import Json
    from otel_convlog.viewer.chosen import ChosenTurn

PAGE = 200  # events that are listed together
_LANES = ("upstream", "client")
_LEFT, _WIDTH = 70, 900  # of the picture, in its own units, which are about pixels
_COLUMNS = 300  # of the picture in which events may stand; more in one are one mark
_TEXT_TOP, _TEXT_HEIGHT = 16, 70
_LANE_TOP, _LANE_HEIGHT = 96, 26
_LONGEST_EVENT = 50_000  # characters of an event's JSON


@dataclass(frozen=True)
class Mark:
    """Events of one lane that came at about the same time.

    Attributes:
        x: Where it stands; likewise `y`, `width` and `height`.
        side: Its lane.
        number: Of its first event, within its side.
        title: What it says when it is pointed at.
    """

    x: float
    y: float
    width: float
    height: float
    side: str
    number: int
    title: str


@dataclass(frozen=True)
class Span:
    """A stretch of time in which nothing came."""

    x: float
    width: float
    y: float
    title: str


@dataclass(frozen=True)
class Picture:
    """The stream, drawn.

    Attributes:
        ticks: Of the time axis: where, and what stands there.
        text: A line of how much had been said, as the points of an SVG polyline; empty where nothing was.
        first: Where the first token came; None where that is not known. Likewise `end`, of the turn.
    """

    marks: list[Mark]
    stalls: list[Span]
    ticks: list[tuple[float, str]]
    text: str
    characters: int
    first: float | None
    end: float


def panel(chosen: ChosenTurn, query: Mapping[str, str]) -> str:
    """Return the tab's HTML; ``from`` is the position of the first listed event."""
    turn = chosen.read()
    events = timeline(turn)
    timed = [event for event in events if event.offset_ms is not None]
    start = whole_number(query, "from") or 0
    return render(
        "inspector/events.html",
        conversation_id=chosen.conversation.conversation_id,
        place=chosen.place,
        picture=_picture(timed, chosen) if timed else None,
        facts=_facts(turn, events, chosen),
        lanes=_lanes(events),
        **_listed(events, start),
    )


def rows(chosen: ChosenTurn, query: Mapping[str, str]) -> str:
    """Return the HTML of some listed events."""
    events = timeline(chosen.read())
    return render(
        "inspector/event_rows.html",
        conversation_id=chosen.conversation.conversation_id,
        place=chosen.place,
        **_listed(events, whole_number(query, "from") or 0),
    )


def one(chosen: ChosenTurn, query: Mapping[str, str]) -> Markup | None:
    """Return the HTML of one event; None where there is none."""
    number = whole_number(query, "number")
    for event in timeline(chosen.read()):
        if event.side == query.get("side") and event.number == number:
            text = to_indented_json(event.value).decode("utf-8", "replace")
            if len(text) > _LONGEST_EVENT:
                text = f"{text[:_LONGEST_EVENT]}\n… {len(text) - _LONGEST_EVENT:,} more characters: see Raw"
                return Markup('<pre class="plain">{}</pre>').format(harmless(text))
            return Markup('<pre class="code"><code>{}</code></pre>').format(code_html(text, "json"))
    return None


def _listed(events: Sequence[TimedEvent], start: int) -> dict[str, object]:
    return {"events": events[start : start + PAGE], "start": start, "count": len(events), "page": PAGE}


def _lanes(events: Sequence[TimedEvent]) -> list[tuple[str, int]]:
    return [(side, sum(event.side == side for event in events)) for side in _LANES]


def _facts(turn: dict[str, Json], events: Sequence[TimedEvent], chosen: ChosenTurn) -> list[tuple[str, str, str]]:
    """Return what can be said of a stream: a name, a value, and what kind of news it is."""
    place = chosen.place
    facts = [("duration", _ms(place.duration_ms), "")]
    if place.first_token_ms is not None:
        facts.append(("first token", _ms(place.first_token_ms), ""))
    streaming_ms = place.duration_ms - (place.first_token_ms or 0.0)
    if place.output_tokens and place.first_token_ms is not None and streaming_ms > 0:
        facts.append(("tokens a second", f"{place.output_tokens / streaming_ms * 1000:.1f}", ""))
    if lags := _lags(events):
        facts.append(("from upstream to client", f"{median(lags):.1f} ms, at most {max(lags):.1f} ms", ""))
    stalls = [event.gap_ms or 0.0 for event in events if event.stalled]
    if stalls:
        facts.append(("stalls", f"{len(stalls)} over {_ms(STALL_MS)}, the longest {_ms(max(stalls))}", "warn"))
    otel = turn.get("otel")
    for side in _LANES:
        left_out = otel.get(f"{side}_events_left_out") if isinstance(otel, dict) else None
        if left_out:
            facts.append((f"{side} events left out", str(left_out), "warn"))
    if turn.get("error") is not None:
        facts.append(("ended by", _error_word(turn["error"]), "bad"))
    return facts


def _error_word(error: Json) -> str:
    if isinstance(error, dict):
        for name in ("type", "message", "reason"):
            if isinstance(word := error.get(name), str) and word:
                return harmless(word[:120])
    return harmless(error[:120]) if isinstance(error, str) else "an error"


def _lags(events: Sequence[TimedEvent]) -> list[float]:
    """Return how long after an upstream event the client's of the same number went, where there are as many of both."""
    sides = [[event.offset_ms for event in events if event.side == side] for side in _LANES]
    if len(sides[0]) != len(sides[1]):
        return []
    return [b - a for a, b in zip(*sides, strict=True) if a is not None and b is not None]


def _picture(events: Sequence[TimedEvent], chosen: ChosenTurn) -> Picture:
    whole_ms = max([chosen.place.duration_ms, *(event.offset_ms or 0.0 for event in events)]) or 1.0

    def x(offset_ms: float) -> float:
        return round(_LEFT + max(0.0, offset_ms) / whole_ms * _WIDTH, 1)

    first = chosen.place.first_token_ms
    text, characters = _text_line(events, x)
    return Picture(
        marks=_marks(events, whole_ms),
        stalls=[_stall(event, x) for event in events if event.stalled],
        ticks=[(x(offset), _ms(offset)) for offset in round_steps(whole_ms)],
        text=text,
        characters=characters,
        first=None if first is None else x(first),
        end=x(chosen.place.duration_ms or whole_ms),
    )


def _stall(event: TimedEvent, x: Callable[[float], float]) -> Span:
    offset, gap = event.offset_ms or 0.0, event.gap_ms or 0.0
    start = x(offset - gap)
    where = "from upstream" if event.side == "upstream" else "to the client"
    return Span(start, round(x(offset) - start, 1), _lane_y(event.side), f"nothing {where} for {_ms(gap)}")


def _marks(events: Sequence[TimedEvent], whole_ms: float) -> list[Mark]:
    columns: dict[tuple[str, int], list[TimedEvent]] = {}
    for event in events:
        column = min(_COLUMNS - 1, int(max(0.0, event.offset_ms or 0.0) / whole_ms * _COLUMNS))
        columns.setdefault((event.side, column), []).append(event)
    most = max(map(len, columns.values()))
    width = _WIDTH / _COLUMNS
    marks: list[Mark] = []
    for (side, column), some in columns.items():
        # A single event is well seen beside many: from a third of the lane's height on.
        height = round(_LANE_HEIGHT * (1 + 2 * (len(some) - 1) / max(1, most - 1)) / 3, 1) if most > 1 else _LANE_HEIGHT
        said = harmless("".join(event.text for event in some)[:80])
        what = f"event {some[0].number}" if len(some) == 1 else f"events {some[0].number} to {some[-1].number}"
        marks.append(
            Mark(
                round(_LEFT + column * width, 1),
                round(_lane_y(side) + _LANE_HEIGHT - height, 1),
                round(width * 0.8, 1),
                height,
                side,
                some[0].number,
                f"{side} {what}, {_ms(some[0].offset_ms or 0.0)}: {said}",
            )
        )
    return marks


def _lane_y(side: str) -> float:
    return _LANE_TOP + _LANES.index(side) * (_LANE_HEIGHT + 12)


def _text_line(events: Sequence[TimedEvent], x: Callable[[float], float]) -> tuple[str, int]:
    """Return a line of how much the events had said at each moment, and how much it was in the end."""
    for side in _LANES:
        some = [event for event in events if event.side == side]
        sums = list(accumulate(len(event.text) for event in some))
        if not sums or not sums[-1]:
            continue
        step = max(1, len(some) // _COLUMNS)
        kept = [*range(0, len(some), step), len(some) - 1]
        points = [(_LEFT, 0)] + [(x(some[index].offset_ms or 0.0), sums[index]) for index in kept]
        bottom = _TEXT_TOP + _TEXT_HEIGHT
        return " ".join(f"{at},{bottom - said / sums[-1] * _TEXT_HEIGHT:.1f}" for at, said in points), sums[-1]
    return "", 0


def _ms(duration_ms: float) -> str:
    if duration_ms < 10:
        return f"{duration_ms:.3g} ms"
    return f"{duration_ms:.0f} ms" if duration_ms < 1000 else f"{duration_ms / 1000:.3g} s"
