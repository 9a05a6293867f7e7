"""A turn against docs/format.md."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otel_convlog.times import TIME_PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_convlog.jsontext import Json

KEYS = (
    *("conversation_id", "turn_id", "route", "client_model", "backend", "stream", "target_url", "upstream_model"),
    *("started_at", "updated_at", "request_headers", "client_request", "metadata", "upstream_request"),
    *("upstream_response", "client_response", "stream_trace", "error", "duration_ms"),
)
OPTIONAL_KEYS = ("usage", "otel")
TURN_ID = re.compile(r"turn_[0-9a-f]{24}")
_SIDES = ("upstream", "client")


def turn_problems(turn: dict[str, Json], conversation_id: Json, day: str) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a turn: the kind of it, and what exactly.

    Args:
        turn: Its JSON.
        conversation_id: Its document's.
        day: Its folder's.
    """
    wanted = (*KEYS, *(key for key in OPTIONAL_KEYS if key in turn))
    if tuple(turn) != wanted:
        lacking, more = [key for key in KEYS if key not in turn], [key for key in turn if key not in wanted]
        what = f"lacks {', '.join(lacking)}" if lacking else f"has {', '.join(more)}" if more else "in another order"
        yield "turn-keys", what
    if not _is_turn_id(turn):
        yield "turn-id", str(turn.get("turn_id"))
    if turn.get("conversation_id") != conversation_id:
        yield "turn-conversation", str(turn.get("conversation_id"))
    wrong = list(_wrong_values(turn))
    if wrong:
        yield "turn-values", ", ".join(wrong)
    started_at = turn.get("started_at")
    for name in ("started_at", "updated_at"):
        time = turn.get(name)
        if not (isinstance(time, str) and TIME_PATTERN.fullmatch(time)):
            yield "turn-time", f"{name} is {time}"
    if isinstance(started_at, str) and TIME_PATTERN.fullmatch(started_at) and not started_at.startswith(day):
        yield "turn-day", started_at
    yield from _offset_problems(turn)


def _is_turn_id(turn: dict[str, Json]) -> bool:
    turn_id = turn.get("turn_id")
    if not (isinstance(turn_id, str) and TURN_ID.fullmatch(turn_id)):
        return False
    otel = turn.get("otel")
    if not (isinstance(otel, dict) and otel.get("source") == "turn"):
        return True
    return turn_id == f"turn_{str(otel.get('trace_id'))[-8:]}{otel.get('span_id')}"


def _wrong_values(turn: dict[str, Json]) -> Iterator[str]:
    def is_number(value: Json) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool)

    trace = turn.get("stream_trace")
    streams = trace if isinstance(trace, dict) else {}
    checks = {
        "stream": isinstance(turn.get("stream", False), bool),
        "duration_ms": is_number(turn.get("duration_ms", 0)),
        "stream_trace": isinstance(turn.get("stream_trace", {}), dict),
        "otel": isinstance(turn.get("otel", {}), dict),
        **{f"stream_trace.{side}_events": isinstance(streams.get(f"{side}_events", []), list) for side in _SIDES},
    }
    yield from (name for name, is_right in checks.items() if not is_right)


def _offset_problems(turn: dict[str, Json]) -> Iterator[tuple[str, str]]:
    trace, otel = turn.get("stream_trace"), turn.get("otel")
    if not (isinstance(trace, dict) and isinstance(otel, dict)):
        return
    for side in _SIDES:
        events, offsets = trace.get(f"{side}_events"), otel.get(f"{side}_offsets_ms")
        if isinstance(events, list) and isinstance(offsets, list) and len(events) != len(offsets):
            yield "turn-offsets", f"{len(offsets)} times of {len(events)} events, {side}"
