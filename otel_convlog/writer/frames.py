"""What passes between a proxy and its writer's process: spans one way, what has become of them the other.

A frame is its length and its content as `marshal` has it: nothing but plain values, between two processes of one
interpreter, at the cost of copying the texts.
"""

from __future__ import annotations

import marshal
import os
import select
import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from otel_convlog import attributes as names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LENGTH = struct.Struct("<Q")
_BYTES_AT_ONCE = 1 << 16  # a larger buffer is fresh memory from the system each time

SERVICE_NAME = "service.name"

_END = "}"  # of the JSON of an upstream request, behind its body

# By these methods, for an enumeration has a `str` of its own.
_PLAIN: tuple[tuple[type, Callable[[Any], object]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, bytes),
)


class Report(NamedTuple):
    """What the writer's process says when it is done with a frame.

    Attributes:
        number: The frame's.
        written: How many turns it has written since it began.
        failed: How many it has lost.
        waiting_bytes: How many bytes of turns wait there for the disk.
        written_bytes: How many bytes of turns it has written.
        took_s: How long it took for the frame, in seconds.
        flushed: Whether nothing waits, of a frame that asks for a flush.
    """

    number: int
    written: int
    failed: int
    waiting_bytes: int
    written_bytes: int
    took_s: float
    flushed: bool


def packed(value: tuple[Any, ...]) -> bytes:
    """Return a frame."""
    try:
        content = marshal.dumps(value)
    except ValueError:  # attributes may be of classes that a user has made of the plain ones, as enumerations are
        content = marshal.dumps(_plain(value))
    return _LENGTH.pack(len(content)) + content


def _plain(value: Any) -> Any:
    """Return a value of which each part is of Python's own classes, as `marshal` wants it."""
    if value is None or isinstance(value, bool):
        return value
    for kind, made_plain in _PLAIN:
        if isinstance(value, kind):
            return made_plain(value)
    if isinstance(value, dict):
        return {_plain(name): _plain(item) for name, item in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, (tuple, list)) else str(value)


class FrameReader:
    """Reads the frames of a pipe.

    Args:
        descriptor: The pipe's.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = bytearray()

    def next(self) -> Any:
        """Return what the next frame holds; None at the pipe's end, also where a frame is cut there."""
        while (size := self._size()) > len(self._buffer):
            if not self._read():
                return None
        content = bytes(self._buffer[_LENGTH.size : size])
        del self._buffer[:size]
        return marshal.loads(content)  # noqa: S302  this package's own process wrote it

    def has_next(self) -> bool:
        """Say whether there is another frame already."""
        while self._size() > len(self._buffer):
            try:
                ready, _, _ = select.select([self._descriptor], [], [], 0)
            except (OSError, ValueError):  # Windows knows it of sockets only
                return False
            if not (ready and self._read()):
                return False
        return True

    def _size(self) -> int:
        """Return how many bytes the next frame has, as far as is known."""
        if len(self._buffer) < _LENGTH.size:
            return _LENGTH.size
        (length,) = _LENGTH.unpack_from(self._buffer)
        return _LENGTH.size + int(length)

    def _read(self) -> bool:
        piece = os.read(self._descriptor, _BYTES_AT_ONCE)
        self._buffer += piece
        return bool(piece)


def span_values(span: ReadableSpan) -> tuple[object, ...]:
    """Return what a turn's span holds, as plain values."""
    context = span.context
    if context is None:
        raise ValueError("a span without a context is of no turn")
    attributes = _copied(span.attributes)
    events = [
        (event.name, _copied(event.attributes), event.timestamp, event.dropped_attributes) for event in span.events
    ]
    folded = _fold(attributes, events)
    return (
        span.name,
        (context.trace_id, context.span_id, int(context.trace_flags)),
        (span.parent.trace_id, span.parent.span_id) if span.parent is not None else None,
        str(span.resource.attributes.get(SERVICE_NAME, "")),
        attributes,
        folded,
        events,
        span.start_time,
        span.end_time,
        span.dropped_attributes,
        span.dropped_events,
    )


def _copied(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    if isinstance(attributes, (BoundedAttributes, MappingProxyType)):  # through which `dict` would go item by item
        return attributes.copy()  # type: ignore[return-value]  # of a dict, as the SDK has it
    return dict(attributes or {})


def _fold(attributes: dict[str, Any], events: list[tuple[str, dict[str, Any], int, int]]) -> bool:
    """Let what is twice in a turn pass once: proxies mostly pass on what they are given.

    Of texts that are one object, `marshal` writes one.

    Returns:
        Whether the end of the upstream's request, which is the client's request, is left out.
    """
    _share(attributes, names.UPSTREAM_RESPONSE, attributes, names.CLIENT_RESPONSE)
    if len(events) == 2:
        _share(events[0][1], names.WIRE, events[1][1], names.WIRE)
    request, upstream = attributes.get(names.CLIENT_REQUEST), attributes.get(names.UPSTREAM_REQUEST)
    if not (isinstance(request, str) and isinstance(upstream, str) and upstream.endswith(_END)):
        return False
    begin = len(upstream) - len(request) - len(_END)
    if begin <= 0 or not upstream.startswith(request, begin):
        return False
    attributes[names.UPSTREAM_REQUEST] = upstream[:begin]
    return True


def _share(owner: dict[str, Any], name: str, other: dict[str, Any], other_name: str) -> None:
    text = owner.get(name)
    if text is not None and other.get(other_name) == text:
        other[other_name] = text


class PassedSpan(ReadableSpan):
    """A span that has come from another process.

    Args:
        values: From `span_values`.
    """

    def __init__(self, values: Sequence[Any]) -> None:
        name, context, parent, service_name, attributes, folded, events, start, end, lost_attributes, lost_events = (
            values
        )
        trace_id, span_id, flags = context
        if folded:
            attributes[names.UPSTREAM_REQUEST] += attributes[names.CLIENT_REQUEST] + _END
        super().__init__(
            name=name,
            context=SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(flags)),
            parent=SpanContext(parent[0], parent[1], is_remote=False) if parent is not None else None,
            resource=Resource({SERVICE_NAME: service_name}),
            attributes=attributes,
            events=[Event(event, given, timestamp) for event, given, timestamp, _ in events],
            start_time=start,
            end_time=end,
        )
        self._lost_attributes = lost_attributes + sum(lost for *_, lost in events)
        self._lost_events = lost_events

    @property
    def dropped_attributes(self) -> int:
        """How many attributes a limit has cost, those of its events among them."""
        return int(self._lost_attributes)

    @property
    def dropped_events(self) -> int:
        """How many events a limit has cost."""
        return int(self._lost_events)
