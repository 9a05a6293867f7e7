"""One call, one turn: however many spans say something of it, and in whatever order they come."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import read_document
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from recorded_spans import SPANS, load

import otel_convlog
from otel_convlog import ConversationSpanExporter, ConversationSpanProcessor, open_turns
from otel_convlog.assembly import waiting
from otel_convlog.assembly.assembler import TICK_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.trace import Span


def said(role: str, *texts: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]} for text in texts])


def call(question: str = "hello", answer: str | None = "hi there", **more: Any) -> dict[str, Any]:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.input.messages": said("user", question),
        **{name.replace("__", "."): value for name, value in more.items()},
    }
    return attributes if answer is None else {**attributes, "gen_ai.output.messages": said("assistant", answer)}


def bare(**more: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        **{name.replace("__", "."): value for name, value in more.items()},
    }


class Traced:
    """An application whose spans go to a log one by one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.exporter = ConversationSpanExporter(directory=directory)
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        trace.set_tracer_provider(self.provider)
        self.tracer = self.provider.get_tracer("an.instrumentation")

    def span(self, attributes: dict[str, Any] | None = None, name: str = "chat m") -> Any:
        return self.tracer.start_as_current_span(name, attributes=attributes)

    def written(self) -> list[dict[str, Any]]:
        """Return the turns that are in the files now."""
        found = [turn for path in self.directory.glob("*/*.json") for turn in read_document(path)["turns"]]
        return sorted(found, key=lambda turn: str(turn["started_at"]))

    def writes_by_itself(self) -> bool:
        """Say whether a turn comes to be written without anything more."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(ValueError):  # another thread is writing the file
                if self.written():
                    return True
            time.sleep(TICK_S / 10)
        return False

    def turns(self) -> list[dict[str, Any]]:
        self.provider.shutdown()
        return self.written()


@pytest.fixture(autouse=True)
def _no_other_turns() -> None:
    """Calls wait for turns that ended in this process in the last seconds, those of other modules' tests too."""
    open_turns._open.clear()
    open_turns._ended.clear()


@pytest.fixture
def traced(tmp_path: Path, no_sdk: None) -> Iterator[Traced]:  # noqa: ARG001
    traced = Traced(tmp_path)
    yield traced
    traced.provider.shutdown()


def answer_of(turn: dict[str, Any]) -> str:
    content = turn["client_response"]["choices"][0]["message"]["content"]
    assert isinstance(content, str)
    return content


def test_a_root_span_is_written_at_once(traced: Traced) -> None:
    with traced.span(call()):
        pass
    assert len(traced.written()) == 1


def test_the_client_library_s_own_span_inside_adds_what_it_knows(traced: Traced) -> None:
    library = bare(
        gen_ai__response__id="r1", url__full="https://a.example.test/v1/messages", http__response__status_code=200
    )
    with traced.span(call(gen_ai__response__id="r1")), traced.span(library):
        pass
    (turn,) = traced.written()
    assert turn["target_url"] == "https://a.example.test/v1/messages"
    assert turn["metadata"]["http.response.status_code"] == 200
    assert [span["source"] for span in turn["otel"]["spans"]] == ["gen_ai:an.instrumentation"]


def test_the_client_library_s_own_span_in_another_trace_is_the_same_call(traced: Traced) -> None:
    outer = traced.tracer.start_span("chat m", attributes=call(gen_ai__response__id="r1"))
    inner = traced.tracer.start_span("create", attributes=bare(gen_ai__response__id="r1", server__port=1))
    inner.end()
    outer.end()
    (turn,) = traced.turns()
    assert turn["metadata"]["server.port"] == 1


def test_a_bare_span_without_an_id_belongs_to_its_parent(traced: Traced) -> None:
    with traced.span(call(answer=None, error__type="429")), traced.span(bare(error__type="rate_limit", x__y=1)):
        pass
    (turn,) = traced.turns()
    assert turn["metadata"]["x.y"] == 1
    assert turn["error"]["type"] in {"429", "rate_limit"}


