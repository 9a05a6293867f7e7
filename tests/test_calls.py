"""The calls of an instrumented proxy: what they record, and that they never get in its way."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import itertools
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

import otel_convlog
from otel_convlog import Turn, attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conversation_log import Log

_REQUEST: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "conversation_id": "c"}
_START: dict[str, Any] = {"route": "chat", "client_model": "gpt-5", "backend": "openai", "stream": False}


def _call_everything(turn: Turn | None, value: object) -> None:
    otel_convlog.attach_upstream_request(turn, value, value)
    otel_convlog.attach_upstream_response(turn, value)
    otel_convlog.append_upstream_event(turn, value)
    otel_convlog.append_client_event(turn, value)
    otel_convlog.set_stream_summary(turn, value)
    otel_convlog.attach_client_response(turn, value)
    otel_convlog.attach_error(turn, value)
    otel_convlog.finalize_turn(turn, usage=value, duration_ms=value)  # type: ignore[arg-type]


@pytest.fixture
def spans(no_sdk: None) -> InMemorySpanExporter:  # noqa: ARG001
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


def test_a_whole_turn_is_recorded(log: Log) -> None:
    turn = otel_convlog.start_turn(
        **_START,
        client_request=_REQUEST,
        request_headers={"Authorization": "Bearer sk-abcdefgh"},
        target_url="https://up.example/v1",
        upstream_model="gpt-5-2026",
        metadata={"client": "test"},
    )
    otel_convlog.attach_upstream_request(turn, {"m": 1}, {"x-api-key": "sk-abcdefgh"})
    otel_convlog.attach_upstream_response(turn, {"id": "r1"})
    otel_convlog.attach_client_response(turn, {"id": "r2"})
    otel_convlog.append_upstream_event(turn, {"type": "delta"})
    otel_convlog.append_client_event(turn, "data: x\n\n")
    otel_convlog.set_stream_summary(turn, {"text": "x"})
    otel_convlog.attach_error(turn, {"type": "timeout"})
    otel_convlog.finalize_turn(turn, usage={"total_tokens": 3}, duration_ms=7.5)

    (recorded,) = log.document()["turns"]
    assert recorded["request_headers"] == {"Authorization": "Bear***efgh"}
    assert recorded["client_request"] == _REQUEST
    assert recorded["metadata"] == {"client": "test"}
    assert recorded["upstream_request"] == {"headers": {"x-api-key": "sk-a***efgh"}, "body": {"m": 1}}
    assert recorded["upstream_response"] == {"id": "r1"}
    assert recorded["client_response"] == {"id": "r2"}
    assert recorded["stream_trace"] == {
        "upstream_events": [{"type": "delta"}],
        "client_events": ["data: x\n\n"],
        "summary": {"text": "x"},
    }
    assert recorded["error"] == {"type": "timeout"}
    assert recorded["usage"] == {"total_tokens": 3}
    assert recorded["duration_ms"] == 7.5
    assert recorded["otel"]["complete"] is True
    assert len(recorded["otel"]["upstream_offsets_ms"]) == len(recorded["otel"]["client_offsets_ms"]) == 1


def test_what_is_changed_after_a_call_does_not_change_the_log(log: Log) -> None:
    value: dict[str, Any] = {"list": [1, {"deep": "as it was"}]}
    before = copy.deepcopy(value)
    turn = otel_convlog.start_turn(**_START, client_request=value, metadata=value, request_headers=value)
    otel_convlog.attach_upstream_request(turn, value)
    otel_convlog.attach_upstream_response(turn, value)
    otel_convlog.append_upstream_event(turn, value)
    otel_convlog.append_client_event(turn, value)
    otel_convlog.set_stream_summary(turn, value)
    otel_convlog.attach_client_response(turn, value)
    otel_convlog.attach_error(turn, value)
    value["list"][1]["deep"] = "changed"
    value["list"].clear()
    otel_convlog.finalize_turn(turn)
    (recorded,) = log.document()["turns"]
    assert recorded["client_request"] == recorded["metadata"] == recorded["request_headers"] == before
    assert recorded["upstream_request"]["body"] == recorded["upstream_response"] == before
    assert recorded["client_response"] == recorded["error"] == before
    assert recorded["stream_trace"] == {"upstream_events": [before], "client_events": [before], "summary": before}


class _Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __float__(self) -> float:
        raise RuntimeError("no number")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equality")

    def __hash__(self) -> int:
        raise RuntimeError("no hash")


class _HostileDict(dict[str, Any]):
    def get(self, *_: object) -> Any:
        raise RuntimeError("no get")


class _ClassRaises:
    @property  # type: ignore[misc]  # as a proxy object of a library may have it
    def __class__(self) -> Any:
        raise RuntimeError("no class")


def _cycle() -> object:
    cycle: dict[str, Any] = {}
    cycle["self"] = [cycle]
    return cycle


def _deep() -> object:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    return deep


_HOSTILE: dict[str, Callable[[], object]] = {
    "None": lambda: None,
    "text": lambda: "text",
    "number": lambda: 10**400,
    "nan": lambda: float("nan"),
    "bytes": lambda: b"\xff",
    "cycle": _cycle,
    "deep": _deep,
    "lone surrogate": lambda: "\ud800",
    "lone surrogates inside": lambda: {"\udfff": ["\ud800"], "conversation_id": "\ud800"},
    "unprintable": _Unprintable,
    "unprintable inside": lambda: [{"k": _Unprintable()}],
    "no class": _ClassRaises,
    "hostile dict": lambda: _HostileDict(conversation_id="c"),
    "generator": lambda: (i for i in range(3)),
    "set": lambda: {1},
    "class": lambda: object,
    "odd keys": lambda: {None: 1, (1,): 2, 3: 4, "metadata": {"session_id": 5}},
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_whatever_a_call_is_given_the_proxy_goes_on_and_the_turn_is_logged(name: str, log: Log) -> None:
    value: Any = _HOSTILE[name]()
    turn = otel_convlog.start_turn(
        route=value,
        client_model=value,
        backend=value,
        stream=value,
        client_request=value,
        request_headers=value,
        target_url=value,
        upstream_model=value,
        metadata=value,
    )
    assert turn is not None
    _call_everything(turn, value)
    assert isinstance(otel_convlog.get_conversation_id(route=value, payload=value), str)
    assert len(log.document()["turns"]) == 1
    assert log.exporter.turns_failed == 0


@pytest.mark.parametrize("name", _HOSTILE)
def test_one_bad_value_does_not_take_the_good_ones_with_it(name: str, log: Log) -> None:
    value = _HOSTILE[name]()
    turn = otel_convlog.start_turn(**_START, client_request=_REQUEST, request_headers=value, metadata=value)
    otel_convlog.append_client_event(turn, "before")
    otel_convlog.append_client_event(turn, value)
    otel_convlog.append_client_event(turn, "after")
    otel_convlog.attach_error(turn, value)
    otel_convlog.attach_client_response(turn, {"kept": [value]})
    otel_convlog.finalize_turn(turn)
    (recorded,) = log.document()["turns"]
    assert recorded["client_request"] == _REQUEST
    events = recorded["stream_trace"]["client_events"]
    assert (events[0], events[2], len(events)) == ("before", "after", 3)
    assert "kept" in recorded["client_response"]


@pytest.mark.parametrize(
    ("value", "logged"),
    [(None, None), (7, 7), (1.5, 1.5), (False, False), ("\ud800 model", "\ud800 model"), ("", ""), ([1], "[1]")],
    ids=repr,
)
def test_a_field_that_is_usually_text_is_logged_as_it_was_given(value: Any, logged: object, log: Log) -> None:
    turn = otel_convlog.start_turn(
        route="chat", client_model=value, backend=value, stream=False, client_request=_REQUEST, upstream_model=value
    )
    otel_convlog.finalize_turn(turn)
    otel_convlog.finalize_turn(otel_convlog.start_turn(**_START, client_request=_REQUEST))
    document = log.document()
    for field in ("client_model", "backend", "upstream_model"):
        assert document["turns"][0][field] == logged
    assert document["turn_count"] == 2


def test_ten_thousand_events_are_logged_whole_under_the_default_limits(log: Log) -> None:
    turn = otel_convlog.start_turn(**{**_START, "stream": True}, client_request=_REQUEST)
    for number in range(10_000):
        otel_convlog.append_upstream_event(turn, {"n": number})
        otel_convlog.append_client_event(turn, f"data: {number}\n\n")
    otel_convlog.finalize_turn(turn)
    (recorded,) = log.document()["turns"]
    assert recorded["stream_trace"]["upstream_events"] == [{"n": number} for number in range(10_000)]
    assert recorded["stream_trace"]["client_events"] == [f"data: {number}\n\n" for number in range(10_000)]
    offsets = recorded["otel"]["upstream_offsets_ms"]
    assert len(offsets) == 10_000
    assert all(earlier <= later for earlier, later in itertools.pairwise(offsets))
    assert recorded["otel"]["complete"] is True


def test_events_appended_from_many_threads_are_all_there(log: Log) -> None:
    turn = otel_convlog.start_turn(**{**_START, "stream": True}, client_request=_REQUEST)

    def stream(thread: int) -> None:
        for number in range(500):
            otel_convlog.append_upstream_event(turn, [thread, number])

    threads = [threading.Thread(target=stream, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    otel_convlog.finalize_turn(turn)
    events = log.document()["turns"][0]["stream_trace"]["upstream_events"]
    assert sorted(events) == [[thread, number] for thread in range(8) for number in range(500)]
    for thread_number in range(8):
        assert [n for thread, n in events if thread == thread_number] == list(range(500))


def test_nothing_is_recorded_without_an_sdk(no_sdk: None) -> None:  # noqa: ARG001
    turn = otel_convlog.start_turn(**_START, client_request=_REQUEST)
    assert turn is None
    _call_everything(turn, {"a": 1})
    with Turn(**_START, client_request=_REQUEST) as inert:
        assert not inert.recording
        assert not inert.span.is_recording()
        _call_everything(inert, {"a": 1})


def test_nothing_is_recorded_when_the_sdk_is_disabled(no_sdk: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    trace.set_tracer_provider(TracerProvider())
    assert otel_convlog.start_turn(**_START, client_request=_REQUEST) is None


def test_nothing_is_recorded_when_the_sampler_says_so(no_sdk: None) -> None:  # noqa: ARG001
    trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF))
    assert otel_convlog.start_turn(**_START, client_request=_REQUEST) is None


@pytest.mark.parametrize(("value", "recorded"), [("TRUE", False), ("false", True), ("", True), ("1", True)])
def test_convlog_alone_can_be_switched_off(
    value: str, recorded: bool, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_CONVLOG_DISABLED", value)
    assert (otel_convlog.start_turn(**_START, client_request=_REQUEST) is not None) is recorded
    with trace.get_tracer("proxy").start_as_current_span("other tracing goes on"):
        pass
    assert len(spans.get_finished_spans()) == 1


def in_memory(log: Log) -> InMemorySpanExporter:
    memory = InMemorySpanExporter()
    log.provider.add_span_processor(SimpleSpanProcessor(memory))
    return memory


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["set_attributes", "add_event"])
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError])
def test_a_handler_that_raises_while_a_turn_is_ended_leaves_it_whole(
    log: Log, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException], step: str, moment: str
) -> None:
    memory = in_memory(log)
    function = getattr(Span, step)
    left = [interruption]

    def interrupted(self: Span, *arguments: Any) -> None:
        if not left or moment == "after":
            function(self, *arguments)
        if left:
            raise left.pop()

    turn = otel_convlog.start_turn(**_START, client_request=_REQUEST)
    otel_convlog.append_upstream_event(turn, {"n": 1})
    otel_convlog.append_client_event(turn, {"n": 2})
    monkeypatch.setattr(Span, step, interrupted)
    with suppress(KeyboardInterrupt):
        otel_convlog.finalize_turn(turn, usage={"total_tokens": 3})
    (span,) = memory.get_finished_spans()
    assert [event.name for event in span.events] == [
        attributes.UPSTREAM_EVENTS_EVENT,
        attributes.CLIENT_EVENTS_EVENT,
    ]
    assert (span.attributes or {})[attributes.USAGE] == '{"total_tokens":3}'


def test_a_handler_may_end_the_turn_that_is_being_ended(log: Log) -> None:
    memory = in_memory(log)
    turn = otel_convlog.start_turn(**_START, client_request=_REQUEST)
    assert turn is not None
    with turn._end_lock:  # it has come into the middle of that
        otel_convlog.finalize_turn(turn)
    otel_convlog.finalize_turn(turn)
    assert len(memory.get_finished_spans()) == 1


def test_a_turn_as_context_manager_is_current_and_finalized(log: Log) -> None:
    with Turn(**_START, client_request=_REQUEST) as turn:
        assert trace.get_current_span() is turn.span
        with trace.get_tracer("httpx").start_as_current_span("POST") as child:
            assert child.parent.span_id == turn.span.get_span_context().span_id  # type: ignore[attr-defined]
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert not turn.recording
    (recorded,) = log.document()["turns"]
    assert recorded["error"] is None


def test_an_exception_that_passes_through_is_recorded_and_passes(log: Log) -> None:
    def forward() -> None:
        with Turn(**_START, client_request=_REQUEST):
            raise TimeoutError("upstream took too long")

    with pytest.raises(TimeoutError):
        forward()
    (recorded,) = log.document()["turns"]
    assert recorded["error"] == {"type": "TimeoutError", "message": "upstream took too long"}


def test_a_client_that_hangs_up_is_an_error_of_its_turn(log: Log) -> None:
    async def stream(started: asyncio.Event) -> None:
        with Turn(**_START, client_request=_REQUEST) as turn:
            turn.append_client_event("first")
            started.set()
            await asyncio.Event().wait()

    async def serve() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(stream(started))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(serve())
    (recorded,) = log.document()["turns"]
    assert recorded["error"]["type"] == "asyncio.exceptions.CancelledError"
    assert recorded["stream_trace"]["client_events"] == ["first"]


def test_the_error_that_the_proxy_attached_stays_when_an_exception_follows(log: Log) -> None:
    def forward() -> None:
        with Turn(**_START, client_request=_REQUEST) as turn:
            turn.attach_error("upstream 500")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        forward()
    (recorded,) = log.document()["turns"]
    assert recorded["error"] == "upstream 500"


def test_a_generator_whose_steps_run_in_several_contexts_logs_no_error(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    def stream() -> Iterator[int]:
        with Turn(**_START, client_request=_REQUEST) as turn:
            for number in range(3):
                turn.append_client_event(number)
                yield number

    steps = stream()
    while contextvars.copy_context().run(next, steps, None) is not None:  # as a server's thread pool runs them
        pass
    assert log.document()["turns"][0]["stream_trace"]["client_events"] == [0, 1, 2]
    assert caplog.records == []


@pytest.mark.parametrize("name", _HOSTILE)
def test_a_strange_usage_does_not_cost_the_turn(name: str, log: Log) -> None:
    turn = otel_convlog.start_turn(**_START, client_request=_REQUEST)
    otel_convlog.append_client_event(turn, {"n": 2**70})
    otel_convlog.finalize_turn(turn, usage=_HOSTILE[name](), duration_ms=_HOSTILE[name]())  # type: ignore[arg-type]
    document = log.document()
    assert document["conversation_id"] == "c"
    assert document["turns"][0]["client_request"] == _REQUEST
    assert document["turns"][0]["stream_trace"]["client_events"] == [{"n": 2**70}]


@pytest.mark.parametrize("name", _HOSTILE)
def test_what_is_no_turn_is_passed_over(name: str) -> None:
    _call_everything(_HOSTILE[name](), "x")  # type: ignore[arg-type]


def test_a_turn_entered_twice_leaves_nothing_behind(log: Log) -> None:
    with Turn(**_START, client_request=_REQUEST) as turn, turn:
        assert trace.get_current_span() is turn.span
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert len(log.document()["turns"]) == 1


def test_a_forgotten_argument_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        Turn(route="chat", client_model="m", backend="b")  # type: ignore[call-arg]


def test_a_turn_is_finalized_once(spans: InMemorySpanExporter) -> None:
    turn = Turn(**_START, client_request=_REQUEST)
    threads = [threading.Thread(target=turn.finalize) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _call_everything(turn, "too late")
    (span,) = spans.get_finished_spans()
    assert attributes.ERROR not in (span.attributes or {})


def test_the_span_speaks_the_genai_conventions(spans: InMemorySpanExporter) -> None:
    with Turn(
        route="messages", client_model="claude", backend="anthropic", stream=True, client_request=_REQUEST
    ) as turn:
        turn.attach_upstream_response({"id": "msg_1", "model": "claude-2026"})
        turn.attach_error({"type": "overloaded_error", "message": "later"})
        turn.finalize(usage={"input_tokens": 5, "output_tokens": 7})
    (span,) = spans.get_finished_spans()
    assert span.name == "convlog.turn"
    assert span.kind is SpanKind.INTERNAL
    assert span.status.status_code is StatusCode.ERROR
    found = {name: value for name, value in (span.attributes or {}).items() if not name.startswith("convlog.")}
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude",
        "gen_ai.response.model": "claude-2026",
        "gen_ai.response.id": "msg_1",
        "gen_ai.conversation.id": "c",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 7,
        "error.type": "overloaded_error",
    }


def test_a_guessed_conversation_is_not_claimed_to_other_backends(spans: InMemorySpanExporter) -> None:
    request = {"messages": [{"role": "user", "content": "hi"}]}
    otel_convlog.finalize_turn(otel_convlog.start_turn(**_START, client_request=request))
    (span,) = spans.get_finished_spans()
    assert attributes.GEN_AI_CONVERSATION_ID not in (span.attributes or {})


def test_every_attribute_is_one_that_every_backend_can_encode(spans: InMemorySpanExporter) -> None:
    for value in ("\ud800", {"\ud800": 10**40, "conversation_id": "\udfff"}):
        turn = otel_convlog.start_turn(
            route="\ud800", client_model="\ud800", backend="b\ud800", stream=True, client_request=value
        )
        _call_everything(turn, value)
        otel_convlog.finalize_turn(turn)
    for span in spans.get_finished_spans():
        for attribute in (span.attributes or {}).values():
            assert isinstance(attribute, (str, bool, int, float))
            str(attribute).encode()


@pytest.mark.parametrize("given", [None, 0, 0.0, float("nan"), "soon", 10**400])
def test_without_a_duration_the_spans_own_is_taken(given: Any, log: Log) -> None:
    otel_convlog.finalize_turn(otel_convlog.start_turn(**_START, client_request=_REQUEST), duration_ms=given)
    (recorded,) = log.document()["turns"]
    assert isinstance(recorded["duration_ms"], int)
    assert 0 <= recorded["duration_ms"] < 60_000


def test_a_turn_belongs_to_the_provider_that_is_set_now(no_sdk: None) -> None:  # noqa: ARG001
    assert otel_convlog.start_turn(**_START, client_request=_REQUEST) is None
    trace.set_tracer_provider(TracerProvider())
    assert otel_convlog.start_turn(**_START, client_request=_REQUEST) is not None
