"""Reads server-sent events out of bytes that arrive in any pieces.

A proxy passes the bytes on at once and reads along, so it needs a parser that is *fed*: the ones in common use
(httpx-sse, sseclient-py, the SDKs' own) pull from a response and would hold back a piece until its event is complete.
"""

from __future__ import annotations

import codecs
import io
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerSentEvent:
    """An event of a stream; `name` is empty where the stream gave none."""

    name: str
    data: str


class EventParser:
    """Parses a stream by the rules of https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.

    Pieces may end anywhere, also inside a character. Event ids and retry times are for clients that reconnect, which
    model APIs do not offer; they are skipped.
    """

    def __init__(self) -> None:
        # All three kinds of line end become "\n"; a leading byte order mark is dropped; no byte is an error.
        utf8 = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._decoder = io.IncrementalNewlineDecoder(utf8, translate=True)
        self._line: list[str] = []  # the pieces of the line that has not ended yet
        self._name = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Take the next bytes and give the events that they complete."""
        first, *others = str(self._decoder.decode(piece)).split("\n")
        self._line.append(first)
        events = []
        for start_of_next in others:
            event = self._end_line("".join(self._line))
            if event is not None:
                events.append(event)
            self._line = [start_of_next]
        return events

    @property
    def inside_event(self) -> bool:
        """Whether the bytes so far end in the middle of an event."""
        return bool(self._data or self._name or any(self._line))

    def _end_line(self, line: str) -> ServerSentEvent | None:
        if not line:
            event = ServerSentEvent(self._name, "\n".join(self._data)) if self._data else None
            self._name, self._data = "", []
            return event
        field, _, value = line.partition(":")  # a comment has an empty field name
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        return None
