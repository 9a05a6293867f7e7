"""Streams as they were on the wire: their text, cut into the events that a log shows."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

import orjson

from otel_convlog.jsontext import exact_int, from_wire
from otel_convlog.streams.sse import BYTE_ORDER_MARK, split_events, unify_line_ends

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_convlog.jsontext import Json

_ARRAY = json.JSONDecoder(parse_int=exact_int)
_BETWEEN = " \t\r\n,"  # what may stand between the items of an array


class WireEvents(NamedTuple):
    """The events of a stream.

    Attributes:
        events: Each as ``{"type": …, "data": …}``: its name, or the one that its protocol's unnamed events have, and
            what its JSON says, or its text.
        ends: At which byte of the stream each is complete; of an end of line of two bytes one counts.
        rest: The text of an event that is not complete, behind the last one.
        stream: The stream.
    """

    events: list[Json]
    ends: list[int]
    rest: str
    stream: bytes

    def pieces(self, lengths: Sequence[int]) -> list[int]:
        """Return for each event the number of the piece that completes it.

        Args:
            lengths: The bytes of each piece in which the stream came.
        """
        ends_of_pieces = list(accumulate(lengths))
        if b"\r\n" in self.stream:
            starts = [0, *ends_of_pieces]
            found = (self.stream.count(b"\r\n", max(start - 1, 0), end) for start, end in pairwise(starts))
            ends_of_pieces = [end - count for end, count in zip(ends_of_pieces, accumulate(found), strict=True)]
        numbers, number, last = [], 0, len(ends_of_pieces) - 1
        for end in self.ends:
            while number < last and ends_of_pieces[number] < end:
                number += 1
            numbers.append(number)
        return numbers


def read_wire(text: str, unnamed: str) -> WireEvents:
    """Cut a stream into its events.

    Args:
        text: Server-sent events; or an array of JSON, item by item (Gemini without ``alt=sse``); or lines of JSON.
        unnamed: The type of events that name none.
    """
    stream = text.encode()
    begin = stream.lstrip()[:1]
    if begin == b"[":
        found, rest = list(_items(text)), ""
    elif begin == b"{":
        found, rest = _lines(stream)
    else:
        return _server_sent(stream, unnamed)
    events: list[Json] = [{"type": unnamed, "data": value} for value, _ in found]
    return WireEvents(events, [end for _, end in found], rest, stream)


def _server_sent(stream: bytes, unnamed: str) -> WireEvents:
    mark = len(BYTE_ORDER_MARK) if stream.startswith(BYTE_ORDER_MARK) else 0
    found, rest = split_events(unify_line_ends(stream[mark:]))
    events: list[Json] = [{"type": event.name or unnamed, "data": from_wire(event.data)} for event in found]
    lines = [line for line in rest.decode("utf-8", "replace").split("\n") if line and line[0] != ":"]  # no comments
    return WireEvents(events, [event.end + mark for event in found], "\n".join(lines), stream)


def _items(text: str) -> Iterator[tuple[Json, int]]:
    """Yield the items of an array, as far as they are complete, and at which byte each ends."""
    position = text.index("[") + 1
    counted, size = 0, 0
    while True:
        while position < len(text) and text[position] in _BETWEEN:
            position += 1
        try:
            value, position = _ARRAY.raw_decode(text, position)
        except (ValueError, RecursionError):  # its end, or where it was cut
            return
        size += len(text[counted:position].encode())
        counted = position
        yield value, size


def _lines(stream: bytes) -> tuple[list[tuple[Json, int]], str]:
    """Return the values of lines of JSON, each with the byte at which its line ends, and a last line that is cut."""
    found: list[tuple[Json, int]] = []
    position = 0
    for line in stream.split(b"\n"):
        position += len(line) + 1
        if line.strip():
            try:
                orjson.loads(line)
            except orjson.JSONDecodeError:
                return found, line.decode("utf-8", "replace")
            found.append((from_wire(line), min(position, len(stream))))
    return found, ""
