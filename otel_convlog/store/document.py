"""The bytes of a conversation's document (docs/format.md), and what can be told from them without parsing.

A document is a head, turns and a tail. A raw newline can never stand inside a JSON string, so the line breaks with
their indentation mark, beyond doubt, where a turn begins, where it ends and where the tail begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.jsontext import MAX_DEPTH, from_any_json, to_indented_json
from otel_convlog.record import IdentifiedTurn, Identity, StreamEvents, TurnRecord
from otel_convlog.store.entries import describe

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json
    from otel_convlog.store.entries import TurnEntry

SEPARATOR = b",\n"  # between two turns
TURNS_START = b'\n  "turns": [\n'
TURN_START = b"\n    {\n"
TURN_END = b"\n    }"
TURN_ID = b'\n      "turn_id": "'
TAIL_START = b'\n  ],\n  "last_client_model": '
UNFINISHED = b"\0"  # stands for the comma before turns that are not written to their end yet
LAST_BYTE = b"}"  # a file without it is not whole: it is what a writer adds last

_MAX_DEPTH = MAX_DEPTH + 8  # of a document, whose payloads stand a few levels deep in it

_BEFORE_TURNS = b'{\n  "turns": [\n'
_AFTER_TURNS = b"\n  ]\n}"

_TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
_HEAD = re.compile(
    rb'\{\n  "conversation_id": [^\n]*,\n  "route": [^\n]*,\n  "created_at": "('
    + _TIME
    + rb')",\n  "updated_at": "('
    + _TIME
    + rb')",\n'
)
_TAIL = re.compile(
    rb'\n  \],\n  "last_client_model": [^\n]*,\n  "last_backend": [^\n]*,\n  "turn_count": (0|[1-9]\d{0,17})\n\}'
)


@dataclass(frozen=True)
class RenderedTurn:
    """A turn as it stands in its file.

    Attributes:
        entry: What the catalog says of it.
        body: From the indentation of its opening brace to its closing brace; a view, because copies of it are costly.
        last_client_model: The JSON text that the document's tail repeats, as is `last_backend`.
    """

    turn_id: str
    conversation_id: str
    route: Json
    started_at: str
    updated_at: str
    last_client_model: bytes
    last_backend: bytes
    entry: TurnEntry
    body: memoryview


class Times(NamedTuple):
    """A document's times, and where in its file they stand."""

    created_at: bytes
    created_at_offset: int
    updated_at: bytes
    updated_at_offset: int


def render(turn: IdentifiedTurn) -> RenderedTurn:
    """Render a turn for its place in a document."""
    record = turn.record
    value = turn_object(turn)
    return RenderedTurn(
        turn_id=record.turn_id,
        conversation_id=turn.identity.conversation_id,
        route=record.route,
        started_at=record.started_at,
        updated_at=record.updated_at,
        last_client_model=to_indented_json(record.client_model),
        last_backend=to_indented_json(record.backend),
        entry=describe(value),
        body=turn_body(value, max_depth=_MAX_DEPTH),
    )


def rendered_from(turn: dict[str, Json], conversation_id: str) -> RenderedTurn:
    """Render a turn of a file for its place in another.

    Args:
        turn: Its JSON.
        conversation_id: The other's.
    """
    return RenderedTurn(
        turn_id=str(turn.get("turn_id")),
        conversation_id=conversation_id,
        route=turn.get("route"),
        started_at=str(turn.get("started_at")),
        updated_at=str(turn.get("updated_at")),
        last_client_model=to_indented_json(turn.get("client_model")),
        last_backend=to_indented_json(turn.get("backend")),
        entry=describe(turn),
        body=turn_body(turn),
    )


def with_identity(turn: dict[str, Json], identity: Identity) -> dict[str, Json]:
    """Return a turn's JSON with what it says of its conversation put right: as it would have been rendered."""
    otel = turn.get("otel")
    notes: dict[str, Json] = {}
    for name, value in otel.items() if isinstance(otel, dict) else ():
        if name == _FIRST_IDENTITY_NOTE:
            notes.update(_identity_notes(identity))
        elif name not in _IDENTITY_NOTES:
            notes[name] = value
    return {**turn, "conversation_id": identity.conversation_id, "otel": notes}


def turn_object(turn: IdentifiedTurn) -> dict[str, Json]:
    """Return the turn with its keys in the order of docs/format.md."""
    record = turn.record
    document: dict[str, Json] = {
        "conversation_id": turn.identity.conversation_id,
        "turn_id": record.turn_id,
        "route": record.route,
        "client_model": record.client_model,
        "backend": record.backend,
        "stream": record.stream,
        "target_url": record.target_url,
        "upstream_model": record.upstream_model,
        "started_at": record.started_at,
        "updated_at": record.updated_at,
        "request_headers": record.request_headers,
        "client_request": record.client_request,
        "metadata": record.metadata,
        "upstream_request": record.upstream_request,
        "upstream_response": record.upstream_response,
        "client_response": record.client_response,
        "stream_trace": {
            "upstream_events": record.upstream_events.events,
            "client_events": record.client_events.events,
            "summary": record.stream_summary,
        },
        "error": record.error,
        "duration_ms": record.duration_ms,
    }
    if record.usage is not None:
        document["usage"] = record.usage
    otel = {**record.trace, **_identity_notes(turn.identity)}
    otel.update(_event_notes("upstream", record.upstream_events))
    otel.update(_event_notes("client", record.client_events))
    document["otel"] = otel
    return document