def test_the_same_answer_s_id_at_another_time_is_another_call(traced: Traced) -> None:
    for _ in range(3):  # a test's upstream gives the same request the same answer, with the same id
        with traced.span(call(gen_ai__response__id="r1")), traced.span(bare(gen_ai__response__id="r1")):
            pass
    assert len(traced.turns()) == 3


def test_equal_requests_at_once_are_calls_of_their_own(traced: Traced) -> None:
    context = trace.set_span_in_context(trace.INVALID_SPAN)  # each in a trace of its own
    outer = [traced.tracer.start_span("chat m", context, attributes=call(gen_ai__response__id="r1")) for _ in range(4)]
    inner = [
        traced.tracer.start_span("create", context, attributes=bare(gen_ai__response__id="r1", server__port=number))
        for number in range(4)
    ]
    for span in [*inner, *outer]:
        span.end()
    turns = traced.turns()
    assert len(turns) == 4
    assert sorted(turn["metadata"]["server.port"] for turn in turns) == [0, 1, 2, 3]


@pytest.mark.parametrize("ids", ["the same id", "no ids"])
def test_two_instrumentations_around_each_other_are_one_call(ids: str, traced: Traced) -> None:
    known = {"gen_ai__response__id": "r1"} if ids == "the same id" else {}
    outer = call("hello", "hi there", session__id="s1", **known)
    with traced.span(outer), traced.span(call("hello", "hi there", gen_ai__request__top_p=0.5, **known)):
        pass
    (turn,) = traced.turns()
    assert turn["conversation_id"] == "s1"
    assert turn["client_request"]["top_p"] == 0.5


@pytest.mark.parametrize("failed", [False, True], ids=["answered", "failed"])
def test_two_instrumentations_in_traces_of_their_own_are_one_call(
    failed: bool,
    tmp_path: Path,
    no_sdk: None,  # noqa: ARG001
) -> None:
    provider = TracerProvider()
    provider.add_span_processor(ConversationSpanProcessor(directory=tmp_path))
    attributes = call("hello", None if failed else "hi there", **({"error__type": "429"} if failed else {}))
    outer = provider.get_tracer("a.framework").start_span("ChatModel", attributes={**attributes, "session.id": "s1"})
    inner = provider.get_tracer("a.client").start_span("chat", attributes={**attributes, "server.port": 1})
    inner.end()
    outer.end()
    provider.shutdown()
    (path,) = tmp_path.glob("*/*.json")
    (turn,) = read_document(path)["turns"]
    assert (turn["conversation_id"], turn["metadata"]["server.port"]) == ("s1", 1)


def test_the_same_words_one_after_another_are_two_calls(traced: Traced) -> None:
    for name in ("a.framework", "a.client"):
        traced.provider.get_tracer(name).start_span("chat", attributes=call()).end()
    assert len(traced.turns()) == 2


def test_openinference_around_gen_ai_is_one_call(traced: Traced) -> None:
    whole = {
        "openinference.span.kind": "LLM",
        "input.value": json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}], "user": "u"}),
        "input.mime_type": "application/json",
        "output.value": "hi there",
    }
    with traced.span(whole), traced.span(call(gen_ai__usage__input_tokens=3)):
        pass
    (turn,) = traced.turns()
    assert turn["usage"] == {"input_tokens": 3}
    assert answer_of(turn) == "hi there"


def test_tries_within_one_call_are_one_turn(traced: Traced) -> None:
    with traced.span(call()):
        with traced.span(call(answer=None, error__type="500")):
            pass
        with traced.span(call(gen_ai__response__id="r2")):
            pass
    (turn,) = traced.turns()
    assert turn["client_response"]["id"] == "r2"
    assert turn["error"] is None
    assert len(turn["otel"]["spans"]) == 2


@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "without ids"])
def test_a_call_within_another_that_says_something_else_is_its_own(ids: bool, traced: Traced) -> None:
    outer, inner = ({"gen_ai__response__id": name} if ids else {} for name in ("r1", "r2"))
    weather = call("what is the weather", "21 degrees", **outer)
    with traced.span(weather), traced.span(call("translate: weather", "Wetter", **inner)):
        pass
    assert sorted(map(answer_of, traced.turns())) == ["21 degrees", "Wetter"]


