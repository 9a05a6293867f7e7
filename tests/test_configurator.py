"""``OTEL_PYTHON_CONFIGURATOR=convlog``: whole turns in the log, lean and sampled traces elsewhere; and its pieces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import read_document
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

import otel_convlog
from otel_convlog import ConversationSpanExporter, ConversationSpanProcessor, fit_for_turns, without_turn_content

if TYPE_CHECKING:
    from collections.abc import Iterator

# A proxy's turns: 300 KB each, with secrets and words that nobody else shall see; and a span of its HTTP client.
_PROXY = """
import otel_convlog
from opentelemetry import trace

for number in range(TURNS):
    with otel_convlog.Turn(
        route="chat", client_model="gpt-5", backend="openai", stream=True,
        client_request={"session_id": "s", "messages": [{"role": "user", "content": "PAYLOAD " * 37_500}]},
        request_headers={"authorization": "Bearer SECRET-KEY", "x-note": "HEADER-TEXT"},
        target_url="https://user:SECRET-PASSWORD@example.com/v1/@chat?key=URL-SECRET",
        metadata={"number": number, "note": "METADATA-TEXT"},
    ) as turn:
        with trace.get_tracer("http").start_as_current_span("POST") as span:
            span.set_attribute("http.request.method", "POST")
        turn.attach_upstream_request({"messages": "UPSTREAM-TEXT"}, {"api-key": "SECRET-KEY"})
        for event in range(5):
            turn.append_upstream_event({"text": "EVENT-TEXT"})
        turn.attach_upstream_response({"id": "resp-1", "model": "gpt-5-2026", "output": "ANSWER-TEXT"})
        if number == 0:
            try:
                raise RuntimeError("EXCEPTION-TEXT")
            except RuntimeError as error:
                turn.span.record_exception(error)
                turn.attach_error({"type": "overloaded", "message": "ERROR-TEXT"})
        turn.finalize(usage={"prompt_tokens": 12, "completion_tokens": 3})