def turn_of(document: dict[str, Json]) -> IdentifiedTurn:
    """Return the turn that a document has, as far as its conversation's evidence needs it: `turn_object` backwards."""

    def text(value: Json) -> str:
        return value if isinstance(value, str) else ""

    otel = document.get("otel")
    notes = otel if isinstance(otel, dict) else {}
    trace = document.get("stream_trace")
    streams = trace if isinstance(trace, dict) else {}
    continues, thread, duration = notes.get("continues"), notes.get("thread"), document.get("duration_ms")

    def events(direction: str) -> StreamEvents:
        value, left_out = streams.get(f"{direction}_events"), notes.get(f"{direction}_events_left_out")
        return StreamEvents(value if isinstance(value, list) else [], [], left_out if isinstance(left_out, int) else 0)

    record = TurnRecord(
        turn_id=text(document.get("turn_id")),
        route=document.get("route"),
        client_model=document.get("client_model"),
        backend=document.get("backend"),
        stream=document.get("stream") is True,
        target_url=document.get("target_url"),
        upstream_model=document.get("upstream_model"),
        started_at=text(document.get("started_at")),
        updated_at=text(document.get("updated_at")),
        request_headers=document.get("request_headers"),
        client_request=document.get("client_request"),
        metadata=document.get("metadata"),
        upstream_request=document.get("upstream_request"),
        upstream_response=document.get("upstream_response"),
        client_response=document.get("client_response"),
        upstream_events=events("upstream"),
        client_events=events("client"),
        stream_summary=streams.get("summary"),
        error=document.get("error"),
        duration_ms=duration if isinstance(duration, (int, float)) else 0,
        usage=document.get("usage"),
        request_is_whole=notes.get("identity") != "turn" and "content" not in notes,
        attributes={},
        trace={},
    )
    identity = Identity(
        conversation_id=text(document.get("conversation_id")),
        evidence=text(notes.get("identity")),
        continues=continues if isinstance(continues, str) else None,
        thread=thread if isinstance(thread, str) else None,
        scope=text(notes.get("scope")),
    )
    return IdentifiedTurn(record, identity)


def turn_body(turn: Json, *, max_depth: int | None = None) -> memoryview:
    """Return a turn's JSON, indented for its place in a document; what is nested deeper than that is cut."""
    return memoryview(to_indented_json({"turns": [turn]}, max_depth=max_depth))[len(_BEFORE_TURNS) : -len(_AFTER_TURNS)]


def head(fields: dict[str, Json]) -> bytes:
    """Return a document from its first byte to the line before its first turn.

    Args:
        fields: What stands before ``turns``, in order.
    """
    return to_indented_json({**fields, "turns": []})[: -len(b"]\n}")] + b"\n"


def tail(last_client_model: bytes, last_backend: bytes, turn_count: int) -> bytes:
    """Return a document from the line break after its last turn to its last byte."""
    return b'%s%s,\n  "last_backend": %s,\n  "turn_count": %d\n}' % (
        TAIL_START,
        last_client_model,
        last_backend,
        turn_count,
    )


def head_fields(beginning: bytes) -> dict[str, Json]:
    """Return what stands before a document's turns; empty where the beginning is too short to tell."""
    before, found, _ = beginning.partition(b',\n  "turns": [\n')
    try:
        value = from_any_json(before + b"}") if found else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def find_times(beginning: bytes) -> Times | None:
    """Find a document's times.

    Args:
        beginning: The document's first bytes.

    Returns:
        Its times; None where the beginning is not one of ours, or too short.
    """
    match = _HEAD.match(beginning)
    return Times(match[1], match.start(1), match[2], match.start(2)) if match else None


def find_tail(ending: bytes) -> tuple[int, int] | None:
    """Find a document's tail.

    Args:
        ending: The document's last bytes.

    Returns:
        The offset of the tail, and the document's ``turn_count``; None where there is none (or the ending is too
        short).
    """
    offset = ending.rfind(TAIL_START)
    match = _TAIL.fullmatch(ending, offset) if offset >= 0 else None
    return (offset, int(match[1])) if match else None


_FIRST_IDENTITY_NOTE = "identity"
_IDENTITY_NOTES = frozenset({_FIRST_IDENTITY_NOTE, "continues", "thread", "scope", "evidence_read"})


def _identity_notes(identity: Identity) -> dict[str, Json]:
    notes: dict[str, Json] = {_FIRST_IDENTITY_NOTE: identity.evidence, "continues": identity.continues}
    if identity.thread is not None:
        notes["thread"] = identity.thread
    if identity.scope:
        notes["scope"] = identity.scope
    if not identity.evidence_read:
        notes["evidence_read"] = False
    return notes


def _event_notes(direction: str, events: StreamEvents) -> dict[str, Json]:
    notes: dict[str, Json] = {}
    if events.offsets_ms:
        notes[f"{direction}_offsets_ms"] = list(events.offsets_ms)
    if events.left_out:
        notes[f"{direction}_events_left_out"] = events.left_out
    return notes