_AROUND = [
    {"gen_ai.operation.name": "invoke_agent", "gen_ai.input.messages": said("user", "hello", "again")},
    {"openinference.span.kind": "AGENT", "input.value": "hello", "output.value": "hi there"},
    {"openinference.span.kind": "CHAIN", "input.value": "hello", "output.value": "hi there"},
    {"traceloop.span.kind": "workflow", "traceloop.entity.input": "hello"},
    {"ai.operationId": "ai.generateText", "ai.prompt": "hello", "ai.response.text": "hi there"},
    {"pydantic_ai.all_messages": said("user", "hello"), "agent_name": "a"},
    {"langfuse.observation.type": "agent", "langfuse.observation.input": "hello"},
    {"http.route": "/ask"},
]


@pytest.mark.parametrize(
    "around", _AROUND, ids=lambda around: next(iter(around)) + "=" + str(next(iter(around.values())))[:12]
)
def test_what_stands_around_calls_is_no_turn(around: dict[str, Any], traced: Traced) -> None:
    with traced.span({**around, "session.id": "s1"}, "around"), traced.span(around, "around"):
        for number in range(3):
            with (
                traced.span({"http.method": "GET"}, "a step"),
                traced.span(call(f"question {number}", f"answer {number}")),
            ):
                pass
    turns = traced.turns()
    assert [answer_of(turn) for turn in turns] == ["answer 0", "answer 1", "answer 2"]


def test_an_agent_s_session_is_its_calls(traced: Traced) -> None:
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.conversation.id": "c1", "gen_ai.agent.name": "a"}
    with traced.span(agent, "invoke_agent a"), traced.span(call()):
        pass
    (turn,) = traced.turns()
    assert turn["conversation_id"] == "c1"
    assert "gen_ai.agent.name" not in turn["metadata"]


def test_an_agent_whose_calls_cannot_be_seen_is_a_turn(traced: Traced) -> None:
    with traced.span({**call(), "gen_ai.operation.name": "invoke_agent"}, "invoke_agent a"):
        pass
    (turn,) = traced.turns()
    assert answer_of(turn) == "hi there"


def test_a_tool_that_calls_a_model_is_two_calls(traced: Traced) -> None:
    with traced.span({"openinference.span.kind": "AGENT"}, "agent"):
        with traced.span(call("first", "use the tool")):
            pass
        with (
            traced.span({"openinference.span.kind": "TOOL"}, "tool"),
            traced.span(call("second", "the tool's own answer")),
        ):
            pass
    assert len(traced.turns()) == 2


@pytest.mark.parametrize("scenario", ["chat_stream", "messages_stream", "responses_stream"])
def test_a_stream_in_two_traces_is_one_turn_with_the_times_of_both(scenario: str, tmp_path: Path) -> None:
    spans = load(SPANS / "logfire" / f"{scenario}.jsonl")
    exporter = ConversationSpanExporter(directory=tmp_path)
    first, last = spans[0], next(span for span in spans if span.name.startswith("streaming response"))
    for span in spans:
        exporter.export([span])
        if span is first:
            assert exporter.waiting_bytes > 0
            assert not list(tmp_path.glob("*/*.json"))
        if span is last:  # all that can be known is known
            assert exporter.waiting_bytes == 0
            assert list(tmp_path.glob("*/*.json"))
            break
    (path,) = tmp_path.glob("*/*.json")
    (turn,) = read_document(path)["turns"]
    assert turn["otel"]["span_id"] == f"{first.context.span_id:016x}"
    assert turn["duration_ms"] == round(((last.end_time or 0) - (first.start_time or 0)) / 1e6)


def test_an_answer_that_comes_after_its_call_was_written_amends_the_turn(tmp_path: Path) -> None:
    spans = load(SPANS / "logfire" / "chat_stream.jsonl")
    exporter = ConversationSpanExporter(directory=tmp_path)
    exporter.export(spans[:1])
    exporter._assembler.flush(last=True)
    exporter.export(spans[:1])  # again, now that nothing waits
    exporter.shutdown()
    exporter.export(spans[1:2])
    (path,) = tmp_path.glob("*/*.json")
    (turn,) = read_document(path)["turns"]
    assert answer_of(turn).startswith("Answer to: Question 0")


