"""How streams, and bodies as they were on the wire, stand on a turn's span."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from otel_convlog import attributes as names
from otel_convlog.attempts import json_array, json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.util.types import AttributeValue

    from otel_convlog.wire import Answer


def event_attributes(events: list[str | int], started_ns: int) -> dict[str, AttributeValue]:
    """Return the attributes of the span event that holds streamed events which the proxy has recorded.

    Args:
        events: Event, time, event, time, …: the first as JSON, the second by `time.perf_counter_ns`.
        started_ns: When the turn began, by the same clock.
    """
    offsets_ns = [arrived_ns - started_ns for arrived_ns in cast("list[int]", events[1::2])]
    return {names.EVENTS: json_array(cast("list[str]", events[0::2])), names.OFFSETS_NS: json_text(offsets_ns)}


def wire_attributes(stream: Answer, started_ns: int) -> dict[str, AttributeValue]:
    """Return the attributes of the span event that holds a stream as it was on the wire.

    Args:
        stream: The stream.
        started_ns: When the turn began, by `time.perf_counter_ns`.
    """
    body = stream.read()
    return {
        names.WIRE: body.text,
        names.LENGTHS: json_text(body.lengths),
        names.OFFSETS_NS: json_text([passed_ns - started_ns for passed_ns in stream.times_ns]),
        names.EVENT_TYPE: stream.event_type,
        names.BOUNDED: "" if body.whole else "true",
    }


def raw_fields(given: Mapping[str, AttributeValue], raw: list[str], bounded: list[str]) -> dict[str, AttributeValue]:
    """Return the attributes that say of others that they are bodies as they were on the wire, or their beginning."""
    found: dict[str, AttributeValue] = {}
    for name, values in ((names.RAW, raw), (names.BOUNDED, bounded)):
        if values:
            known = given.get(name)
            found[name] = ",".join([known, *values] if isinstance(known, str) else values)
    return found
