"""Reads server-sent events by the rules of https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.

The parsers in common use (httpx-sse, sseclient-py, the client libraries' own) pull from a response that they are given;
here bytes are read that have passed already, so all that is known of a stream comes at once, and fast.

Event ids and retry times are for clients that reconnect, which model APIs do not offer; they are skipped.
"""

from __future__ import annotations

from typing import NamedTuple

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # may stand before a stream, and says nothing


class ServerSentEvent(NamedTuple):
    """An event of a stream.

    Attributes:
        name: Its type; empty where the stream gave none.
        data: Its lines of data.
        end: How many bytes of the stream had come when the event was complete, line ends counted as one byte each.
    """

    name: str
    data: bytes
    end: int


def unify_line_ends(stream: bytes) -> bytes:
    """Return bytes with a single LF where a line ends by CR, or by both."""
    return stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in stream else stream


def split_events(stream: bytes) -> tuple[list[ServerSentEvent], bytes]:
    """Return the events of a stream, and what stands behind the last one: an event that is not complete, if anything.

    Args:
        stream: The stream from its begin, without a byte order mark, its line ends made one (`unify_line_ends`).
    """
    position = 0
    *blocks, rest = stream.split(b"\n\n")
    events = []
    for block in blocks:
        position += len(block) + 2
        # Nearly all events are one line of data, or a name and one.
        if block.startswith(b"data: ") and b"\n" not in block:
            events.append(ServerSentEvent("", block[6:], position))
        elif (event := _read_lines(block, position)) is not None:
            events.append(event)
    return events, rest


def _read_lines(block: bytes, end: int) -> ServerSentEvent | None:
    """Return the event of some lines; None where they hold no data."""
    name, data = b"", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")  # a comment has an empty field name
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return ServerSentEvent(name.decode("utf-8", "replace"), b"\n".join(data), end) if data else None


class EventParser:
    """Reads a stream whose bytes come in any pieces, also cut inside a character."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_cr = False  # a LF that comes next belongs to the CR before it
        self._begun = False

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Take the next bytes and give the events that they complete; their `end` counts from the last one's."""
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        self._after_cr |= piece.endswith(b"\r")
        stream = self._rest + unify_line_ends(piece)
        if not self._begun:
            if len(stream) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(stream):  # more of it may come
                self._rest = stream
                return []
            stream = stream.removeprefix(BYTE_ORDER_MARK)
            self._begun = True
        events, self._rest = split_events(stream)
        return events

    @property
    def inside_event(self) -> bool:
        """Whether the bytes so far end in the middle of an event."""
        return bool(self._rest.strip(b"\n"))