"""
_SECRETS = (
    *(b"PAYLOAD", b"SECRET", b"HEADER-TEXT", b"METADATA-TEXT", b"UPSTREAM-TEXT", b"EVENT-TEXT", b"ANSWER-TEXT"),
    *(b"EXCEPTION-TEXT", b"ERROR-TEXT"),
)


class Receiver:
    """An OTLP receiver on the loopback."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"

    def spans(self) -> list[Any]:
        found = []
        for body in self.bodies:
            request = ExportTraceServiceRequest.FromString(body)
            found += [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]
        return found

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def run(directory: Path, script: str, **variables: str) -> str:
    """Run a proxy under ``opentelemetry-instrument``; return what it has said on standard error."""
    (directory / "proxy.py").write_text(script)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, "proxy.py"],
        cwd=directory,
        env={
            **environment,
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_TRACES_EXPORTER": "otlp,convlog",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_PYTHON_CONFIGURATOR": "convlog",
            "OTEL_EXPORTER_CONVLOG_DIRECTORY": str(directory / "log"),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def logged_turns(directory: Path) -> list[dict[str, Any]]:
    return [turn for path in (directory / "log").glob("*/s.json") for turn in read_document(path)["turns"]]


def test_the_log_gets_whole_turns_and_an_otlp_receiver_lean_spans(tmp_path: Path, receiver: Receiver) -> None:
    run(tmp_path, _PROXY.replace("TURNS", "20"), OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=receiver.endpoint)
    turns = logged_turns(tmp_path)
    assert [turn["metadata"]["number"] for turn in turns] == list(range(20))
    assert all(turn["otel"]["complete"] and turn["otel"]["sampled"] for turn in turns)
    assert len(turns[0]["client_request"]["messages"][0]["content"]) == 300_000
    spans = receiver.spans()
    of_turns = [span for span in spans if span.name == "convlog.turn"]
    assert (len(of_turns), len(spans)) == (20, 40)
    for secret in _SECRETS:
        assert not any(secret in body for body in receiver.bodies), secret
    assert max(span.ByteSize() for span in of_turns) < 4_096
    attributes = {item.key: item.value for item in of_turns[-1].attributes}
    assert attributes["gen_ai.request.model"].string_value == "gpt-5"
    assert attributes["gen_ai.response.model"].string_value == "gpt-5-2026"
    assert attributes["gen_ai.usage.input_tokens"].int_value == 12
    assert attributes["gen_ai.conversation.id"].string_value == "s"
    assert attributes["convlog.target_url"].string_value == "https://example.com/v1/@chat"
    (child,) = (span for span in spans if span.parent_span_id == of_turns[-1].span_id)
    assert child.name == "POST"
    (failed,) = (span for span in of_turns if span.events)
    assert [event.name for event in failed.events] == ["exception"]


@pytest.mark.parametrize(("ratio", "least", "most"), [("0.0", 0, 0), ("0.1", 1, 60)])
def test_turns_of_traces_that_are_not_sampled_are_logged(
    ratio: str, least: int, most: int, tmp_path: Path, receiver: Receiver
) -> None:
    run(
        tmp_path,
        _PROXY.replace("TURNS", "200").replace("37_500", "1"),
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=receiver.endpoint,
        OTEL_TRACES_SAMPLER="traceidratio",
        OTEL_TRACES_SAMPLER_ARG=ratio,
    )
    turns = logged_turns(tmp_path)
    assert len(turns) == 200
    seen = {span.trace_id for span in receiver.spans()}
    assert least <= len(seen) <= most
    assert {bytes.fromhex(turn["otel"]["trace_id"]) for turn in turns if turn["otel"]["sampled"]} == seen


_LIMITS = {
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "100",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "5",
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "0",
}


def test_no_limit_of_the_sdk_cuts_a_turn(tmp_path: Path, receiver: Receiver) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": receiver.endpoint}
    run(tmp_path, _PROXY.replace("TURNS", "2"), **endpoint, **_LIMITS)
    for turn in logged_turns(tmp_path):
        assert turn["otel"]["complete"]
        assert len(turn["stream_trace"]["upstream_events"]) == 5
        assert len(turn["client_request"]["messages"][0]["content"]) == 300_000


def test_what_limits_have_cut_is_said(tmp_path: Path, receiver: Receiver) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": receiver.endpoint}
    said = run(tmp_path, _PROXY.replace("TURNS", "2"), **endpoint, **_LIMITS, OTEL_EXPORTER_CONVLOG_LIFT_LIMITS="false")
    turns = [turn for path in (tmp_path / "log").glob("*/*.json") for turn in read_document(path)["turns"]]
    assert len(turns) == 2
    for turn in turns:
        assert turn["otel"]["complete"] is False
        assert turn["otel"]["lost"]["attributes"] > 5
        assert turn["otel"]["lost"]["events"] >= 1
    assert said.count("a limit has cut a turn") == 1
    assert "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" in said
    assert "OTEL_SPAN_EVENT_COUNT_LIMIT" in said


def test_text_that_was_cut_is_kept_as_text(tmp_path: Path) -> None:
    script = _PROXY.replace("TURNS", "1").replace("/v1/@chat?key", "/v1/" + "long/" * 40 + "?key")
    limit = {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "100", "OTEL_EXPORTER_CONVLOG_LIFT_LIMITS": "false"}
    said = run(tmp_path, script, OTEL_TRACES_EXPORTER="convlog", **limit)
    (turn,) = logged_turns(tmp_path)
    assert turn["client_request"].startswith('{"session_id":"s","messages":[{"role":"user","content":"PAYLOAD PAYLOAD')
    assert turn["otel"]["complete"] is False
    lost = turn["otel"]["lost"]["truncated"]
    assert {"client_request", "target_url", "upstream_events"} <= set(lost)
    assert "stream_summary" not in lost
    assert "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT" in said


def test_each_piece_can_be_switched_off(tmp_path: Path, receiver: Receiver) -> None:
    run(
        tmp_path,
        _PROXY.replace("TURNS", "2").replace("37_500", "100"),
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=receiver.endpoint,
        OTEL_TRACES_SAMPLER="always_off",
        OTEL_EXPORTER_CONVLOG_KEEP_UNSAMPLED="false",
    )
    assert logged_turns(tmp_path) == []
    run(
        tmp_path,
        _PROXY.replace("TURNS", "2").replace("37_500", "100"),
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=receiver.endpoint,
        OTEL_EXPORTER_CONVLOG_LEAN_EXPORTERS="false",
        OTEL_EXPORTER_CONVLOG_OWN_PROCESSOR="false",
    )
    assert len(logged_turns(tmp_path)) == 2
    assert any(b"PAYLOAD" in body for body in receiver.bodies)


def test_a_configuration_file_is_fitted_too(tmp_path: Path) -> None:
    configuration = """
file_format: "1.0"
tracer_provider:
  sampler:
    always_off:
  processors:
    - batch:
        exporter:
          convlog:
            directory: log
    - simple:
        exporter:
          console:
"""
    (tmp_path / "otel.yaml").write_text(configuration)
    run(tmp_path, _PROXY.replace("TURNS", "2").replace("37_500", "1"), OTEL_CONFIG_FILE="otel.yaml")
    assert len(logged_turns(tmp_path)) == 2


def test_a_provider_is_fitted_by_hand(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    provider = TracerProvider()
    memory = InMemorySpanExporter()
    provider.add_span_processor(BatchSpanProcessor(ConversationSpanExporter(directory=tmp_path)))
    provider.add_span_processor(BatchSpanProcessor(memory))
    own = ConversationSpanProcessor(directory=tmp_path / "second")
    provider.add_span_processor(own)
    fit_for_turns(provider)
    trace.set_tracer_provider(provider)
    with otel_convlog.Turn(
        route="chat", client_model="m", backend="b", stream=False, client_request={"session_id": "s", "text": "SECRET"}
    ):
        pass
    provider.shutdown()
    for directory in (tmp_path, tmp_path / "second"):
        (path,) = directory.glob("*/s.json")
        assert read_document(path)["turns"][0]["client_request"]["text"] == "SECRET"
    (span,) = memory.get_finished_spans()
    assert "SECRET" not in span.to_json()


def test_a_wrapped_exporter_leaves_the_span_of_others_as_it_is(no_sdk: None) -> None:  # noqa: ARG001
    whole, lean = InMemorySpanExporter(), InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(without_turn_content(lean)))
    provider.add_span_processor(SimpleSpanProcessor(whole))
    trace.set_tracer_provider(provider)
    with otel_convlog.Turn(route="chat", client_model="m", backend="b", stream=False, client_request="SECRET"):
        pass
    with provider.get_tracer("other").start_as_current_span("chat gpt-5", kind=SpanKind.CLIENT) as span:
        span.set_attribute("gen_ai.input.messages", "WORDS")
    turn, other = whole.get_finished_spans()
    assert (turn.attributes or {})["convlog.client_request"] == '"SECRET"'
    lean_turn, lean_other = lean.get_finished_spans()
    assert "SECRET" not in lean_turn.to_json()
    assert lean_turn.context == turn.context
    assert (lean_turn.start_time, lean_turn.end_time) == (turn.start_time, turn.end_time)
    assert lean_other is other  # it is not ours
    assert without_turn_content(lean).force_flush()
    provider.shutdown()


@pytest.mark.parametrize("vocabulary", ["genai", "openinference", "traceloop", "logfire"])
def test_the_words_of_other_vocabularies_can_be_left_out_too(vocabulary: str, no_sdk: None) -> None:  # noqa: ARG001
    attributes: dict[str, dict[str, str]] = {
        "genai": {
            "gen_ai.input.messages": "WORDS",
            "gen_ai.output.messages": "WORDS",
            "gen_ai.system_instructions": "WORDS",
        },
        "openinference": {
            "llm.input_messages.0.message.content": "WORDS",
            "input.value": "WORDS",
            "output.value": "WORDS",
        },
        "traceloop": {
            "gen_ai.prompt.0.content": "WORDS",
            "traceloop.entity.input": "WORDS",
            "gen_ai.tool.definitions": "WORDS",
        },
        "logfire": {"request_data": "WORDS", "response_data": "WORDS", "events": "WORDS", "logfire.msg": "WORDS"},
    }
    lean = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(without_turn_content(lean, genai=True)))
    with provider.get_tracer("llm").start_as_current_span("chat") as span:
        span.set_attributes({**attributes[vocabulary], "gen_ai.request.model": "gpt-5", "tool.name": "look"})
        span.add_event("gen_ai.user.message", {"content": "WORDS"})
    with provider.get_tracer("llm").start_as_current_span("chat") as span:
        span.add_event("gen_ai.choice", {"message": "WORDS"})
    with provider.get_tracer("http").start_as_current_span("GET /") as span:
        span.add_event("retry", {"reason": "PLAIN"})
    found = [json.loads(span.to_json()) for span in lean.get_finished_spans()]
    assert "WORDS" not in json.dumps(found)
    assert found[0]["attributes"] == {"gen_ai.request.model": "gpt-5", "tool.name": "look"}
    assert found[2]["events"][0]["attributes"] == {"reason": "PLAIN"}
    provider.shutdown()


def test_a_processor_whose_exporter_cannot_be_wrapped_is_named_and_costs_the_others_nothing(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    no_sdk: None,  # noqa: ARG001
) -> None:
    class WithoutOne(SpanProcessor):
        pass

    class WithAFixedOne(SpanProcessor):
        @property
        def span_exporter(self) -> InMemorySpanExporter:
            return InMemorySpanExporter()

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(ConversationSpanExporter(directory=tmp_path)))
    provider.add_span_processor(WithoutOne())
    provider.add_span_processor(WithAFixedOne())
    fit_for_turns(provider)
    for name in ("WithoutOne", "WithAFixedOne"):
        assert f"{name} gets turns with their content" in caplog.text
    trace.set_tracer_provider(provider)
    with otel_convlog.Turn(
        route="chat", client_model="m", backend="b", stream=False, client_request={"session_id": "s"}
    ):
        pass
    provider.shutdown()
    (path,) = tmp_path.glob("*/s.json")
    assert read_document(path)["turn_count"] == 1
