"""When the first words of a streamed answer came."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from otel_convlog.streams.texts import chunks_of
from otel_convlog.streams.values import items_of

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json
    from otel_convlog.streams.values import Object

_MOST_EVENTS = 64  # that are looked at: what comes before an answer's first words is a handful
_OF_CHAT = ("content", "reasoning_content", "reasoning", "tool_calls", "function_call", "refusal")


def first_token_ms(turn: dict[str, Json]) -> float | None:
    """Return how long after a turn's start its client, or else the proxy, got the first words, thoughts or call.

    Args:
        turn: The turn's JSON (docs/format.md).

    Returns:
        Milliseconds; None where the turn was not streamed. Where the events are of no protocol that is known, that of
        the first one.
    """
    trace, otel = turn.get("stream_trace"), turn.get("otel")
    if not (isinstance(trace, dict) and isinstance(otel, dict)):
        return None
    for side in ("client", "upstream"):
        events, offsets = trace.get(f"{side}_events"), otel.get(f"{side}_offsets_ms")
        if isinstance(events, list) and isinstance(offsets, list) and events and offsets:
            for event, offset in islice(zip(events, offsets, strict=False), _MOST_EVENTS):
                if any(map(_says_something, chunks_of([event]))):
                    return _number(offset)
            return _number(offsets[0])
    return None


def _number(offset: Json) -> float | None:
    return float(offset) if isinstance(offset, (int, float)) else None


def _says_something(chunk: Object) -> bool:
    kind = chunk.get("type")
    if isinstance(kind, str):
        return kind.endswith(("_delta", ".delta"))
    for choice in items_of(chunk.get("choices")):
        delta = choice.get("delta")
        if isinstance(delta, dict) and any(delta.get(name) for name in _OF_CHAT):
            return True
    inner = chunk.get("response")
    candidates = (inner if isinstance(inner, dict) else chunk).get("candidates")  # Gemini's
    return any(candidate.get("content") for candidate in items_of(candidates))
