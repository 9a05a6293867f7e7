"""What an operator adds to the redaction: patterns, headers, a function; and what becomes of a turn when it fails."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import read_document
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from store_helpers import make_turn

import otel_convlog
from otel_convlog import ConversationSpanExporter
from otel_convlog.record import StreamEvents
from otel_convlog.redaction import hook as hooks
from otel_convlog.redaction.patterns import read_patterns
from otel_convlog.redaction.turns import FAILED, TurnRedactor
from otel_convlog.store import render

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_START: dict[str, Any] = {"route": "chat", "client_model": "m", "backend": "b", "stream": True}


@pytest.fixture
def record(tmp_path: Path, no_sdk: None) -> Callable[..., tuple[dict[str, Any], ConversationSpanExporter]]:  # noqa: ARG001
    """Return what records a turn with an exporter of these settings, and reads it from its file."""

    def run(who: str = "Alice", **options: Any) -> tuple[dict[str, Any], ConversationSpanExporter]:
        exporter = ConversationSpanExporter(directory=tmp_path / "log", **options)
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        request = {"messages": [{"role": "user", "content": "I am Alice, E123456"}]}
        turn = otel_convlog.start_turn(
            **_START, client_request=request, metadata={"who": who}, request_headers={"x-a": "1"}
        )
        for piece in ("Hello Al", "ice", ", E12", "3456!"):
            otel_convlog.append_client_event(turn, {"choices": [{"index": 0, "delta": {"content": piece}}]})
        otel_convlog.attach_client_response(turn, {"text": "Hello Alice, E123456!", "Alice": 1})
        otel_convlog.finalize_turn(turn, usage={"total_tokens": 3})
        (path,) = (tmp_path / "log").glob("*/*.json")
        (written,) = read_document(path)["turns"]
        return written, exporter

    return run


def _said(turn: dict[str, Any]) -> str:
    events = turn["stream_trace"]["client_events"]
    return "".join(event["choices"][0]["delta"]["content"] for event in events)


def test_a_hook_changes_every_text_and_key_also_those_in_pieces(record: Any) -> None:
    fields: set[str] = set()

    def hook(field: str, value: str) -> str:
        fields.add(field)
        return value.replace("Alice", "[NAME]")

    turn, exporter = record(redactor=hook)
    assert "Alice" not in json.dumps(turn)
    assert turn["client_response"] == {"text": "Hello [NAME], E123456!", "[NAME]": 1}
    assert _said(turn) == "Hello [NAME], E123456!"
    assert fields >= {"client_request", "metadata", "client_response", "client_events", "request_headers"}
    assert exporter.redaction_failures == {}


def _raises(field: str, value: str) -> str:
    if field == "metadata":
        raise RuntimeError(value)
    return value


def _returns_nothing(field: str, value: str) -> Any:
    return None if field == "metadata" else value


def _hangs(field: str, value: str) -> str:
    if field == "metadata":
        _released.wait(60)
    return value


_released = threading.Event()


@pytest.mark.parametrize("hook", [_raises, _returns_nothing, _hangs])
def test_a_hook_that_fails_blanks_its_field_only(
    hook: Any, record: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hooks, "TIMEOUT_S", 0.2)
    _released.clear()
    turn, exporter = record(redactor=hook)
    _released.set()
    assert turn["metadata"] == FAILED == "[REDACTED: redaction failed]"
    assert turn["client_response"]["text"] == "Hello Alice, E123456!"
    assert _said(turn) == "Hello Alice, E123456!"
    assert turn["usage"] == {"total_tokens": 3}
    assert exporter.redaction_failures == {"metadata": 1}
    assert (exporter.turns_written, exporter.turns_failed) == (1, 0)
    assert list(turn["otel"]["redaction_failed"]) == ["metadata"]
    (message,) = [found.getMessage() for found in caplog.records if found.levelno >= logging.ERROR]
    assert "metadata" in message
    assert "Alice" not in message


def test_hooks_that_hang_hold_up_nothing_for_long() -> None:
    caller = hooks.BoundedCaller(0.05)
    release = threading.Event()
    for _ in range(6):
        with pytest.raises(hooks.HookError):
            caller.call(lambda: release.wait(60))
    assert sum(thread.name == "convlog-redactor" for thread in threading.enumerate()) == 4
    release.set()
    while True:  # they come back, and it is called again
        try:
            assert caller.call(lambda: 5) == 5
        except hooks.HookError:
            time.sleep(0.01)
        else:
            break


def test_patterns_of_the_operator_are_taken_out_by_their_name(record: Any, tmp_path: Path) -> None:
    file = tmp_path / "patterns.txt"
    file.write_text("# ours\nstaff-number: \\bE\\d{6}\\b\n\n(?<=I am )\\w+\n")
    turn, _ = record(redact_patterns=file)
    assert turn["client_request"]["messages"][0]["content"] == "I am [REDACTED:pattern-4], [REDACTED:staff-number]"
    assert _said(turn) == "Hello Alice, [REDACTED:staff-number]!"


def test_a_pattern_that_never_ends_blanks_the_field(record: Any, tmp_path: Path) -> None:
    file = tmp_path / "patterns.txt"
    file.write_text("slow: (?:a|a|aa)+c\n")
    turn, exporter = record("a" * 64 + "!", redact_patterns=file)
    assert turn["metadata"] == FAILED
    assert turn["client_response"] == {"text": "Hello Alice, E123456!", "Alice": 1}
    assert turn["otel"]["redaction_failed"]["metadata"].startswith("pattern slow: ")
    assert exporter.redaction_failures["metadata"] == 1


@pytest.mark.parametrize("content", [None, "(", b"\xff\xfe\x00"])
def test_patterns_that_cannot_be_used_are_an_error(content: str | bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "patterns.txt"
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match="redact_patterns"):
        ConversationSpanExporter(directory=tmp_path, redact_patterns=file)


def test_more_headers_are_masked_in_the_file(record: Any) -> None:
    turn, _ = record(redact_headers="X-A")
    assert turn["request_headers"] == {"x-a": "***"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(_JSON, st.lists(_JSON, max_size=5), st.sampled_from([None, _raises, lambda _, value: value[:3]]))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_nothing_makes_redaction_raise_or_lose_the_turn(value: Any, events: list[Any], hook: Any) -> None:
    redactor = TurnRedactor(hook=hook)
    same = {"metadata": value, "error": value, "request_headers": value, "upstream_request": value}
    turn = make_turn(1, value, client_events=StreamEvents(events), **same)
    record = redactor.clean_streams(turn.record)
    turn = type(turn)(record, turn.identity)
    clean = redactor.clean(turn, render(turn).body)
    assert clean.record.turn_id == turn.record.turn_id
    assert render(clean).body


def test_a_file_of_patterns_may_have_comments_and_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "patterns.txt"
    file.write_bytes(b"\xef\xbb\xbf# a comment\n  a+  \nname: b\n")
    assert [kind for kind, _ in read_patterns(file).patterns] == ["pattern-2", "name"]
