"""The example proxies read a stream right, however the network cuts it into pieces."""

from __future__ import annotations

import pytest

from otel_convlog.capture.sse import EventParser, ServerSentEvent

STREAM = (
    "\ufeff: a comment\n\n"
    'data: {"text": "grüße 你好 😀"}\n\n'
    "event: ping\r\ndata:\r\n\r\n"
    "id: 7\rretry: 10\revent: two lines\rdata: one\rdata:  two\r\r"
    "event: without data\n\n"
    "data: [DONE]\n\n"
).encode()

EVENTS = [
    ServerSentEvent("", '{"text": "grüße 你好 😀"}'),
    ServerSentEvent("ping", ""),
    ServerSentEvent("two lines", "one\n two"),
    ServerSentEvent("", "[DONE]"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_pieces_of_any_size_give_the_same_events(size: int) -> None:
    parser = EventParser()

    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]

    assert [event for piece in pieces for event in parser.feed(piece)] == EVENTS
    assert not parser.inside_event


def test_an_event_is_there_with_the_piece_that_completes_it() -> None:
    parser = EventParser()

    assert parser.feed(b"data: 1\n") == []
    assert parser.inside_event
    assert parser.feed(b"\ndata: 2") == [ServerSentEvent("", "1")]
    assert parser.inside_event


def test_bytes_that_are_no_text_do_not_end_the_stream() -> None:
    assert EventParser().feed(b"data: \xff\xfe\n\n") == [ServerSentEvent("", "\ufffd\ufffd")]
