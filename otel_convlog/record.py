"""The plain values that travel from the readers over the identity rules to the store."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json


@dataclass(frozen=True)
class StreamEvents:
    """The streamed events of one direction, in order.

    Attributes:
        events: The events.
        offsets_ms: Milliseconds from the turn's start to each event's arrival; empty where unknown.
        left_out: How many events of the middle the STREAM_EVENTS setting left out.
    """

    events: list[Json] = field(default_factory=list)
    offsets_ms: list[float] = field(default_factory=list)
    left_out: int = 0

    def limited(self, ends: int | None) -> StreamEvents:
        """Keep only the first and the last `ends` events; all of them where it is None."""
        count = len(self.events)
        if ends is None or count <= 2 * ends:
            return self
        return StreamEvents(
            events=self.events[:ends] + self.events[count - ends :],
            offsets_ms=self.offsets_ms[:ends] + self.offsets_ms[count - ends :] if self.offsets_ms else [],
            left_out=self.left_out + count - 2 * ends,
        )


@dataclass(frozen=True)
class TurnRecord:
    """One turn, as a reader understood it from its span. The fields are those of docs/format.md, "A turn".

    Attributes:
        started_at: Formatted by `otel_convlog.times.format_time`, as is `updated_at`.
        usage: None where the turn gave none, else what it gave.
        request_is_whole: False where limits of the SDK have cut the client's request.
        request_is_window: Whether what is left of it then are its last messages, whole.
        attributes: The span's other attributes that are text.
        trace: Where the turn comes from and how whole it is: the first entries of its ``otel`` object.
    """

    turn_id: str
    route: Json
    client_model: Json
    backend: Json
    stream: bool
    target_url: Json
    upstream_model: Json
    started_at: str
    updated_at: str
    request_headers: Json
    client_request: Json
    metadata: Json
    upstream_request: Json
    upstream_response: Json
    client_response: Json
    upstream_events: StreamEvents
    client_events: StreamEvents
    stream_summary: Json
    error: Json
    duration_ms: float
    usage: Json
    request_is_whole: bool
    attributes: dict[str, str]
    trace: dict[str, Json]
    request_is_window: bool = False

    @property
    def tells_its_dialogue(self) -> bool:
        """Whether it still has all by which its conversation is found: no words and no events are left out."""
        left_out = self.client_events.left_out or self.upstream_events.left_out
        return self.request_is_whole and "content" not in self.trace and not left_out

    def with_stream_events(self, ends: int | None) -> TurnRecord:
        """Return the record with only the first and last `ends` stream events of each direction; None keeps all."""
        return replace(
            self, upstream_events=self.upstream_events.limited(ends), client_events=self.client_events.limited(ends)
        )


@dataclass(frozen=True)
class Identity:
    """Which conversation a turn belongs to.

    Attributes:
        conversation_id: docs/format.md, "The conversation's id".
        evidence: By what it was recognised (docs/identity.md).
        continues: The id of the turn that this one continues; None where it continues none that is known.
        thread: The agent or session within the conversation that the request names.
        scope: A digest, in hex, of what keeps tenants apart; empty without such a setting.
        evidence_read: False where what is known of earlier turns could not be read.
    """

    conversation_id: str
    evidence: str
    continues: str | None = None
    thread: str | None = None
    scope: str = ""
    evidence_read: bool = True


@dataclass(frozen=True)
class IdentifiedTurn:
    """What the exporter hands to the store."""

    record: TurnRecord
    identity: Identity
