"""Server-sent events are read by the rules of the standard, however the network cuts them into pieces."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_convlog.streams.sse import EventParser, ServerSentEvent
from otel_convlog.streams.wire import read_wire

STREAM = (
    "\ufeff: a comment\n\n"
    'data: {"text": "grüße 你好 😀"}\n\n'
    "event: ping\r\ndata:\r\n\r\n"
    "id: 7\rretry: 10\revent: two lines\rdata: one\rdata:  two\r\r"
    "event: without data\n\n"
    "data\n\n"
    "data: [DONE]\n\n"
).encode()

EVENTS = [
    ("", '{"text": "grüße 你好 😀"}'),
    ("ping", ""),
    ("two lines", "one\n two"),
    ("", ""),
    ("", "[DONE]"),
]

_PIECES = st.lists(
    st.sampled_from(
        [
            "data",
            "event",
            "id",
            "retry",
            ":",
            ": ",
            " ",
            "\n",
            "\r",
            "\r\n",
            "\n\n",
            "x",
            "{}",
            "é",
            "\ufeff",
            "\0",
            "data: 1",
        ]
    ),
    max_size=40,
)


def words(events: list[ServerSentEvent]) -> list[tuple[str, str]]:
    return [(event.name, event.data.decode("utf-8", "replace")) for event in events]


def by_the_standard(stream: str) -> list[tuple[str, str]]:
    """Read a stream as the standard's steps say it, line by line."""
    events: list[tuple[str, str]] = []
    data, event_type = "", ""
    lines = re.split("\r\n|\n|\r", stream.removeprefix("\ufeff"))
    for line in lines[:-1]:  # the last one has no end: it is discarded
        if line == "":
            if data:
                events.append((event_type, data.removesuffix("\n")))
            data, event_type = "", ""
            continue
        if line.startswith(":"):
            continue
        field, colon, value = line.partition(":")
        value = value.removeprefix(" ") if colon else ""
        if field == "event":
            event_type = value
        elif field == "data":
            data += value + "\n"
    return events


@given(_PIECES, st.lists(st.integers(1, 7), min_size=1, max_size=20))
def test_any_stream_in_any_pieces_is_read_as_the_standard_says(texts: list[str], sizes: list[int]) -> None:
    stream = "".join(texts)
    encoded, parser = stream.encode(), EventParser()
    read: list[ServerSentEvent] = []
    position = 0
    while position < len(encoded):
        size = sizes[len(read) % len(sizes)]
        read += parser.feed(encoded[position : position + size])
        position += size
    assert words(read) == by_the_standard(stream)


@given(
    st.lists(
        st.sampled_from(["\n\n", "data: 1", "data: [2]\r\n\r\n", "event: e\ndata: x\n\n", "\r\n", "\n"]), max_size=12
    )
)
def test_a_captured_stream_is_read_as_the_standard_says(texts: list[str]) -> None:
    stream = "data: 0\n\n" + "".join(texts)  # so that it is no other kind of stream
    read = read_wire(stream, "chunk").events
    expected = by_the_standard(stream)
    assert [event["type"] for event in read if isinstance(event, dict)] == [name or "chunk" for name, _ in expected]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_pieces_of_any_size_give_the_same_events(size: int) -> None:
    parser = EventParser()

    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]

    assert words([event for piece in pieces for event in parser.feed(piece)]) == EVENTS
    assert not parser.inside_event


def test_an_event_is_there_with_the_piece_that_completes_it() -> None:
    parser = EventParser()

    assert parser.feed(b"data: 1\n") == []
    assert parser.inside_event
    assert words(parser.feed(b"\ndata: 2")) == [("", "1")]
    assert parser.inside_event


def test_bytes_that_are_no_text_do_not_end_the_stream() -> None:
    assert words(EventParser().feed(b"data: \xff\xfe\n\n")) == [("", "\ufffd\ufffd")]


@pytest.mark.parametrize(
    ("stream", "pieces", "data", "completed_by"),
    [
        ("data: 1\n\ndata: 2\n\n", [5, 4, 9], [1, 2], [1, 2]),
        ("data: 1\r\n\r\ndata: 2\r\n\r\n", [11, 9, 1, 1], [1, 2], [0, 2]),
        ('[{"a": 1}\n,\r\n{"b": "é"}]', [12, 3, 20], [{"a": 1}, {"b": "é"}], [0, 2]),
        ('{"a": 1}\n{"b": 2}\n', [9, 9], [{"a": 1}, {"b": 2}], [0, 1]),
        ("data: 12345678901234567890123\n\n", [31], [12345678901234567890123], [0]),
    ],
)
def test_each_event_of_a_stream_is_known_to_its_piece(
    stream: str, pieces: list[int], data: list[object], completed_by: list[int]
) -> None:
    read = read_wire(stream, "chunk")
    assert [event["data"] for event in read.events if isinstance(event, dict)] == data
    assert read.pieces(pieces) == completed_by


@pytest.mark.parametrize(
    ("stream", "rest"), [('data: 1\n\nevent: x\ndata: {"a', 'event: x\ndata: {"a'), ('{"a": 1}\n{"b"', '{"b"')]
)
def test_half_an_event_at_the_end_is_not_lost(stream: str, rest: str) -> None:
    assert read_wire(stream, "chunk").rest == rest
