"""When the events of a streamed turn came, what each of them said, and where the stream stood still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.jsontext import to_json
from otel_convlog.streams.texts import chunks_of
from otel_convlog.streams.values import items_of

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json
    from otel_convlog.streams.values import Object

STALL_MS = 1000.0
_TEXTS = ("content", "text", "thinking", "partial_json", "reasoning_content", "reasoning", "refusal")


@dataclass(frozen=True)
class TimedEvent:
    """An event of a stream.

    Attributes:
        side: ``upstream`` or ``client``.
        number: Within its side, from 1 on.
        offset_ms: After the turn's start; None where that is not known.
        gap_ms: After the event before it on its side; after the turn's start for the first.
        stalled: Whether that is longer than a stream may stand still.
        kind: The event's type, as its protocol names it.
        text: What it says.
        value: The event as it was recorded.
    """

    side: str
    number: int
    offset_ms: float | None
    gap_ms: float | None
    stalled: bool
    kind: str
    text: str
    value: Json


def timeline(turn: dict[str, Json], *, stall_ms: float = STALL_MS) -> list[TimedEvent]:
    """Return the events of both sides in the order in which they came.

    Args:
        turn: The turn's JSON.
        stall_ms: How long a stream may stand still.
    """
    trace, otel = turn.get("stream_trace"), turn.get("otel")
    events: list[TimedEvent] = []
    for side in ("upstream", "client"):
        recorded = trace.get(f"{side}_events") if isinstance(trace, dict) else None
        offsets = otel.get(f"{side}_offsets_ms") if isinstance(otel, dict) else None
        events += _of_side(
            side, recorded if isinstance(recorded, list) else [], offsets if isinstance(offsets, list) else [], stall_ms
        )
    if any(event.offset_ms is None for event in events):
        return events
    return sorted(events, key=lambda event: event.offset_ms or 0.0)


def _of_side(side: str, events: list[Json], offsets: list[Json], stall_ms: float) -> list[TimedEvent]:
    found: list[TimedEvent] = []
    before = 0.0
    for number, value in enumerate(events, 1):
        offset = offsets[number - 1] if number <= len(offsets) else None
        offset_ms = float(offset) if isinstance(offset, (int, float)) else None
        gap_ms = None if offset_ms is None else offset_ms - before
        before = before if offset_ms is None else offset_ms
        kind, text = _said(value)
        found.append(
            TimedEvent(side, number, offset_ms, gap_ms, gap_ms is not None and gap_ms > stall_ms, kind, text, value)
        )
    return found


def _said(event: Json) -> tuple[str, str]:
    chunks = list(chunks_of([event]))
    if not chunks:
        return "", event if isinstance(event, str) else to_json(event).decode()
    kinds = [kind for chunk in chunks if isinstance(kind := chunk.get("type") or chunk.get("object"), str)]
    return ", ".join(dict.fromkeys(kinds)), "".join(map(_text_of, chunks))


def _text_of(chunk: Object) -> str:
    delta = chunk.get("delta")
    if isinstance(delta, str):
        return delta
    said = _first_text(delta)
    for choice in items_of(chunk.get("choices")):
        said += _first_text(choice.get("delta"))
    for candidate in items_of(chunk.get("candidates")):
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        said += "".join(map(_first_text, items_of(parts)))
    return said


def _first_text(delta: Json) -> str:
    if not isinstance(delta, dict):
        return ""
    for name in _TEXTS:
        if isinstance(text := delta.get(name), str) and text:
            return text
    for call in items_of(delta.get("tool_calls")):
        function = call.get("function")
        if isinstance(function, dict):
            return "".join(text for name in ("name", "arguments") if isinstance(text := function.get(name), str))
    return ""