def test_a_call_waits_a_moment_for_the_span_around_it(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_FOR_PARENT_S", 0.05)
    around = traced.tracer.start_span("a request that takes long")
    with trace.use_span(around), traced.span(call()):
        pass
    assert traced.written() == []
    assert traced.exporter.waiting_bytes > 0
    assert traced.writes_by_itself()
    assert len(traced.written()) == 1
    assert traced.exporter.waiting_bytes == 0
    around.set_attributes({"gen_ai.operation.name": "chat", **call()})
    around.end()  # the same call, too late to add anything
    assert len(traced.turns()) == 1


@pytest.mark.parametrize("outer_first", [True, False])
def test_a_call_whose_parent_ended_before_it_began_is_another_one(outer_first: bool, traced: Traced) -> None:
    # Some leave what has failed current, and the same is asked again.
    first = traced.tracer.start_span("chat m", attributes=call(), start_time=10**18)
    with trace.use_span(first):
        again = traced.tracer.start_span("chat m", attributes=call(), start_time=10**18 + 2_000_000)
    for span, ends in [(first, 1_000_000), (again, 3_000_000)][:: 1 if outer_first else -1]:
        span.end(10**18 + ends)
    assert len(traced.turns()) == 2


def test_a_call_that_says_something_else_than_the_one_written_before_within_it_is_a_turn(traced: Traced) -> None:
    outer = traced.tracer.start_span("chat m", attributes=call("what is the weather", "21 degrees"))
    with trace.use_span(outer), traced.span(call("translate: weather", "Wetter")):
        pass
    traced.exporter.force_flush()
    assert len(traced.written()) == 1
    outer.end()
    assert sorted(map(answer_of, traced.turns())) == ["21 degrees", "Wetter"]


def test_a_parent_in_another_process_is_not_waited_for(traced: Traced) -> None:
    remote = NonRecordingSpan(SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
    with trace.use_span(remote), traced.span(call()):
        pass
    (turn,) = traced.written()
    assert turn["otel"]["parent_span_id"] == f"{6:016x}"


@pytest.mark.parametrize("make", [ConversationSpanProcessor, BatchSpanProcessor])
def test_a_flush_writes_what_waits(
    make: Callable[[ConversationSpanExporter], Any],
    tmp_path: Path,
    no_sdk: None,  # noqa: ARG001
) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    provider = TracerProvider()
    provider.add_span_processor(make(exporter))
    tracer = provider.get_tracer("x")
    around = tracer.start_span("around")
    with trace.use_span(around):
        tracer.start_span("chat m", attributes=call()).end()
    assert provider.force_flush()
    exporter.force_flush()  # the batch processor does not pass it on
    assert len(list(tmp_path.glob("*/*.json"))) == 1
    provider.shutdown()


def test_too_many_that_wait_are_written(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    exporter = ConversationSpanExporter(directory=tmp_path, queue_bytes=10_000)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("x")
    with tracer.start_as_current_span("around"):
        for number in range(20):
            tracer.start_span("chat m", attributes=call(f"{number} " + "x" * 1_000)).end()
            assert exporter.waiting_bytes <= 10_000
        assert 8 <= len(list(tmp_path.glob("*/*.json"))) < 20
    provider.shutdown()
    assert len(list(tmp_path.glob("*/*.json"))) == 20


def test_a_forked_child_does_not_write_what_waits_in_its_parent(traced: Traced) -> None:
    with traced.span(None, "around"):
        with traced.span(call("of the parent")):
            pass
        child = os.fork()
        if child == 0:  # pragma: no cover
            status = 1
            try:
                with traced.span(call("of the child")):
                    pass
                traced.provider.shutdown()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
    assert sorted(turn["client_request"]["messages"][0]["content"] for turn in traced.turns()) == [
        "of the child",
        "of the parent",
    ]


def upstream_call(traced: Traced, style: str, failed: bool) -> None:
    """Make an instrumented call, as spans of its own or as a child of what is current."""
    attributes = call("hello", None if failed else "hi there", gen_ai__usage__input_tokens=3)
    if failed:
        attributes["error.type"] = "429"
    else:
        attributes["gen_ai.response.id"] = "r1"
    context = trace.set_span_in_context(trace.INVALID_SPAN) if style == "another trace" else None
    span: Span = traced.tracer.start_span("chat m", context, SpanKind.CLIENT, attributes)
    if failed:
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def proxied(traced: Traced, style: str, *, streamed: bool, failed: bool) -> None:
    """Record a turn of a proxy's, with the instrumented call to its upstream."""
    request = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": streamed}
    turn = otel_convlog.start_turn(route="chat", client_model="m", backend="b", stream=streamed, client_request=request)
    assert turn is not None
    if style == "inside the turn":
        with trace.use_span(turn.span):
            upstream_call(traced, style, failed)
    else:
        upstream_call(traced, style, failed)
    if failed:
        turn.attach_error({"type": "upstream_status", "status_code": 429})
    elif streamed:
        for piece in ("hi", " there"):
            turn.append_upstream_event({"id": "r1", "choices": [{"delta": {"content": piece}}]})
    else:
        turn.attach_upstream_response(
            {"id": "r1", "choices": [{"message": {"role": "assistant", "content": "hi there"}}]}
        )
    otel_convlog.finalize_turn(turn)


@pytest.mark.parametrize("failed", [False, True], ids=["answered", "failed"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("style", ["inside the turn", "the same trace", "another trace"])
def test_a_proxy_s_turn_whose_upstream_call_is_instrumented_is_logged_once(
    style: str, streamed: bool, failed: bool, traced: Traced
) -> None:
    if style == "the same trace":
        with traced.span(None, "a server's request"):
            proxied(traced, style, streamed=streamed, failed=failed)
    else:
        proxied(traced, style, streamed=streamed, failed=failed)
    (turn,) = traced.turns()
    assert turn["otel"]["source"] == "turn"
    assert [span["source"] for span in turn["otel"]["spans"]] == ["gen_ai:an.instrumentation"]
    assert turn["usage"] == {"input_tokens": 3}  # the proxy has given none
    assert turn["backend"] == "b"


def test_a_call_that_comes_after_its_turn_is_no_other(traced: Traced) -> None:
    # LiteLLM makes its spans in a thread of its own, when the answer has long been given.
    turn = otel_convlog.start_turn(route="chat", client_model="m", backend="b", stream=False, client_request={})
    assert turn is not None
    within = time.time_ns()
    turn.attach_upstream_response({"id": "r1", "choices": []})
    otel_convlog.finalize_turn(turn)
    context = trace.set_span_in_context(trace.INVALID_SPAN)
    for response_id in ("r1", "r2"):
        attributes = call(gen_ai__response__id=response_id)
        traced.tracer.start_span("chat m", context, attributes=attributes, start_time=within).end()
    assert [logged["otel"]["source"] for logged in traced.turns()] == ["turn", "gen_ai:an.instrumentation"]


def test_an_agent_whose_calls_have_been_seen_in_other_traces_is_no_turn(traced: Traced) -> None:
    agent = traced.tracer.start_span("invoke_agent a", attributes={**call(), "gen_ai.operation.name": "invoke_agent"})
    with trace.use_span(agent):
        model = traced.provider.get_tracer("an.agent").start_span("chat m", attributes=call())
    context = trace.set_span_in_context(trace.INVALID_SPAN)
    traced.provider.get_tracer("a.client").start_span("chat m", context, attributes=call()).end()
    model.end()
    agent.end()
    (turn,) = traced.turns()
    assert turn["otel"]["source"] == "gen_ai:a.client"


@pytest.mark.parametrize("answer", ["hi there", "something else"])
def test_a_streamed_call_without_an_id_is_the_turn_s_by_its_words(answer: str, traced: Traced) -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    turn = otel_convlog.start_turn(route="chat", client_model="m", backend="b", stream=True, client_request=request)
    context = trace.set_span_in_context(trace.INVALID_SPAN)
    for attributes in (
        {**call("hello", None), "logfire.span_type": "span"},
        {**call("hello", answer), "logfire.msg_template": "streaming response from m"},
    ):
        traced.tracer.start_span("chat m", context, attributes=attributes).end()
    for piece in ("hi", " there"):
        otel_convlog.append_upstream_event(turn, {"id": "r1", "choices": [{"delta": {"content": piece}}]})
    otel_convlog.finalize_turn(turn)
    assert len(traced.turns()) == (1 if answer == "hi there" else 2)


def test_many_turns_of_a_proxy_at_once_are_logged_once_each(traced: Traced) -> None:
    turns = []
    for number in range(8):
        request = {"messages": [{"role": "user", "content": f"question {number}"}]}
        turns.append(
            otel_convlog.start_turn(route="chat", client_model="m", backend="b", stream=False, client_request=request)
        )
    for number in reversed(range(8)):
        context = trace.set_span_in_context(trace.INVALID_SPAN)
        attributes = call(f"question {number}", f"answer {number}", gen_ai__response__id=f"r{number}")
        traced.tracer.start_span("chat m", context, attributes=attributes).end()
    assert traced.written() == []
    for number, turn in enumerate(turns):
        otel_convlog.attach_upstream_response(turn, {"id": f"r{number}", "choices": []})
        otel_convlog.finalize_turn(turn)
    written = traced.written()
    assert len(written) == 8
    assert all(len(turn["otel"]["spans"]) == 1 for turn in written)


def test_equal_turns_of_a_proxy_at_once_are_logged_once_each(traced: Traced) -> None:
    request = {"messages": [{"role": "user", "content": "hello"}]}
    turns = [
        otel_convlog.start_turn(route="chat", client_model="m", backend="b", stream=False, client_request=request)
        for _ in range(4)
    ]
    for _ in turns:
        upstream_call(traced, "another trace", failed=False)
    for turn in turns:
        otel_convlog.attach_upstream_response(turn, {"id": "r1", "choices": []})
        otel_convlog.finalize_turn(turn)
    written = traced.turns()
    assert [len(turn["otel"]["spans"]) for turn in written] == [1, 1, 1, 1]


def test_another_call_within_a_turn_is_a_turn_of_its_own(traced: Traced) -> None:
    request = {"messages": [{"role": "user", "content": "hello"}]}
    with otel_convlog.Turn(route="chat", client_model="m", backend="b", stream=False, client_request=request) as turn:
        with traced.span(call("is this allowed: hello", "yes, it is", gen_ai__response__id="guard")):
            pass
        with traced.span(call("hello", "hi there", gen_ai__response__id="r1")):
            pass
        turn.attach_upstream_response(
            {"id": "r1", "choices": [{"message": {"role": "assistant", "content": "hi there"}}]}
        )
    sources = {turn["otel"]["source"]: turn for turn in traced.turns()}
    assert set(sources) == {"turn", "gen_ai:an.instrumentation"}
    assert answer_of(sources["gen_ai:an.instrumentation"]) == "yes, it is"


def test_a_call_that_ends_after_its_turn_is_not_logged_again(traced: Traced) -> None:
    request = {"messages": [{"role": "user", "content": "hello"}]}
    with traced.span(call("before any turn", "so that calls are looked for")):
        pass
    turn = otel_convlog.start_turn(route="chat", client_model="m", backend="b", stream=True, client_request=request)
    late = traced.tracer.start_span("chat m", attributes=call(gen_ai__response__id="r1"))
    otel_convlog.append_upstream_event(turn, {"id": "r1", "choices": [{"delta": {"content": "hi there"}}]})
    otel_convlog.finalize_turn(turn)
    late.end()
    assert len(traced.turns()) == 2


def test_calls_outside_of_turns_stay_turns_of_their_own(traced: Traced) -> None:
    proxied(traced, "another trace", streamed=False, failed=False)
    upstream_call(traced, "another trace", failed=False)
    assert sorted(turn["otel"]["source"] for turn in traced.turns()) == ["gen_ai:an.instrumentation", "turn"]


def test_a_turn_that_never_ends_keeps_no_call_for_ever(traced: Traced) -> None:
    turn = otel_convlog.start_turn(route="chat", client_model="m", backend="b", stream=False, client_request={})
    upstream_call(traced, "another trace", failed=False)
    assert traced.written() == []
    del turn
    assert traced.writes_by_itself()
    assert len(traced.turns()) == 1
