"""Turn spans that another program has made, which may have masked nothing, or sent anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import read_document
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from otel_convlog import ConversationSpanExporter
from otel_convlog.readers.foreign import with_masked_headers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HEADERS = {"Authorization": "Bearer sk-0123456789abcdef", "x-api-key": "short", "accept": "*/*"}
_SHOWN = {"Authorization": "Bear***cdef", "x-api-key": "***", "accept": "*/*"}


def turn_of(attributes: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Return the turn that a span with these attributes becomes."""
    span = ReadableSpan(
        "convlog.turn",
        context=SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)),
        attributes={"convlog.route": "chat", "convlog.client_request": '{"session_id": "s"}', **attributes},
        start_time=1_795_680_370_123_456_000,
        end_time=1_795_680_371_623_456_000,
    )
    exporter = ConversationSpanExporter(directory=directory)
    exporter.export([span])
    exporter.shutdown()
    (turn,) = read_document(directory / "2026-11-26" / "s.json")["turns"]
    return dict(turn)


def test_what_such_a_program_has_not_masked_is_masked(tmp_path: Path) -> None:
    url = "https://user:password@upstream.example/v1?key=AIzaSyA1234567890"
    earlier = {"url": url, "upstream_request": {"headers": _HEADERS, "body": {}}}
    turn = turn_of(
        {
            "convlog.request_headers": json.dumps(_HEADERS),
            "convlog.target_url": url,
            "convlog.upstream_request": json.dumps({"headers": _HEADERS, "body": {"headers": "its own"}}),
            "convlog.attempts": json.dumps([earlier]),
        },
        tmp_path,
    )
    assert turn["request_headers"] == _SHOWN
    assert turn["upstream_request"] == {"headers": _SHOWN, "body": {"headers": "its own"}}
    assert turn["target_url"] == "https://user:***@upstream.example/v1?key=***"
    assert turn["otel"]["attempts"] == [
        {"url": turn["target_url"], "upstream_request": {"headers": _SHOWN, "body": {}}}
    ]


def test_headers_as_a_list_of_pairs_are_masked(tmp_path: Path) -> None:
    turn = turn_of({"convlog.request_headers": json.dumps(list(_HEADERS.items()))}, tmp_path)
    assert turn["request_headers"] == _SHOWN


def test_headers_that_a_limit_has_cut_show_nothing(tmp_path: Path) -> None:
    turn = turn_of({"convlog.request_headers": json.dumps(_HEADERS)[:40]}, tmp_path)
    assert turn["request_headers"] == "***"
    assert turn["otel"]["lost"] == {"truncated": ["request_headers"]}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            json.dumps({"headers": {"api-key": "0123456789"}, "body": {"a": "b" * 9}})[:52],
            '{"headers": {"api-key":"0123***6789"}, "body": {"a":',
        ),
        ('{"headers": {"api-key": "012345678', "***"),
        ('{"body": {}, "headers": {"api-key": "012345678', "***"),
        ('{"body": {"content": "Hel', '{"body": {"content": "Hel'),
    ],
)
def test_a_request_that_a_limit_has_cut_shows_what_can_be_told_from_its_headers(text: str, shown: str) -> None:
    assert with_masked_headers(text) == shown


def test_a_turn_without_anything_else_is_logged(tmp_path: Path) -> None:
    turn = turn_of({}, tmp_path)
    assert turn["client_model"] == turn["backend"] == turn["target_url"] == turn["upstream_model"] == ""
    assert turn["stream"] is False
    assert turn["metadata"] == turn["request_headers"] == {}
    assert turn["updated_at"] == "2026-11-26T08:06:11.623456Z"
    assert turn["duration_ms"] == 1500
    assert turn["otel"]["complete"] is True
