"""The exporter behind real span processors, and its settings by keyword, by variable and by configuration file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import Log, read_document
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_convlog
from otel_convlog import ConversationSpanExporter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

_START: dict[str, Any] = {"route": "chat", "client_model": "gpt-5", "backend": "openai", "stream": False}


def _turn(conversation_id: str, **more: Any) -> None:
    request = {"conversation_id": conversation_id, "messages": [{"role": "user", "content": "hi"}]}
    otel_convlog.finalize_turn(otel_convlog.start_turn(**_START, client_request=request, **more))


def _recorded_spans(count: int) -> Sequence[ReadableSpan]:
    """Return spans of turns that no exporter has written yet."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    for _ in range(count):
        _turn("c")
    return memory.get_finished_spans()


def test_other_spans_are_no_turns(log: Log) -> None:
    with trace.get_tracer("app").start_as_current_span("GET /", attributes={"convlog": "x", "gen_ai.system": "openai"}):
        pass
    assert log.files() == []
    assert log.exporter.turns_written == log.exporter.turns_failed == 0


def test_simple_processor_calls_from_many_threads_lose_nothing(log: Log) -> None:
    def work(thread: int) -> None:
        for number in range(40):
            _turn(f"c{number % 3}", metadata={"n": [thread, number]})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    documents = [read_document(path) for path in log.files()]
    assert len(documents) == 3
    seen = [turn["metadata"]["n"] for document in documents for turn in document["turns"]]
    assert sorted(seen) == [[thread, number] for thread in range(8) for number in range(40)]
    assert log.exporter.turns_written == 320


