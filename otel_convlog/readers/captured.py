"""What was captured off the wire (`otel_convlog.capture`): streams cut into events, answers put together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from otel_convlog import attempts
from otel_convlog import attributes as names
from otel_convlog.attempts import REQUEST, URL
from otel_convlog.jsontext import from_wire
from otel_convlog.readers.foreign import masked_url, with_masked_headers
from otel_convlog.record import StreamEvents, TurnRecord
from otel_convlog.streams import assemble, assemble_whole
from otel_convlog.streams.wire import WireEvents, read_wire

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.turn_fields import TurnFields

_MASKED = {URL: masked_url, REQUEST: with_masked_headers}
_CLIENT_LEFT = "client_disconnected"  # what `otel_convlog.capture` calls it


@dataclass(frozen=True)
class ReadStream:
    """What a turn's span says of one direction's stream.

    Attributes:
        events: Its events.
        wire: Where it was captured off the wire, rather than recorded event by event, what was found there.
        event_type: The type of its unnamed events then.
    """

    events: StreamEvents = field(default_factory=StreamEvents)
    wire: WireEvents | None = None
    event_type: str = ""


def read_stream(span: ReadableSpan, name: str, fields: TurnFields, same_as: ReadStream | None = None) -> ReadStream:
    """Read the stream of one direction.

    Args:
        span: The turn's span.
        name: The span event that holds it.
        fields: Takes the note of what was cut.
        same_as: The other direction, which is often the same, and then read once.
    """
    attributes = next((event.attributes or {} for event in span.events if event.name == name), None)
    if attributes is None:
        return ReadStream()
    offsets_ms = _milliseconds(fields.decoded(attributes.get(names.OFFSETS_NS), name, []))
    text = attributes.get(names.WIRE)
    if not isinstance(text, str):
        events = fields.decoded(attributes.get(names.EVENTS), name, [])
        if not isinstance(events, list):  # cut JSON: one event that is the text left of all
            return ReadStream(StreamEvents([events]))
        return ReadStream(StreamEvents(events, offsets_ms))
    if attributes.get(names.BOUNDED):
        fields.bounded.append(name.removeprefix(names.PREFIX))
    lengths = fields.decoded(attributes.get(names.LENGTHS), name, [])
    sizes = [length for length in lengths if isinstance(length, int)] if isinstance(lengths, list) else []
    stream = text.encode()
    if len(stream) < sum(sizes):
        fields.truncated.append(name.removeprefix(names.PREFIX))
    event_type = str(attributes.get(names.EVENT_TYPE, ""))
    wire = same_as.wire if same_as is not None and same_as.event_type == event_type else None
    if wire is None or wire.stream != stream:
        wire = read_wire(text, event_type)
    times = [offsets_ms[piece] for piece in wire.pieces(sizes)] if len(offsets_ms) == len(sizes) > 0 else []
    return ReadStream(StreamEvents(wire.events, times), wire, event_type)


def read_attempts(attempts_: Json) -> list[Json]:
    """Return a turn's earlier upstream calls as the log has them (docs/format.md, `otel.attempts`)."""
    return (
        [_attempt(attempt) for attempt in attempts_ if isinstance(attempt, dict)] if isinstance(attempts_, list) else []
    )


def _attempt(attempt: dict[str, Json]) -> Json:
    known = dict(attempt)
    for name, masked in _MASKED.items():
        if name in known:
            known[name] = masked(known[name])
    text, bounded = known.pop(attempts.ANSWER, None), known.pop(attempts.BOUNDED, False)
    lengths, event_type = known.pop(attempts.LENGTHS, None), known.pop(attempts.EVENT_TYPE, "")
    if isinstance(text, str):
        if isinstance(lengths, list):
            known["upstream_events"] = read_wire(text, str(event_type)).events
        else:
            known["upstream_response"] = from_wire(text.encode())
    if bounded:
        known["complete"] = False
    return known


def assembled(record: TurnRecord, rest: str) -> TurnRecord:
    """Put together what the client was streamed: its answer, its usage, and how it ended, where that was badly.

    Args:
        record: The turn.
        rest: What stands behind the last event of the stream, of one that is not complete.
    """
    counts = Counter(event.get("type") for event in record.client_events.events if isinstance(event, dict))
    summary: dict[str, Json] = {"event_counts": {str(kind): count for kind, count in counts.items()}}
    answer, ended, error = assemble_whole(record.client_events.events)
    if ended and rest.removeprefix("data:").strip() == "[DONE]":  # of a server that leaves the last empty line out
        rest = ""
    if answer is not None:
        summary["response"] = answer
    usage = _usage_of(answer)
    if usage is None and record.usage is None and record.upstream_events.events:  # of which the client was not told
        usage = _usage_of(assemble(record.upstream_events.events))
    if error is not None:
        problem: Json = {"type": "stream_error", "body": error}
    elif rest or not ended:
        problem = {"type": "stream_incomplete", "message": "the stream ended before the answer did"}
        if rest:
            problem["rest"] = rest
    else:
        problem = None
    known = record.error
    if isinstance(known, dict) and known.get("type") == _CLIENT_LEFT and answer is not None and problem is None:
        known = None  # it had all of the answer, and did not wait for the connection's end
    return replace(
        record,
        client_response=answer,
        stream_summary=summary,
        usage=usage if usage is not None else record.usage,
        error=known if known is not None else problem,
    )


def _usage_of(answer: Json) -> Json:
    return answer.get("usage", answer.get("usageMetadata")) if isinstance(answer, dict) else None


def _milliseconds(offsets_ns: Json) -> list[float]:
    if not isinstance(offsets_ns, list):
        return []
    return [round(offset / 1e6, 3) for offset in offsets_ns if isinstance(offset, int)]
