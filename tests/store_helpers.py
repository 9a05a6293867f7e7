"""Turns for tests that write to the store without a span."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from otel_convlog.record import IdentifiedTurn, Identity, StreamEvents, TurnRecord
from otel_convlog.times import format_time

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json

_START_NS = 1_795_421_170_123_456_000  # 2026-11-23T08:06:10.123456Z

_RECORD = TurnRecord(
    turn_id="",
    route="chat",
    client_model="gpt-5",
    backend="openai",
    stream=False,
    target_url="",
    upstream_model="",
    started_at="",
    updated_at="",
    request_headers={},
    client_request=None,
    metadata={},
    upstream_request=None,
    upstream_response=None,
    client_response=None,
    upstream_events=StreamEvents(),
    client_events=StreamEvents(),
    stream_summary={},
    error=None,
    duration_ms=1,
    usage=None,
    request_is_whole=True,
    attributes={},
    trace={},
)


def make_turn(
    number: int, payload: Json = None, *, conversation_id: str = "c", start_ns: int = _START_NS, **fields: Any
) -> IdentifiedTurn:
    """Return the turn with that number: its id and its times tell it."""
    record = replace(
        _RECORD,
        turn_id=f"turn_{number:024x}",
        started_at=format_time(start_ns + number * 2_000_000),
        updated_at=format_time(start_ns + number * 2_000_000 + 1_000_000),
        client_request=payload,
        **fields,
    )
    return IdentifiedTurn(record, Identity(conversation_id, "explicit"))