def test_batch_processor_s_turns_stand_in_their_order(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    log = Log(tmp_path)
    log.provider.add_span_processor(BatchSpanProcessor(log.exporter))
    trace.set_tracer_provider(log.provider)
    for number in range(300):
        _turn(f"c{number % 2}", metadata={"n": number})
    log.provider.shutdown()
    for index, path in enumerate(log.files()):
        turns = read_document(path)["turns"]
        assert [turn["metadata"]["n"] for turn in turns] == list(range(index, 300, 2))


def test_the_same_span_exported_twice_is_one_turn(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    spans = _recorded_spans(3)
    first, second = Log(tmp_path), ConversationSpanExporter(directory=tmp_path)
    assert first.exporter.export(spans) is SpanExportResult.SUCCESS
    before = first.document()
    assert first.exporter.export([spans[1], spans[1]]) is SpanExportResult.SUCCESS
    assert second.export([spans[0]]) is SpanExportResult.SUCCESS  # another process has never seen it
    after = first.document()
    assert after["turns"] == before["turns"]


def test_one_conversation_that_fails_does_not_take_the_others_with_it(log: Log) -> None:
    _turn("good")
    day = log.files()[0].parent
    (day / "bad.json").symlink_to(day / "elsewhere")
    _turn("bad")
    _turn("good")
    assert len(read_document(day / "good.json")["turns"]) == 2
    assert not (day / "elsewhere").exists()
    (day / "bad.json").unlink()
    assert log.exporter.force_flush()
    assert len(read_document(day / "bad.json")["turns"]) == 1


def test_what_the_sdk_s_limits_cut_off_is_said(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    log = Log(tmp_path, span_limits=SpanLimits(max_attribute_length=40))
    log.provider.add_span_processor(SimpleSpanProcessor(log.exporter))
    trace.set_tracer_provider(log.provider)
    request = {"messages": [{"role": "user", "content": "x" * 100}]}
    otel_convlog.finalize_turn(otel_convlog.start_turn(**_START, client_request=request))
    (turn,) = log.document()["turns"]
    assert turn["client_request"] == json.dumps(request, separators=(",", ":"))[:40]
    assert turn["otel"]["complete"] is False
    assert turn["otel"]["lost"] == {"truncated": ["client_request"]}


def test_a_turn_survives_a_limit_on_the_number_of_attributes(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    log = Log(tmp_path, span_limits=SpanLimits(max_span_attributes=5))
    log.provider.add_span_processor(SimpleSpanProcessor(log.exporter))
    trace.set_tracer_provider(log.provider)
    _turn("c")
    (path,) = log.files()
    (turn,) = read_document(path)["turns"]
    assert turn["otel"]["complete"] is False
    assert turn["otel"]["lost"]["attributes"] > 0


@pytest.mark.parametrize(
    "limits", [SpanLimits(max_attribute_length=100), SpanLimits(max_span_attributes=5)], ids=["length", "count"]
)
def test_turns_that_limits_have_cut_stay_in_their_own_conversations(
    limits: SpanLimits,
    tmp_path: Path,
    no_sdk: None,  # noqa: ARG001
) -> None:
    log = Log(tmp_path, span_limits=limits)
    log.provider.add_span_processor(SimpleSpanProcessor(log.exporter))
    trace.set_tracer_provider(log.provider)
    for user in ("anna", "bert"):
        request = {"messages": [{"role": "user", "content": user + "x" * 200}]}
        for named in ({"session_id": user}, {}):
            turn = otel_convlog.start_turn(**_START, client_request={**request, **named})
            otel_convlog.finalize_turn(turn, usage={"input_tokens": 1, "output_tokens": 2}, duration_ms=3)
    documents = [read_document(path) for path in log.files()]
    assert len(documents) == 4
    assert {"anna", "bert"} < {document["conversation_id"] for document in documents}
    for document in documents:
        (turn_,) = document["turns"]
        assert turn_["otel"]["complete"] is False


def test_stream_events_that_a_limit_has_dropped_are_said(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    log = Log(tmp_path, span_limits=SpanLimits(max_event_attributes=1))
    log.provider.add_span_processor(SimpleSpanProcessor(log.exporter))
    trace.set_tracer_provider(log.provider)
    turn = otel_convlog.start_turn(**{**_START, "stream": True}, client_request={})
    otel_convlog.append_client_event(turn, 1)
    otel_convlog.finalize_turn(turn)
    (recorded,) = log.document()["turns"]
    assert recorded["otel"]["lost"] == {"attributes": 1}


@pytest.mark.parametrize(
    "hostile",
    [
        {"convlog.exact": '{"convlog.route": {"a": 1}, "convlog.backend": ["b"]}'},
        {"convlog.updated_at": "\uff12026-11-23T08:06:10.123456Z"},
        {"convlog.client_request": 5, "convlog.metadata": "{", "convlog.duration_ms": float("nan")},
        {"convlog.usage": "[1", "convlog.exact": "[]", "convlog.stream": "yes"},
    ],
    ids=repr,
)
def test_a_span_with_malformed_attributes_does_not_stop_the_log(hostile: dict[str, Any], log: Log) -> None:
    for attributes in (hostile, {}, hostile):
        base = {"convlog.turn.id": "x", "convlog.route": "chat", "convlog.client_request": '{"session_id":"s"}'}
        with trace.get_tracer("hostile").start_as_current_span("span", attributes={**base, **attributes}):
            pass
    assert sum(read_document(path)["turn_count"] for path in log.files()) == 3
    assert not list(log.directory.glob("*/*.damaged-*"))


def test_what_is_no_list_of_spans_is_a_failure(tmp_path: Path) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    assert exporter.export(None) is SpanExportResult.FAILURE  # type: ignore[arg-type]


def test_otel_says_where_the_turn_comes_from(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    log = Log(tmp_path, resource=Resource.create({"service.name": "my-proxy"}))
    log.provider.add_span_processor(SimpleSpanProcessor(log.exporter))
    trace.set_tracer_provider(log.provider)
    with trace.get_tracer("server").start_as_current_span("POST /v1/chat/completions") as parent:
        _turn("c")
    (turn,) = log.document()["turns"]
    context = parent.get_span_context()
    otel = turn["otel"]
    assert otel["trace_id"] == f"{context.trace_id:032x}"
    assert otel["parent_span_id"] == f"{context.span_id:016x}"
    assert turn["turn_id"] == f"turn_{otel['trace_id'][-8:]}{otel['span_id']}"
    assert (otel["service_name"], otel["sampled"], otel["source"]) == ("my-proxy", True, "turn")
    assert otel["identity"] == "explicit"


@pytest.mark.parametrize(
    ("setting", "kept", "left_out"),
    [("all", list(range(10)), None), ("2", [0, 1, 8, 9], 6), (5, list(range(10)), None), ("none", [], 10)],
)
def test_stream_events_keeps_both_ends(
    setting: str | int,
    kept: list[int],
    left_out: int | None,
    tmp_path: Path,
    no_sdk: None,  # noqa: ARG001
) -> None:
    provider = TracerProvider()
    provider.add_span_processor(
        SimpleSpanProcessor(ConversationSpanExporter(directory=tmp_path, stream_events=setting))
    )
    trace.set_tracer_provider(provider)
    turn = otel_convlog.start_turn(**{**_START, "stream": True}, client_request={})
    for number in range(10):
        otel_convlog.append_client_event(turn, number)
    otel_convlog.finalize_turn(turn)
    (path,) = tmp_path.glob("*/*.json")
    (recorded,) = read_document(path)["turns"]
    assert recorded["stream_trace"]["client_events"] == kept
    assert recorded["otel"].get("client_events_left_out") == left_out
    assert len(recorded["otel"].get("client_offsets_ms", [])) == len(kept)


def test_keyword_beats_variable_beats_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ConversationSpanExporter().directory == tmp_path / "data" / "conversations"
    monkeypatch.setenv("OTEL_EXPORTER_CONVLOG_DIRECTORY", "")
    assert ConversationSpanExporter().directory == tmp_path / "data" / "conversations"
    monkeypatch.setenv("OTEL_EXPORTER_CONVLOG_DIRECTORY", "from-env")
    assert ConversationSpanExporter().directory == tmp_path / "from-env"
    assert ConversationSpanExporter(directory=tmp_path / "keyword").directory == tmp_path / "keyword"


def test_a_variable_that_cannot_be_read_is_named_and_ignored(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_CONVLOG_STREAM_EVENTS", "-3")
    ConversationSpanExporter()
    assert "OTEL_EXPORTER_CONVLOG_STREAM_EVENTS must be all, none or a number; ignoring '-3'" in caplog.text


@pytest.mark.parametrize(
    "keywords", [{"stream_events": "some"}, {"directory": 5}, {"directory": "a\0b"}, {"directory": "~no-such-user/x"}]
)
def test_a_keyword_that_cannot_be_used_raises(keywords: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(keywords))):
        ConversationSpanExporter(**keywords)


def test_the_entry_point_is_the_exporter() -> None:
    (entry,) = entry_points(group="opentelemetry_traces_exporter", name="convlog")
    assert entry.load() is ConversationSpanExporter


_PROXY = """
import otel_convlog
for number in range(3):
    turn = otel_convlog.start_turn(
        route="chat", client_model="gpt-5", backend="openai", stream=False,
        client_request={"session_id": "s", "messages": [{"role": "user", "content": "hi"}]},
    )
    assert turn is not None
    for event in range(4):
        otel_convlog.append_upstream_event(turn, event)
    otel_convlog.finalize_turn(turn)
"""


def _run_instrumented(script: str, tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "proxy.py").write_text(script)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, "proxy.py"],
        cwd=tmp_path,
        env={**environment, "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_opentelemetry_instrument_switches_it_on_beside_another_exporter(tmp_path: Path) -> None:
    result = _run_instrumented(
        _PROXY,
        tmp_path,
        OTEL_TRACES_EXPORTER="console,convlog",
        OTEL_EXPORTER_CONVLOG_DIRECTORY="log",
        OTEL_SERVICE_NAME="my-proxy",
    )
    (path,) = (tmp_path / "log").glob("*/s.json")
    document = read_document(path)
    assert document["turn_count"] == 3
    assert document["turns"][0]["otel"]["service_name"] == "my-proxy"
    assert result.stdout.count('"name": "convlog.turn"') == 3


def test_opentelemetry_configuration_builds_it_from_the_readme_s_yaml(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    configuration = readme.partition("```yaml\n")[2].partition("```")[0]
    assert configuration.count("directory: data/conversations") == 1
    other = "            stream_events: 1\n    - simple:\n        exporter:\n          console: {}\n"
    (tmp_path / "otel.yaml").write_text(configuration.replace("data/conversations", "yaml-log") + other)
    result = _run_instrumented(_PROXY, tmp_path, OTEL_CONFIG_FILE="otel.yaml")
    (path,) = (tmp_path / "yaml-log").glob("*/s.json")
    document = read_document(path)
    assert document["turn_count"] == 3
    assert document["turns"][0]["stream_trace"]["upstream_events"] == [0, 3]
    assert result.stdout.count('"name": "convlog.turn"') == 3
