"""Whatever a span holds, it is read or passed over; nothing else is lost, and the files stay what they are."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from otel_convlog import ConversationSpanExporter
from otel_convlog.readers import gen_ai, openinference
from otel_convlog.readers.gen_ai_content import CONTENT
from otel_convlog.store import read_document

_NAMES = sorted(
    {
        *gen_ai.MARKS,
        *openinference.MARKS,
        *CONTENT,
        *gen_ai.USAGE,
        *openinference.USAGE,
        "gen_ai.prompt.0.role",
        "gen_ai.prompt.0.content",
        "gen_ai.prompt.1.tool_calls.0.arguments",
        "gen_ai.prompt.x.y",
        "gen_ai.completion.0",
        "gen_ai.completion.7.role",
        "llm.request.functions.0.parameters",
        "llm.input_messages.0.message.content",
        "llm.input_messages.0.message.contents.0.message_content.image.image.url",
        "llm.input_messages.0.message.tool_calls.0.tool_call.function.name",
        "llm.output_messages.3.message.role",
        "llm.tools.0.tool.json_schema",
        "llm.prompts",
        "llm.invocation_parameters",
        "input.value",
        "input.mime_type",
        "output.value",
        "metadata",
        "session.id",
        "gen_ai.conversation.id",
        "gen_ai.response.finish_reasons",
        "gen_ai.request.temperature",
        "gen_ai.usage.raw",
        "gen_ai.request.stream",
        "error.type",
        "logfire.span_type",
        "logfire.msg_template",
        "http.request.header.authorization",
        "llm.headers",
        "url.full",
    }
)
_WORDS = st.sampled_from(
    ["chat", "LLM", "AGENT", "span", "log", "user", "assistant", "tool", "text", "openai", "streaming response from x"]
)
_TEXT = st.one_of(st.text(max_size=8), _WORDS, st.just("\ud800"), st.just("../../etc"), st.just("\0"))
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                _TEXT,
                st.sampled_from(
                    ["role", "parts", "content", "type", "messages", "tool_calls", "choices", "message", "id", "text"]
                ),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)
_MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.one_of(_WORDS, _JSON)}, optional={"parts": _JSON, "content": _JSON, "name": _JSON}
    ),
    max_size=3,
)
_VALUES = st.one_of(
    _TEXT,
    st.integers(),
    st.booleans(),
    st.floats(),
    st.binary(max_size=4),
    st.none(),
    st.lists(_TEXT, max_size=2).map(tuple),
    _JSON,
    _JSON.map(lambda value: json.dumps(value, default=str)),
    _MESSAGES.map(json.dumps),
    _MESSAGES,
    _MESSAGES.map(lambda value: json.dumps({"model": "m", "messages": value})),
    _MESSAGES.map(lambda value: json.dumps(value)[:-3]),
    st.just("[" * 3_000 + "]" * 3_000),
    st.just("9" * 5_000),
)
_ATTRIBUTES = st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=10)


class _Collector(logging.Handler):
    def __init__(self, into: list[logging.LogRecord]) -> None:
        super().__init__(logging.ERROR)
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        self._into.append(record)


def span_of(
    attributes: dict[str, Any] | None,
    events: list[tuple[str, dict[str, Any] | None]],
    number: int = 1,
    *,
    nested: bool = False,
    ended: bool = True,
) -> ReadableSpan:
    context = SpanContext(7, number, is_remote=False, trace_flags=TraceFlags(1))
    return ReadableSpan(
        "chat",
        context=context,
        parent=SpanContext(7, number + 1, is_remote=False) if nested else None,
        attributes=attributes,
        events=[Event(name, attributes, 5) for name, attributes in events],
        status=Status(StatusCode.ERROR) if "error.type" in (attributes or {}) else Status(),
        start_time=1_700_000_000_000_000_000 + number,
        end_time=1_700_000_000_000_000_500 + number if ended else None,
        instrumentation_scope=InstrumentationScope("x", None),
    )


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            _ATTRIBUTES,
            st.lists(
                st.tuples(
                    st.sampled_from(
                        [
                            "gen_ai.user.message",
                            "gen_ai.choice",
                            "gen_ai.content.prompt",
                            "gen_ai.input.messages",
                            "gen_ai.client.inference.operation.details",
                            "exception",
                        ]
                    ),
                    st.one_of(
                        st.none(),
                        st.dictionaries(st.sampled_from([*_NAMES, "content", "message", "role"]), _VALUES, max_size=3),
                    ),
                ),
                max_size=2,
            ),
            st.booleans(),
            st.booleans(),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_any_span_is_read_or_passed_over(
    spans: list[tuple[dict[str, Any], list[tuple[str, dict[str, Any] | None]], bool, bool]],
) -> None:
    lost: list[logging.LogRecord] = []
    handler = _Collector(lost)
    logging.getLogger("otel_convlog").addHandler(handler)
    try:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name) / "log"
            exporter = ConversationSpanExporter(directory=directory)
            good = span_of({"gen_ai.request.model": "m", "gen_ai.prompt": "hello", "gen_ai.completion": "hi"}, [], 99)
            hostile = [
                span_of(attributes, events, number, nested=nested, ended=ended)
                for number, (attributes, events, nested, ended) in enumerate(spans)
            ]
            assert exporter.export([*hostile, good]) is SpanExportResult.SUCCESS
            exporter.shutdown()
            turns: list[Any] = []
            for path in directory.glob("*/*.json"):
                turns += read_document(path)["turns"]  # type: ignore[arg-type]  # it is a list
            assert [turn for turn in turns if turn["otel"]["span_id"] == f"{99:016x}"]
            assert {path.name for path in Path(name).iterdir()} <= {"log"}
    finally:
        logging.getLogger("otel_convlog").removeHandler(handler)
    assert not [record.getMessage() + str(record.exc_info) for record in lost]


@pytest.mark.parametrize(
    "text",
    [
        '[{"type": ["text"], "text": "x"}]',
        '[{"role": ["system"], "parts": [{"type": {}, "content": "x"}]}]',
        '[{"type": "function_call", "arguments": 1}, {"type": "reasoning", "summary": 2}]',
    ],
)
@pytest.mark.parametrize("provider", ["openai", "anthropic", "gcp.gemini"])
def test_a_type_or_role_of_any_shape_costs_no_turn(provider: str, text: str, tmp_path: Path) -> None:
    names = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions")
    exporter = ConversationSpanExporter(directory=tmp_path)
    exporter.export([span_of({"gen_ai.provider.name": provider, **dict.fromkeys(names, text)}, [])])
    exporter.shutdown()
    (path,) = tmp_path.glob("*/*.json")
    assert read_document(path)["turn_count"] == 1


@pytest.mark.parametrize(
    "values", [("[" * 3_000, "{'a': "), ("[{'role': ['user']}]", "[1, b'\\xff', None, {1: {2}}]"), ("[0][0]", "{**x}")]
)
def test_a_raw_request_of_any_shape_is_read_or_passed_over(values: tuple[str, str], tmp_path: Path) -> None:
    span = span_of({"llm.x.messages": values[0], "llm.x.tools": values[1], "llm.x": 1, "llm..id": "r", "llm": "x"}, [])
    span._name = "raw_gen_ai_request"
    exporter = ConversationSpanExporter(directory=tmp_path)
    good = span_of({"gen_ai.request.model": "m", "gen_ai.prompt": "hello", "gen_ai.completion": "hi"}, [], 99)
    assert exporter.export([span, good]) is SpanExportResult.SUCCESS
    exporter.shutdown()
    (path,) = tmp_path.glob("*/*.json")
    assert read_document(path)["turn_count"] == 1


@pytest.mark.parametrize("attributes", [None, {}])
def test_a_span_without_attributes_is_passed_over(attributes: dict[str, Any] | None, tmp_path: Path) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    assert exporter.export([span_of(attributes, [])]) is SpanExportResult.SUCCESS
    assert exporter.export([ReadableSpan("x", attributes={"gen_ai.prompt": "x"})]) is SpanExportResult.SUCCESS
    exporter.shutdown()
    assert not list(tmp_path.glob("*/*"))
