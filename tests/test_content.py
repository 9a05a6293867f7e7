"""How much of what was said is written: all, its shape, or nothing; by route, and as the client asks."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import read_document
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from windows_rules import only_posix

import otel_convlog
from otel_convlog import ConversationSpanExporter
from otel_convlog.content_modes import ContentModes
from otel_convlog.store import list_conversations, reindex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROUTES = ("chat", "responses", "messages", "gemini")


@pytest.fixture
def start(tmp_path: Path, no_sdk: None) -> Iterator[Any]:  # noqa: ARG001
    """Return what begins a log with these settings, in the same folder each time."""

    def run(**options: Any) -> ConversationSpanExporter:
        exporter = ConversationSpanExporter(directory=tmp_path / "log", **options)
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace._TRACER_PROVIDER = provider
        return exporter

    yield run
    trace._TRACER_PROVIDER = None


class _Words:
    """Words that stand nowhere else, each given once."""

    def __init__(self) -> None:
        self._random = random.Random(4)
        self.given: list[str] = []

    def __call__(self) -> str:
        self.given.append("".join(self._random.choices("bcdfghjklmnpqrstvwxz", k=7)))
        return self.given[-1]

    def text(self) -> str:
        return f"{self()} {self()}, {self()}."


def _request(route: str, history: list[tuple[str, str]], words: _Words) -> dict[str, Any]:
    tool = {"name": words(), "description": words.text(), "parameters": {"properties": {words(): {"type": words()}}}}
    if route == "gemini":
        contents = [
            {"role": "user" if role == "user" else "model", "parts": [{"text": text}]} for role, text in history
        ]
        return {"contents": contents, "tools": [{"functionDeclarations": [tool]}], words(): words()}
    if route == "responses":
        items = [{"role": role, "content": [{"type": "input_text", "text": text}]} for role, text in history]
        return {"model": "m-1", "input": items, "instructions": words.text(), "metadata": {words(): words()}}
    messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in history]
    if route == "messages":
        return {
            "model": "m-1",
            "system": [{"type": "text", "text": words.text()}],
            "messages": messages,
            "max_tokens": 5,
        }
    call = {
        "id": words(),
        "type": "function",
        "function": {"name": words(), "arguments": json.dumps({words(): words()})},
    }
    extra = [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "content": words.text()}]
    return {
        "model": "m-1",
        "messages": messages + (extra if len(history) > 3 else []),
        "tools": [tool],
        "user": words(),
    }


def _answer(route: str, text: str, words: _Words) -> dict[str, Any]:
    if route == "gemini":
        return {"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}], "modelVersion": "m-1"}
    if route == "responses":
        item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        return {"object": "response", "status": "completed", "output": [item], "metadata": {words(): 1}}
    if route == "messages":
        use = {"type": "tool_use", "id": words(), "name": words(), "input": {words(): [words(), 4111, True]}}
        return {"role": "assistant", "content": [{"type": "text", "text": text}, use], "stop_reason": "end_turn"}
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}


def _converse(route: str, turns: int, words: _Words, headers: dict[str, str] | None = None, **request: Any) -> None:
    history: list[tuple[str, str]] = []
    for number in range(turns):
        history.append(("user", words.text()))
        body = {**_request(route, history, words), **request}
        turn = otel_convlog.start_turn(
            route=route,
            client_model="m-1",
            backend="b",
            stream=bool(number % 2),
            client_request=body,
            request_headers={"x-title": words(), "content-type": "application/json", **(headers or {})},
            target_url=f"https://h.example/v1?q={words()}",
            metadata={words(): words(), "n": {"user": words()}},
        )
        otel_convlog.attach_upstream_request(turn, body, {"x-note": words()})
        text = words.text()
        answer = _answer(route, text, words)
        otel_convlog.attach_upstream_response(turn, answer)
        otel_convlog.attach_client_response(turn, answer)
        for piece in text.split(" "):
            otel_convlog.append_client_event(turn, {"choices": [{"index": 0, "delta": {"content": piece}}]})
            otel_convlog.append_upstream_event(turn, f"data: {piece}")
        otel_convlog.set_stream_summary(turn, {"text": text, words(): 1})
        otel_convlog.attach_error(turn, {"type": "RateLimitError", "message": words.text(), words(): words()})
        otel_convlog.finalize_turn(turn, usage={"prompt_tokens": 3, "details": {"cached_tokens": 1}}, duration_ms=5)
        history.append(("assistant", text))


def _everything(directory: Path) -> bytes:
    return b"".join(path.name.encode() + path.read_bytes() for path in directory.rglob("*") if path.is_file())


def _seen(words: _Words, data: bytes) -> list[str]:
    """Return the words that stand anywhere in the bytes, also within others: any seven letters there."""
    runs = re.findall(rb"[a-z]{7,}", data.lower())
    there = {run[at : at + 7].decode() for run in runs for at in range(len(run) - 6)}
    return [word for word in words.given if word in there]


@pytest.mark.parametrize(("mode", "grouping"), [("metadata", "lineage"), ("metadata", "seed"), ("none", "dialogue")])
def test_no_word_of_a_hundred_conversations_is_anywhere(mode: str, grouping: str, start: Any, tmp_path: Path) -> None:
    exporter = start(content=mode, grouping=grouping, scope="body:user")
    words = _Words()
    for number in range(100):
        named = f"{words()} {words()}" if number % 5 == 0 else None
        _converse(_ROUTES[number % 4], 2, words, conversation_id=named)
    assert (exporter.turns_written, exporter.turns_failed) == (200, 0)
    data = _everything(tmp_path / "log")
    assert len(words.given) > 5_000
    assert _seen(words, data) == []
    for path in (tmp_path / "log").glob("*/*.json"):
        read_document(path)
    assert list_conversations(tmp_path / "log", limit=1)


@pytest.mark.parametrize("route", _ROUTES)
@pytest.mark.parametrize("mode", ["metadata", "none"])
def test_a_dialogue_without_content_is_one_conversation(mode: str, route: str, start: Any, tmp_path: Path) -> None:
    start(content=mode)
    _converse(route, 4, _Words())
    (path,) = (tmp_path / "log").glob("*/*.json")
    turns = read_document(path)["turns"]
    assert {turn["otel"]["content"] for turn in turns} == {mode}
    assert turns[1]["otel"]["continues"] == turns[0]["turn_id"]


def test_the_shape_of_a_turn_stays(start: Any, tmp_path: Path) -> None:
    start(content="metadata")
    _converse("chat", 1, _Words())
    (path,) = (tmp_path / "log").glob("*/*.json")
    (turn,) = read_document(path)["turns"]
    assert turn["client_request"]["model"] == "m-1"
    assert turn["client_request"]["messages"] == [{"role": "user", "content": "[str 25]"}]
    assert turn["client_response"]["choices"][0]["finish_reason"] == "stop"
    assert turn["stream_trace"]["client_events"][0] == {"choices": [{"index": 0, "delta": {"content": "[str]"}}]}
    assert turn["request_headers"] == {"x-title": "[str 7]", "content-type": "application/json"}
    assert turn["target_url"] == "https://h.example/v1"
    assert turn["error"]["type"] == "RateLimitError"
    assert turn["usage"] == {"prompt_tokens": 3, "[key 2]": {"cached_tokens": 1}}
    assert (turn["client_model"], turn["duration_ms"]) == ("m-1", 5)


def test_nothing_of_bodies_and_events_stays_without_content(start: Any, tmp_path: Path) -> None:
    start(content="none")
    _converse("chat", 1, _Words())
    (path,) = (tmp_path / "log").glob("*/*.json")
    (turn,) = read_document(path)["turns"]
    bodies = ("client_request", "upstream_request", "upstream_response", "client_response")
    assert [turn[name] for name in bodies] == [None] * 4
    assert turn["stream_trace"] == {"upstream_events": [], "client_events": [], "summary": {}}
    assert turn["otel"]["client_events_left_out"] == 3
    assert turn["usage"]["prompt_tokens"] == 3


@pytest.mark.parametrize(
    ("setting", "wish", "mode"),
    [
        ("full", None, "full"),
        ("full", "none", "none"),
        ("full", " Metadata ", "metadata"),
        ("metadata", "full", "metadata"),
        ("none", "full", "none"),
        ("full", "whatever", "none"),
        ("full", "full, none", "none"),
        ("metadata,chat=full", None, "full"),
        ("full,chat=none", "metadata", "none"),
        ("full,messages=none", None, "full"),
    ],
)
def test_a_route_has_its_mode_and_a_client_may_ask_for_less(
    setting: str, wish: Any, mode: str, start: Any, tmp_path: Path
) -> None:
    start(content=setting)
    _converse("chat", 1, _Words(), {"X-Convlog-Content": wish} if wish else {})
    (path,) = (tmp_path / "log").glob("*/*.json")
    (turn,) = read_document(path)["turns"]
    assert turn["otel"].get("content", "full") == mode


def test_the_same_words_have_other_ids_in_another_directory(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    names = set()
    for number in range(2):
        exporter = ConversationSpanExporter(directory=tmp_path / str(number), content="metadata")
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace._TRACER_PROVIDER = provider
        _converse("chat", 1, _Words())
        _converse("chat", 1, _Words(), conversation_id="short")
        names |= {path.name for path in (tmp_path / str(number)).glob("*/*.json")}
    assert len(names) == 4
    assert all(name.startswith("conv_") for name in names)


def test_a_reindex_makes_no_evidence_of_turns_without_content(start: Any, tmp_path: Path) -> None:
    start(content="metadata")
    _converse("chat", 2, _Words())
    (tmp_path / "log" / "catalog.sqlite3").unlink()
    assert reindex(tmp_path / "log") == 1
    start(content="metadata")
    other = _Words()
    other()
    _converse("chat", 2, other)
    assert len(list((tmp_path / "log").glob("*/*.json"))) == 2


@pytest.mark.parametrize("value", ["all", "chat=", "metadata;none", "=full=x"])
def test_a_mode_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="must be full, metadata or none"):
        ContentModes.parse(value)


def test_patterns_that_cannot_be_read_from_the_variable_leave_no_content(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_CONVLOG_REDACT_PATTERNS", str(tmp_path / "missing"))
    start()
    words = _Words()
    _converse("chat", 1, words)
    data = _everything(tmp_path / "log")
    assert _seen(words, data) == []
    assert "REDACT_PATTERNS cannot be read" in caplog.text


@only_posix
@pytest.mark.parametrize("umask", ["000", "022", "777"])
@pytest.mark.parametrize(
    ("access", "file", "folder"), [("none", 0o600, 0o700), ("read", 0o640, 0o750), ("write", 0o660, 0o770)]
)
def test_modes_are_those_of_the_setting_whatever_the_umask(
    umask: str, access: str, file: int, folder: int, tmp_path: Path
) -> None:
    code = (
        "import os, sys\n"
        f"os.umask(0o{umask})\n"
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import SimpleSpanProcessor\n"
        "import otel_convlog as c\n"
        "provider = TracerProvider()\n"
        f"options = {{'directory': {str(tmp_path / 'log')!r}, 'group_access': {access!r}, 'content': 'metadata'}}\n"
        "exporter = c.ConversationSpanExporter(**options)\n"
        "provider.add_span_processor(SimpleSpanProcessor(exporter))\n"
        "trace.set_tracer_provider(provider)\n"
        "for n in range(2):\n"
        "    c.Turn(route='chat', client_model='m', backend='b', stream=False, client_request={}).finalize()\n"
        f"for path in [exporter.directory, *exporter.directory.rglob('*')]:\n"
        "    print(oct(path.stat().st_mode & 0o777), path.is_dir(), path.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    rows = [line.split(" ", 2) for line in done.stdout.splitlines()]
    assert {name.partition("-")[0] for _, _, name in rows} >= {"log", "catalog.sqlite3", "privacy.key"}
    for mode, is_folder, name in rows:
        assert int(mode, 8) == (folder if is_folder == "True" else file), name
