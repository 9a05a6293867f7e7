"""Any number of calls, described by any of the ways in which instrumentations describe them, at any times."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

from conversation_log import read_document
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags

from otel_convlog import ConversationSpanExporter
from otel_convlog.assembly import assembler

_START_NS = 1_700_000_000_000_000_000
_MS = 1_000_000


@dataclass
class Call:
    """One call of a model.

    Attributes:
        way: How it is described.
        begin: When it begins, in milliseconds; likewise `length`.
        question: Of a few, so that some are the same; likewise `answer_id`.
    """

    way: str
    begin: int
    length: int
    question: int
    answer_id: int
    within: str
    asked: str = field(init=False)

    def __post_init__(self) -> None:
        # What two instrumentations say in the same words at the same time is taken for one call; one says it once.
        self.asked = f"{self.way}: question {self.question}"


_WAYS = ("plain", "library", "library in another trace", "framework", "framework in another trace", "stream", "failed")
_CALLS = st.lists(
    st.builds(
        Call,
        st.sampled_from(_WAYS),
        st.integers(0, 400),
        st.integers(20, 200),
        st.integers(0, 2),
        st.integers(0, 2),
        st.sampled_from(["nothing", "request", "agent"]),
    ),
    min_size=1,
    max_size=8,
)


class Spans:
    """The spans that describe calls, in the order in which they end."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._spans: list[ReadableSpan] = []

    def in_order(self) -> list[ReadableSpan]:
        return sorted(self._spans, key=lambda span: span.end_time or 0)

    def context(self, parent: SpanContext | None = None) -> SpanContext:
        span_id = next(self._ids)
        trace_id = parent.trace_id if parent is not None else 1_000_000 + span_id
        return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1))

    def add(
        self, scope: str, attributes: dict[str, Any], begin_us: int, end_us: int, parent: SpanContext | None = None
    ) -> SpanContext:
        context = self.context(parent)
        self._spans.append(
            ReadableSpan(
                f"span of {scope}",
                context=context,
                parent=parent,
                attributes=attributes,
                start_time=_START_NS + begin_us * 1000,
                end_time=_START_NS + end_us * 1000,
                instrumentation_scope=InstrumentationScope(scope, "1"),
            )
        )
        return context


def describe(calls: list[Call]) -> list[ReadableSpan]:
    spans = Spans()
    for number, call in enumerate(calls):
        # No two begin or end at once: clocks tell nanoseconds.
        begin, end = call.begin * 1000 + number * 7, (call.begin + call.length) * 1000 + number * 7
        parent = None
        if call.within != "nothing":
            kind = {"http.route": "/ask"} if call.within == "request" else {"gen_ai.operation.name": "invoke_agent"}
            parent = spans.add(call.within, kind, begin - 3, end + 3)
        known = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}
        asked = {"gen_ai.input.messages": messages("user", call.asked)}
        answered = {
            "gen_ai.output.messages": messages("assistant", f"the answer to {call.asked}"),
            "gen_ai.response.id": f"chatcmpl-{call.answer_id}",
        }
        whole = {**known, **asked, **answered}
        if call.way == "failed":
            spans.add("client", {**known, **asked, "error.type": "500"}, begin, end, parent)
        elif call.way == "stream":
            log = {"logfire.span_type": "log", "logfire.msg_template": "streaming response from x"}
            beginning = {**known, **asked, "logfire.span_type": "span"}
            spans.add("logfire.openai", beginning, begin, begin + 1, parent)
            del answered["gen_ai.response.id"]
            spans.add("logfire.openai", {**known, **asked, **answered, **log}, end, end)
        else:
            outer = spans.add("client", whole, begin, end, parent)
            own_trace = call.way.endswith("another trace")
            if call.way.startswith("library"):
                bare = {**known, "gen_ai.response.id": answered["gen_ai.response.id"]}
                spans.add("library", bare, begin + 1, end - 1, None if own_trace else outer)
            elif call.way.startswith("framework"):
                inner = dict(whole)
                if own_trace:
                    del inner["gen_ai.response.id"]
                spans.add("wire", inner, begin + 1, end - 1, None if own_trace else outer)
    return spans.in_order()


def messages(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def logged(spans: list[ReadableSpan], sizes: list[int], directory: Path) -> list[dict[str, Any]]:
    exporter = ConversationSpanExporter(directory=directory)
    exporter.wait_for_twins()
    position = 0
    with patch.object(assembler, "monotonic", return_value=0.0):  # no call waits too long, however busy the machine is
        for size in [*sizes, len(spans)]:
            exporter.export(spans[position : position + size])
            position += size
        exporter.shutdown()
    return [turn for path in directory.glob("*/*.json") for turn in read_document(path)["turns"]]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(_CALLS, st.lists(st.integers(1, 5), max_size=8))
def test_every_call_is_one_turn(calls: list[Call], sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        turns = logged(describe(calls), sizes, Path(name))
    asked = sorted(turn["client_request"]["messages"][0]["content"] for turn in turns)
    assert asked == sorted(call.asked for call in calls)
    assert sum(turn["error"] is not None for turn in turns) == sum(call.way == "failed" for call in calls)
    for turn in turns:
        if turn["error"] is None:
            (choice,) = turn["client_response"]["choices"]
            assert choice["message"]["content"] == f"the answer to {turn['client_request']['messages'][0]['content']}"
