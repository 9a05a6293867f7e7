"""Spans of existing instrumentations become turns."""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import read_document
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode
from recorded_spans import SPANS, load

from otel_convlog import ConversationSpanExporter, ConversationSpanProcessor
from otel_convlog.assembly import content_capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from opentelemetry.trace import Tracer

_FAMILIES = ("genai", "logfire", "openinference", "traceloop")
_TURNS = {
    "chat": 3,
    "chat_stream": 3,
    "chat_tools": 2,
    "responses": 3,
    "responses_stream": 3,
    "messages": 3,
    "messages_stream": 3,
    "messages_tools": 2,
    "errors": 2,
    "long_chat": 1,
}
_ROUTES = {"responses": "responses", "messages": "messages"}


def conversations(directory: Path) -> list[dict[str, Any]]:
    return [read_document(path) for path in sorted(directory.glob("*/*.json"))]


def turns_of(directory: Path) -> list[dict[str, Any]]:
    found = [turn for document in conversations(directory) for turn in document["turns"]]
    return sorted(found, key=lambda turn: str(turn["started_at"]))


def logged(directory: Path, spans: Sequence[ReadableSpan], **settings: Any) -> list[dict[str, Any]]:
    """Export spans one by one, and return the turns."""
    exporter = ConversationSpanExporter(directory=directory, **settings)
    for span in spans:
        exporter.export([span])
    exporter.shutdown()
    return turns_of(directory)


def text_of(message: Any) -> str:
    """Return what a message says, in any API's shape."""
    if isinstance(message, str):
        return message
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", part.get("content", ""))) for part in content or ())


def last_words(request: dict[str, Any]) -> str:
    asked = request.get("messages", request.get("input"))
    assert asked
    return asked if isinstance(asked, str) else text_of(asked[-1])


def answer(response: dict[str, Any]) -> str:
    if "choices" in response:
        return text_of(response["choices"][0]["message"])
    if "output" in response:
        return "".join(text_of(item) for item in response["output"])
    if "candidates" in response:
        return "".join(str(part.get("text", "")) for part in response["candidates"][0]["content"]["parts"])
    return text_of(response)


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
@pytest.mark.parametrize("scenario", _TURNS)
@pytest.mark.parametrize("family", _FAMILIES)
def test_recorded_spans_become_turns(family: str, scenario: str, at_once: bool, tmp_path: Path) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    spans = load(SPANS / family / f"{scenario}.jsonl")
    for part in [spans] if at_once else [[span] for span in spans]:
        exporter.export(part)
    exporter.shutdown()
    documents = conversations(tmp_path)
    # The gen_ai families record nothing that links a chain of responses.
    unlinked = scenario.startswith("responses") and family != "openinference"
    assert len(documents) == (_TURNS[scenario] if unlinked else 1)
    turns = turns_of(tmp_path)
    assert len(turns) == _TURNS[scenario]
    for number, turn in enumerate(turns):
        assert turn["route"] == _ROUTES.get(scenario.partition("_")[0], "chat")
        if (family, scenario) != ("openinference", "long_chat"):  # the limit has dropped it
            assert turn["backend"] == ("anthropic" if scenario.startswith("messages") else "openai")
        assert turn["stream"] is scenario.endswith("_stream")
        assert turn["otel"]["source"].partition(":")[0] == ("openinference" if family == "openinference" else "gen_ai")
        assert turn["upstream_request"] is turn["upstream_response"] is None
        assert turn["stream_trace"] == {"upstream_events": [], "client_events": [], "summary": {}}
        check = globals()[f"_check_{scenario.partition('_')[0] if scenario != 'long_chat' else 'long_chat'}"]
        check(turn, number, scenario, family)


def _check_dialogue(turn: dict[str, Any], number: int, question: str, answers: str, system: str) -> None:
    assert last_words(turn["client_request"]).startswith(question.format(number))
    assert answer(turn["client_response"]).startswith(answers.format(number))
    assert system in json.dumps(turn["client_request"])
    assert turn["error"] is None
    assert turn["otel"]["complete"] is True


def _check_chat(turn: dict[str, Any], number: int, scenario: str, family: str) -> None:
    assert turn["client_model"] == turn["client_request"]["model"] == "gpt-5"
    if (family, scenario) != ("logfire", "chat_stream"):  # whose spans do not say it
        assert turn["client_response"]["model"] == "gpt-5-2026"
    assert turn["client_response"]["choices"][0]["finish_reason"] in {"stop", "tool_call", "tool_calls", None}
    assert turn["usage"]["output_tokens"] == 20
    if scenario == "chat_tools":
        _check_tools(turn, number)
        return
    assert turn["usage"]["input_tokens"] == 20 * (number + 1)
    assert turn["client_response"].get("id", "").startswith("chatcmpl-") or (family, scenario) == (
        "logfire",
        "chat_stream",
    )
    _check_dialogue(turn, number, "Question {0} about", "Answer to: Question {0} about", "You are terse.")
    assert [message["role"] for message in turn["client_request"]["messages"]] == [
        "system",
        "user",
        *["assistant", "user"] * number,
    ]


def _check_tools(turn: dict[str, Any], number: int) -> None:
    asked = turn["client_request"]["messages"]
    (tool,) = turn["client_request"]["tools"]
    assert tool["function"]["name"] == "get_weather"
    assert tool["function"]["parameters"]["properties"] == {"city": {"type": "string"}}
    message = turn["client_response"]["choices"][0]["message"]
    if number == 0:
        (call,) = message["tool_calls"]
        assert call["id"] == "call_00000007"
        assert call["function"]["name"] == "get_weather"
        assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
    else:
        assert asked[1]["tool_calls"][0]["id"] == asked[2]["tool_call_id"] == "call_00000007"
        assert asked[2]["role"] == "tool"
        assert asked[2]["content"] == "21 C"
        assert message["content"].startswith("Answer to: Weather in Paris please?")


def _check_messages(turn: dict[str, Any], number: int, scenario: str, family: str) -> None:
    assert turn["client_model"] == turn["client_request"]["model"] == "claude-5"
    assert turn["client_response"]["id"].startswith("msg_")
    assert turn["client_response"]["model"] == "claude-5-2026"
    assert turn["client_response"]["stop_reason"] in {"end_turn", "tool_use", "stop", "tool_call"}
    assert turn["usage"]["input_tokens"] == 20
    assert turn["usage"]["output_tokens"] == 24
    assert turn["usage"]["cache_read_input_tokens"] == 5
    assert turn["usage"]["cache_creation_input_tokens"] == 3
    assert turn["client_request"]["max_tokens"] == 99
    if family != "logfire" or scenario == "messages_stream":  # where the client library's own span is there too
        assert turn["target_url"].endswith("/v1/messages")
        assert turn["metadata"]["http.response.status_code"] == 200
        assert len(turn["otel"]["spans"]) >= 1
    if scenario == "messages_tools":
        content = turn["client_response"]["content"]
        assert turn["client_request"]["tools"][0]["input_schema"]["properties"] == {"city": {"type": "string"}}
        if number == 0:
            assert (content[0]["type"], content[0]["name"], content[0]["input"]) == (
                "tool_use",
                "get_weather",
                {"city": "Paris"},
            )
        else:
            (result,) = turn["client_request"]["messages"][2]["content"]
            assert (result["type"], result["tool_use_id"], result["content"]) == (
                "tool_result",
                "toolu_00000021",
                "21 C",
            )
            assert content[0]["text"].startswith("Answer to:")
        return
    _check_dialogue(turn, number, "Anthropic question {0}", "Answer to: Anthropic question {0}", "You are kind.")
    assert turn["client_request"]["system"] == "You are kind."


def _check_responses(turn: dict[str, Any], number: int, scenario: str, family: str) -> None:  # noqa: ARG001
    assert turn["client_model"] == turn["client_request"]["model"] == "gpt-5"
    assert turn["client_request"]["instructions"] == "Be brief."
    assert (turn["usage"]["input_tokens"], turn["usage"]["output_tokens"]) == (11, 22)
    if family in {"openinference", "traceloop"}:
        assert turn["usage"]["reasoning_output_tokens"] == 0
    _check_dialogue(turn, number, "Step {0} of", "Answer to: Step {0} of", "Be brief.")


def _check_errors(turn: dict[str, Any], number: int, scenario: str, family: str) -> None:  # noqa: ARG001
    kind, status, model = [("InternalServerError", "500", "boom"), ("RateLimitError", "429", "limit")][number]
    assert turn["error"]["type"].rpartition(".")[2] == kind
    assert status in turn["error"]["message"]
    assert turn["client_response"] is None
    assert turn["client_model"] == model
    assert last_words(turn["client_request"]) == "fail please"
    assert "usage" not in turn


def _check_long(turn: dict[str, Any], number: int, scenario: str, family: str) -> None:  # noqa: ARG001
    asked = turn["client_request"]["messages"]
    assert text_of(asked[-1]) == "message 120"
    assert answer(turn["client_response"]).startswith("Answer to: message 120")
    if family == "openinference":  # the limit of 128 attributes has dropped the first messages, and the request
        assert text_of(asked[0]) == "message 61"
        assert turn["otel"]["complete"] is False
        assert turn["otel"]["lost"] == {"messages": 61}
    else:
        assert text_of(asked[0]) == "message 0"
        assert turn["otel"]["complete"] is True


_check_long_chat = _check_long


# Other packages, and older ones: the turns of each conversation.
_OTHERS: dict[str, list[int]] = {
    "agent-framework/responses_tools": [4],
    "anthropic-sdk/conversation_id": [2, 1],
    "anthropic-sdk/messages": [4],
    "anthropic-sdk/messages_tools": [2],
    "azure-ai-inference/chat_tools": [2],
    "genai-langchain-1.3b0/langgraph_agent": [4, 4],
    "google-genai-0.7b2/stream": [3],
    "langfuse-3/responses_tools": [2],
    "litellm-1.110/errors": [2],
    "litellm-1.110/tools": [2],
    "litellm-1.61/chat_stream": [3],
    "litellm-1.80/tools": [2],
    "logfire-4.0.0/chat": [3],
    "logfire-4.0.0/messages_stream": [2, 1, 1, 1],  # and streams that broke off
    "logfire-litellm/chat_stream": [3],
    "logfire-openai-agents/chat_tools": [3],
    "openinference-0.1.6/chat": [3],
    "openinference-0.1.6/messages": [3],
    "openinference-anthropic-3/errors": [2],
    "openinference-langchain/chat_tools": [2],
    "openinference-openai-agents/responses_tools": [3],
    "openlit-1.33/chat": [3],
    "openlit-1.45/chat": [3],
    "openllmetry-0.33/chat": [3],
    "openllmetry-0.33/chat_stream": [2, 1],
    "openllmetry-0.33/chat_tools": [2],
    "openllmetry-0.33/embeddings": [],
    "openllmetry-0.33/long_chat": [1],
    "openllmetry-0.40/errors": [1, 1, 1, 1],
    "openllmetry-0.40/image": [1],
    "openllmetry-0.52/parallel_tools": [1],
    "openllmetry-0.52/responses_stream": [1, 1],
    "openllmetry-langchain-0.49/errors": [2],
    "openllmetry-openai-agents/chat_tools": [3],
    "otel-openai-agents-v2/chat_tools": [3],
    "pydantic-ai-0.0.55/chat_tools": [3],
    "pydantic-ai-1.0.18-v3/chat_tools": [3],
    "pydantic-ai-1.30/chat_tools": [3],
    "strands-agents/messages_tools": [3],
    "traceloop-sdk-0.62/workflow_tools": [2, 2],
}


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
@pytest.mark.parametrize("recorded", _OTHERS)
def test_spans_of_other_packages_become_turns(recorded: str, at_once: bool, tmp_path: Path) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    spans = load(SPANS / "others" / f"{recorded}.jsonl")
    for part in [spans] if at_once else [[span] for span in spans]:
        exporter.export(part)
    exporter.shutdown()
    assert sorted((document["turn_count"] for document in conversations(tmp_path)), reverse=True) == _OTHERS[recorded]
    for turn in turns_of(tmp_path):
        assert turn["client_model"]
        assert any(turn["client_request"].get(name) for name in ("messages", "input", "contents"))
        if turn["error"] is None and "stream" not in recorded:  # some of those were left before they ended
            words = answer(turn["client_response"])
            assert words or "get_weather" in json.dumps(turn["client_response"])


def recorded(directory: Path, name: str) -> list[dict[str, Any]]:
    return logged(directory, load(SPANS / "others" / f"{name}.jsonl"))


def called(turn: dict[str, Any]) -> tuple[str, str]:
    """Return the id and the name of the tool that a chat's answer calls."""
    (call,) = turn["client_response"]["choices"][0]["message"]["tool_calls"]
    return call["id"], call["function"]["name"]


@pytest.mark.parametrize("release", ["litellm-1.80", "litellm-1.110"])
def test_what_only_litellm_s_raw_request_knows_is_there(release: str, tmp_path: Path) -> None:
    first, second = recorded(tmp_path, f"{release}/tools")
    call_id, name = called(first)
    assert call_id.startswith("call_")
    assert name == "get_weather"
    _, asked, result = second["client_request"]["messages"]
    assert asked["tool_calls"][0]["id"] == result["tool_call_id"] == call_id
    assert first["client_request"]["tools"][0]["function"]["name"] == "get_weather"
    assert second["usage"]["output_tokens"] == 7
    assert not [name for name in second["metadata"] if name.startswith("llm.openai")]


def test_a_raw_request_of_litellm_s_shows_no_secrets_and_what_is_no_request_is_none(traced: Traced) -> None:
    litellm = traced.provider.get_tracer("litellm")
    fields = {
        "llm.openai.messages": "[{'role': 'user', 'content': 'hello'}]",
        "llm.openai.extra_headers": "{'Authorization': 'Bearer sk-0123456789'}",
        "llm.openai.api_key": "sk-0123456789",
        "llm.openai.user": "u",
    }
    litellm.start_span("raw_gen_ai_request", attributes=fields).end()
    litellm.start_span("raw_gen_ai_request", attributes={"llm.openai.messages": "[{'role': "}).end()
    litellm.start_span("raw_gen_ai_request").end()
    (turn,) = traced.turns()
    assert turn["client_request"] == {"messages": [{"role": "user", "content": "hello"}], "user": "u"}
    assert "sk-" not in json.dumps(turn)


def test_a_failed_call_of_litellm_has_no_answer(tmp_path: Path) -> None:
    for turn in recorded(tmp_path, "litellm-1.110/errors"):
        assert turn["client_response"] is None
        assert "always fails" in turn["error"]["message"]


def test_an_error_is_the_one_that_says_most(tmp_path: Path) -> None:
    # The client library's own span, which is nearer to the wire, has no more than a type.
    kinds = ("InternalServerError", "RateLimitError")
    for turn, kind in zip(recorded(tmp_path, "openinference-anthropic-3/errors"), kinds, strict=True):
        assert turn["error"]["type"] == f"anthropic.{kind}"
        assert "always fails" in turn["error"]["message"]
        assert len(turn["otel"]["spans"]) == 1


def test_a_stream_of_google_s_is_one_message(tmp_path: Path) -> None:
    for number, turn in enumerate(recorded(tmp_path, "google-genai-0.7b2/stream")):
        assert turn["route"] == "gemini"
        assert turn["stream"] is True
        (candidate,) = turn["client_response"]["candidates"]
        assert candidate["content"]["parts"] == [{"text": f"Answer to: gg_chat_stream: question {number}"}]


@pytest.mark.parametrize("name", ["langfuse-3/responses_tools", "openinference-openai-agents/responses_tools"])
def test_responses_are_known_by_their_answers(name: str, tmp_path: Path) -> None:
    first, second, *_ = recorded(tmp_path, name)
    assert first["route"] == second["route"] == "responses"
    (call,) = first["client_response"]["output"]
    assert (call["type"], call["name"]) == ("function_call", "get_weather")
    kinds = [item.get("type", item.get("role")) for item in second["client_request"]["input"]]
    assert kinds == ["user", "function_call", "function_call_output"]
    assert second["client_request"]["input"][2]["call_id"] == call["call_id"]
    assert "id" not in second["client_request"]


def test_a_dialogue_in_one_text_is_read_as_its_messages(tmp_path: Path) -> None:
    third = recorded(tmp_path, "openlit-1.33/chat")[2]
    roles = [message["role"] for message in third["client_request"]["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert third["client_request"]["messages"][-1]["content"] == "chat: question 2"
    assert "seed" not in third["client_request"]  # OpenLIT's word for none is an empty text


def test_instructions_that_stand_twice_are_there_once(tmp_path: Path) -> None:
    for number, turn in enumerate(recorded(tmp_path, "openlit-1.45/chat")):
        roles = [message["role"] for message in turn["client_request"]["messages"]]
        assert roles == ["system", "user", *["assistant", "user"] * number]
        assert turn["stream"] is False  # though a time to the first token is there


def test_an_answer_at_the_end_of_a_request_is_no_part_of_it(tmp_path: Path) -> None:
    first, second, third = recorded(tmp_path, "logfire-openai-agents/chat_tools")
    assert called(first)[1] == "get_weather"
    assert [message["role"] for message in first["client_request"]["messages"]] == ["system", "user"]
    assert [message["role"] for message in second["client_request"]["messages"]][2:] == ["assistant", "tool"]
    assert answer(third["client_response"]).startswith("Answer 2 to")


def test_tools_of_pydantic_ai_are_there(tmp_path: Path) -> None:
    for turn in recorded(tmp_path, "pydantic-ai-1.30/chat_tools"):
        (tool,) = turn["client_request"]["tools"]
        assert tool["function"]["name"] == "get_weather"
        assert tool["function"]["parameters"]["properties"] == {"city": {"type": "string"}}


def test_both_vocabularies_of_a_span_are_read(tmp_path: Path) -> None:
    # Logfire puts names of its own beside those of OpenInference; of a stream they have neither model nor provider.
    for turn in recorded(tmp_path, "logfire-litellm/chat_stream"):
        assert (turn["client_model"], turn["backend"], turn["stream"]) == ("openai/gpt-5", "openai", True)


@pytest.mark.parametrize(("scenario", "provider"), [("chat", "openai"), ("messages", "anthropic")])
def test_the_first_releases_of_openinference_name_the_provider_by_their_own_name(
    scenario: str, provider: str, tmp_path: Path
) -> None:
    for turn in recorded(tmp_path, f"openinference-0.1.6/{scenario}"):
        assert turn["route"] == scenario
        assert turn["backend"] == provider
        assert turn["client_model"]


def test_an_agents_span_around_does_not_change_the_route(tmp_path: Path) -> None:
    assert {turn["route"] for turn in recorded(tmp_path, "openllmetry-openai-agents/chat_tools")} == {"chat"}


def test_every_recorded_file_is_tested() -> None:
    files = {path.relative_to(SPANS / "others").with_suffix("").as_posix() for path in SPANS.glob("others/*/*.jsonl")}
    assert files == set(_OTHERS)
    files = {path.relative_to(SPANS).with_suffix("").as_posix() for path in SPANS.glob("*/*.jsonl")}
    assert files == {f"{family}/{scenario}" for family in _FAMILIES for scenario in _TURNS}


@pytest.mark.parametrize("make", [BatchSpanProcessor, SimpleSpanProcessor, ConversationSpanProcessor])
def test_any_processor_brings_them(make: Callable[[ConversationSpanExporter], Any], tmp_path: Path) -> None:
    processor = make(ConversationSpanExporter(directory=tmp_path))
    for scenario in ("chat", "messages_stream"):
        for span in load(SPANS / "logfire" / f"{scenario}.jsonl"):
            processor.on_end(span)
    processor.shutdown()
    assert Counter(turn["route"] for turn in turns_of(tmp_path)) == {"chat": 3, "messages": 3}


def test_sources_chooses_the_vocabularies(tmp_path: Path) -> None:
    spans = load(SPANS / "genai" / "chat.jsonl") + load(SPANS / "openinference" / "chat.jsonl")
    for sources, families in (("gen_ai", {"gen_ai"}), (["openinference"], {"openinference"}), ("turn", set())):
        directory = tmp_path / str(sources)
        assert {turn["otel"]["source"] for turn in logged(directory, spans, sources=sources)} == families


def test_a_source_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sources must be one or more of turn, gen_ai, openinference, not 'genai'"):
        ConversationSpanExporter(directory=tmp_path, sources="genai")


class Traced:
    """A tracer whose spans go to a log."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.directory = directory
        self.exporter = ConversationSpanExporter(directory=directory)
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer: Tracer = self.provider.get_tracer("an.instrumentation", "1.2")

    def span(
        self,
        attributes: dict[str, Any],
        events: Sequence[tuple[str, dict[str, Any]]] = (),
        start_time: int | None = None,
        end_time: int | None = None,
    ) -> None:
        span = self.tracer.start_span("chat m", attributes=attributes, start_time=start_time)
        for name, body in events:
            span.add_event(name, body)
        span.end(end_time)

    def turns(self) -> list[dict[str, Any]]:
        self.provider.shutdown()
        return turns_of(self.directory)


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[Traced]:
    traced = Traced(tmp_path)
    yield traced
    traced.provider.shutdown()


_ASKED = [{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]
_ANSWERED = [{"role": "assistant", "parts": [{"type": "text", "content": "hi"}], "finish_reason": "stop"}]
_CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "m",
    "gen_ai.input.messages": json.dumps(_ASKED),
    "gen_ai.output.messages": json.dumps(_ANSWERED),
}


def test_every_field_of_a_turn_has_its_attribute(traced: Traced) -> None:
    traced.span(
        {
            **_CALL,
            "gen_ai.response.model": "m-2026",
            "gen_ai.response.id": "r1",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.request.temperature": 0.5,
            "gen_ai.request.max_tokens": 7,
            "gen_ai.request.stop_sequences": ["END"],
            "gen_ai.request.choice.count": 1,
            "gen_ai.request.stream": True,
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.usage.output_tokens": 4,
            "gen_ai.usage.reasoning.output_tokens": 2,
            "gen_ai.usage.cache_read.input_tokens": 1,
            "gen_ai.usage.some.new.count": 9,
            "url.full": "https://api.example.test/v1/chat/completions",
            "server.port": 443,
            "code.names": ("a", "b"),
        },
        start_time=1_700_000_000_000_000_000,
        end_time=1_700_000_000_250_000_000,
    )
    (turn,) = traced.turns()
    otel = turn.pop("otel")
    assert turn.pop("updated_at") == "2023-11-14T22:13:20.250000Z"
    assert turn.pop("turn_id") == "turn_" + otel["trace_id"][-8:] + otel["span_id"]
    assert turn.pop("conversation_id") == conversations(traced.directory)[0]["conversation_id"]
    assert turn == {
        "route": "chat",
        "client_model": "m",
        "backend": "openai",
        "stream": True,
        "target_url": "https://api.example.test/v1/chat/completions",
        "upstream_model": "",
        "started_at": "2023-11-14T22:13:20.000000Z",
        "duration_ms": 250,
        "request_headers": {},
        "client_request": {
            "model": "m",
            "messages": [{"role": "user", "content": "hello"}],
            "temperature": 0.5,
            "max_tokens": 7,
            "stop": ["END"],
            "n": 1,
            "stream": True,
        },
        "metadata": {
            "gen_ai.operation.name": "chat",
            "url.full": "https://api.example.test/v1/chat/completions",
            "server.port": 443,
            "code.names": ["a", "b"],
        },
        "upstream_request": None,
        "upstream_response": None,
        "client_response": {
            "id": "r1",
            "model": "m-2026",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        },
        "stream_trace": {"upstream_events": [], "client_events": [], "summary": {}},
        "error": None,
        "usage": {
            "input_tokens": 3,
            "output_tokens": 4,
            "reasoning_output_tokens": 2,
            "cache_read_input_tokens": 1,
            "some_new_count": 9,
        },
    }
    assert otel["source"] == "gen_ai:an.instrumentation/1.2"
    assert otel["complete"] is True


_PARTS = [
    {"role": "system", "parts": [{"type": "text", "content": "be kind"}]},
    {
        "role": "user",
        "parts": [
            {"type": "text", "content": "look"},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk="},
            {"type": "uri", "modality": "image", "uri": "https://example.test/a.png"},
            {"type": "file", "file_id": "f1"},
        ],
    },
    {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "hmm"},
            {"type": "text", "content": "calling"},
            {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}},
            {"type": "tool_call", "id": "c2", "name": "g", "arguments": "{}"},
        ],
    },
    {
        "role": "tool",
        "parts": [
            {"type": "tool_call_response", "id": "c1", "response": {"ok": True}},
            {"type": "tool_call_response", "id": "c2", "result": "done"},
        ],
    },
]


def test_a_chat_has_a_chat_s_shape(traced: Traced) -> None:
    traced.span({**_CALL, "gen_ai.input.messages": json.dumps(_PARTS)})
    (turn,) = traced.turns()
    assert turn["client_request"]["messages"] == [
        {"role": "system", "content": "be kind"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}},
                {"type": "file", "file": {"file_id": "f1"}},
            ],
        },
        {
            "role": "assistant",
            "content": "calling",
            "reasoning_content": "hmm",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": '{"ok":true}'},
        {"role": "tool", "tool_call_id": "c2", "content": "done"},
    ]


def test_messages_have_anthropic_s_shape(traced: Traced) -> None:
    traced.span({**_CALL, "gen_ai.provider.name": "anthropic", "gen_ai.input.messages": json.dumps(_PARTS)})
    (turn,) = traced.turns()
    assert turn["route"] == "messages"
    assert turn["client_request"]["system"] == "be kind"
    assert turn["client_request"]["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                {"type": "image", "source": {"type": "url", "url": "https://example.test/a.png"}},
                {"type": "file", "file_id": "f1"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hmm"},
                {"type": "text", "text": "calling"},
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": {"ok": True}},
                {"type": "tool_result", "tool_use_id": "c2", "content": "done"},
            ],
        },
    ]


def test_responses_have_their_items(traced: Traced) -> None:
    traced.span({**_CALL, "openai.api.type": "responses", "gen_ai.input.messages": json.dumps(_PARTS)})
    (turn,) = traced.turns()
    assert turn["route"] == "responses"
    assert turn["client_request"]["instructions"] == "be kind"
    assert [item.get("type", item.get("role")) for item in turn["client_request"]["input"]] == [
        "message",
        "reasoning",
        "assistant",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
    ]
    assert turn["client_request"]["input"][0]["content"][0] == {"type": "input_text", "text": "look"}
    assert turn["client_request"]["input"][3] == {
        "type": "function_call",
        "call_id": "c1",
        "name": "f",
        "arguments": '{"a":1}',
    }
    assert turn["client_response"]["output"] == [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
    ]
    assert turn["client_response"]["finish_reason"] == "stop"


def test_gemini_has_its_contents(traced: Traced) -> None:
    traced.span(
        {
            **_CALL,
            "gen_ai.operation.name": "generate_content",
            "gen_ai.provider.name": "gcp.gemini",
            "gen_ai.request.max_tokens": 5,
            "gen_ai.input.messages": json.dumps(_PARTS),
        }
    )
    (turn,) = traced.turns()
    assert turn["route"] == "gemini"
    request = turn["client_request"]
    assert request["systemInstruction"] == {"parts": [{"text": "be kind"}]}
    assert request["generationConfig"] == {"maxOutputTokens": 5}
    assert [content["role"] for content in request["contents"]] == ["user", "model", "user"]
    assert request["contents"][1]["parts"][2] == {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}}
    assert turn["client_response"]["candidates"] == [
        {"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "stop"}
    ]


_FORMS: dict[str, tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]] = {
    "JSON": (
        {"gen_ai.input.messages": json.dumps(_ASKED), "gen_ai.output.messages": json.dumps(_ANSWERED)},
        [],
    ),
    "nested": ({"gen_ai.input.messages": _ASKED, "gen_ai.output.messages": _ANSWERED}, []),
    "a list of JSON": (
        {
            "gen_ai.input.messages": [json.dumps(message) for message in _ASKED],
            "gen_ai.output.messages": [json.dumps(message) for message in _ANSWERED],
        },
        [],
    ),
    "without roles": (
        {
            "gen_ai.input.messages": json.dumps([{"parts": _ASKED[0]["parts"]}]),
            "gen_ai.output.messages": json.dumps([{"parts": _ANSWERED[0]["parts"]}]),
        },
        [],
    ),
    "plain text": ({"gen_ai.input.messages": "hello", "gen_ai.output.messages": "hi"}, []),
    "chat messages": (
        {
            "gen_ai.input.messages": json.dumps([{"role": "user", "content": "hello"}]),
            "gen_ai.output.messages": json.dumps([{"role": "assistant", "content": "hi"}]),
        },
        [],
    ),
    "flattened": (
        {
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "hello",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "hi",
            "gen_ai.completion.0.finish_reason": "stop",
        },
        [],
    ),
    "flattened, without gen_ai": (
        {
            "llm.prompts.0.user": "x",
            "llm.prompts.0.content": "hello",
            "llm.completions.0.content": "hi",
        },
        [],
    ),
    "events of messages": (
        {},
        [
            ("gen_ai.user.message", {"role": "user", "content": "hello"}),
            (
                "gen_ai.choice",
                {"index": 0, "finish_reason": "stop", "message": '{"role": "assistant", "content": "hi"}'},
            ),
        ],
    ),
    "events with bodies": (
        {},
        [
            ("gen_ai.user.message", {"gen_ai.event.content": '{"role": "user", "content": "hello"}'}),
            ("gen_ai.choice", {"gen_ai.event.content": '{"index": 0, "message": {"content": "hi"}}'}),
        ],
    ),
    "events of content": (
        {},
        [
            ("gen_ai.content.prompt", {"gen_ai.prompt": '[{"role": "user", "content": "hello"}]'}),
            ("gen_ai.content.completion", {"gen_ai.completion": '[{"role": "assistant", "content": "hi"}]'}),
        ],
    ),
    "an event of details": (
        {},
        [
            (
                "gen_ai.client.inference.operation.details",
                {"gen_ai.input.messages": json.dumps(_ASKED), "gen_ai.output.messages": json.dumps(_ANSWERED)},
            )
        ],
    ),
    "one JSON each": (
        {
            "gen_ai.prompt": '{"messages": [{"role": "user", "content": "hello"}]}',
            "gen_ai.completion": '{"messages": [{"role": "assistant", "content": "hi"}]}',
        },
        [],
    ),
    "one text each": ({"gen_ai.prompt": "hello", "gen_ai.completion": "hi"}, []),
    "a list of events": (
        {
            "events": json.dumps(
                [
                    {"event.name": "gen_ai.user.message", "role": "user", "content": "hello"},
                    {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "hi"}},
                ]
            )
        },
        [],
    ),
    "the AI SDK's": (
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.prompt.messages": '[{"role": "user", "content": [{"type": "text", "text": "hello"}]}]',
            "ai.response.text": "hi",
        },
        [],
    ),
    "Langfuse's": (
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.input": '[{"role": "user", "content": "hello"}]',
            "langfuse.observation.output": '{"role": "assistant", "content": "hi"}',
        },
        [],
    ),
}


@pytest.mark.parametrize("form", _FORMS)
def test_content_is_read_in_any_form(form: str, traced: Traced) -> None:
    attributes, events = _FORMS[form]
    head = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.system": "openai"}
    traced.span({**head, **attributes}, events)
    (turn,) = traced.turns()
    assert turn["client_request"]["messages"] == [{"role": "user", "content": "hello"}]
    (choice,) = turn["client_response"]["choices"]
    assert choice["message"] == {"role": "assistant", "content": "hi"}
    assert not [name for name in turn["metadata"] if "prompt" in name or "messages" in name or "observation.i" in name]


def test_mlflow_s_request_says_the_route_and_whether_it_streams(traced: Traced) -> None:
    inputs = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}], "stream": True}
    traced.span(
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.message.format": '"anthropic"',
            "mlflow.spanInputs": json.dumps(inputs),
            "mlflow.spanOutputs": '"hi"',
        }
    )
    (turn,) = traced.turns()
    assert (turn["route"], turn["backend"], turn["stream"]) == ("messages", "anthropic", True)
    assert turn["client_request"] == inputs


def test_tools_of_a_flattened_span_are_read(traced: Traced) -> None:
    traced.span(
        {
            "gen_ai.system": "OpenAI",
            "gen_ai.request.model": "m",
            "llm.request.type": "chat",
            "llm.request.functions.0.name": "f",
            "llm.request.functions.0.description": "d",
            "llm.request.functions.0.parameters": '{"type": "object"}',
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "go",
            "gen_ai.prompt.1.role": "assistant",
            "gen_ai.prompt.1.tool_calls.0.id": "c1",
            "gen_ai.prompt.1.tool_calls.0.name": "f",
            "gen_ai.prompt.1.tool_calls.0.arguments": "{}",
            "gen_ai.prompt.2.role": "tool",
            "gen_ai.prompt.2.tool_call_id": "c1",
            "gen_ai.prompt.2.content": "done",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.tool_calls.0.id": "c2",
            "gen_ai.completion.0.tool_calls.0.name": "f",
            "gen_ai.completion.0.tool_calls.0.arguments": '{"a": 1}',
            "gen_ai.completion.0.finish_reason": "tool_calls",
            **{f"gen_ai.prompt.{number}.role": "user" for number in range(10, 12)},
        }
    )
    (turn,) = traced.turns()
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    assert turn["client_request"]["tools"] == [{"type": "function", "function": function}]
    roles = [message["role"] for message in turn["client_request"]["messages"]]
    assert roles == ["user", "assistant", "tool", "user", "user"]
    assert turn["client_request"]["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "done"}
    message = turn["client_response"]["choices"][0]["message"]
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"},
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "f"},
        {"gen_ai.operation.name": "retrieval", "gen_ai.request.model": "e"},
        {"gen_ai.operation.name": "search_memory", "gen_ai.input.messages": "words"},
        {"llm.request.type": "embedding", "gen_ai.prompt.0.content": "words"},
        {"llm.request.type": "rerank", "gen_ai.prompt.0.content": "words"},
        {"openinference.span.kind": "EMBEDDING", "input.value": "words"},
        {"openinference.span.kind": "RETRIEVER", "input.value": "words", "output.value": "more"},
        {"openinference.span.kind": "TOOL", "input.value": "words", "output.value": "more"},
        {"openinference.span.kind": "CHAIN", "input.value": "words", "output.value": "more"},
        {"traceloop.span.kind": "tool", "traceloop.entity.input": "words"},
        {"ai.operationId": "ai.embed", "ai.value": "words", "gen_ai.request.model": "e"},
        {"langfuse.observation.type": "span", "langfuse.observation.input": ""},
        {"request_data": '{"some": "form"}'},
        {"http.request.method": "GET"},
    ],
)
def test_what_is_no_call_of_a_model_is_no_turn(
    attributes: dict[str, Any], traced: Traced, caplog: pytest.LogCaptureFixture
) -> None:
    traced.span(attributes)
    assert traced.turns() == []
    assert not caplog.records


@pytest.mark.parametrize(
    ("attribute", "conversation"),
    [
        ("gen_ai.conversation.id", "c 1"),
        ("session.id", "s1"),
        ("langfuse.session.id", "s2"),
        ("traceloop.association.properties.session_id", "s3"),
    ],
)
def test_an_id_on_the_span_is_the_conversation(attribute: str, conversation: str, traced: Traced) -> None:
    traced.span({**_CALL, attribute: conversation})
    traced.span({**_CALL, "gen_ai.input.messages": "something else", attribute: conversation})
    assert len(traced.turns()) == 2
    (document,) = conversations(traced.directory)
    assert document["conversation_id"] == conversation.replace(" ", "_")
    assert {turn["otel"]["identity"] for turn in document["turns"]} == {"explicit"}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("http.request.header.authorization", ("Bearer sk-0123456789",), ["Bear***6789"]),
        ("http.request.header.x-team", ("a",), ["a"]),
        (
            "llm.headers",
            "{'Authorization': 'Bearer sk-0123456789', 'x': 'y'}",
            {"Authorization": "Bear***6789", "x": "y"},
        ),
        ("gen_ai.headers", "None", "None"),
        ("gen_ai.headers", "{'Authorization': 'Bearer sk-0123456789', ", "***"),
        ("http.response.status_code", 200, 200),
    ],
)
def test_secrets_in_headers_are_masked(name: str, value: Any, shown: Any, traced: Traced) -> None:
    traced.span({**_CALL, name: value})
    (turn,) = traced.turns()
    assert turn["metadata"][name] == shown


def test_an_error_is_what_the_span_says_of_it(traced: Traced) -> None:
    span = traced.tracer.start_span("chat m", attributes={**_CALL, "error.type": "429"})
    span.record_exception(RuntimeError("too many"))
    span.set_status(Status(StatusCode.ERROR, "described"))
    span.end()
    (turn,) = traced.turns()
    assert turn["error"]["type"] == "429"
    assert turn["error"]["message"] == "too many"
    assert "RuntimeError: too many" in turn["error"]["stacktrace"]


@pytest.mark.parametrize("limit", [40, 128])
def test_a_dialogue_that_outgrows_the_limits_stays_together(limit: int, tmp_path: Path) -> None:
    traced = Traced(tmp_path, span_limits=SpanLimits(max_span_attributes=limit))
    history: list[dict[str, str]] = []
    for number in range(limit // 2):
        history.append({"role": "user", "content": f"question {number}"})
        reply = f"The answer to the question with the number {number}, in as many words as are usual."
        attributes = {
            "input.value": json.dumps({"model": "m", "messages": history}),
            "input.mime_type": "application/json",
        }
        for place, message in enumerate(history):
            for name, value in message.items():
                attributes[f"llm.input_messages.{place}.message.{name}"] = value
        attributes["llm.output_messages.0.message.role"] = "assistant"
        attributes["llm.output_messages.0.message.content"] = reply
        attributes["openinference.span.kind"] = "LLM"
        traced.span(attributes)
        history.append({"role": "assistant", "content": reply})
    turns = traced.turns()
    assert len(turns) == limit // 2
    assert len(conversations(tmp_path)) == 1
    assert turns[0]["otel"]["complete"] is True
    lost = turns[-1]["otel"]["lost"]
    assert lost["messages"] == len(history) - 1 - len(turns[-1]["client_request"]["messages"])
    assert lost["attributes"] > limit
    assert turns[-1]["otel"]["identity"] == "compacted"


@pytest.mark.parametrize(
    ("prompts", "answer"),
    [
        ("llm.prompts.{}.content", "llm.completions.0.content"),
        ("gen_ai.prompt.{}.content", "gen_ai.completion.0.content"),
        ("llm.input_messages.{}.message.content", "llm.output_messages.0.message.content"),
    ],
)
def test_a_span_whose_kind_was_dropped_is_known_by_its_answer(prompts: str, answer: str, traced: Traced) -> None:
    first = {"openinference.span.kind": "LLM"} if "input" in prompts else {"llm.request.type": "chat"}
    asked = {prompts.format(number): f"message {number}" for number in range(200)}
    traced.span({**first, **asked, answer: "hi"})
    (turn,) = traced.turns()
    assert turn["client_request"]["messages"][-1]["content"] == "message 199"
    assert turn["otel"]["lost"]["messages"] == 73


def test_limits_are_warned_of_once_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spans = load(SPANS / "openinference" / "long_chat.jsonl")
    logged(tmp_path, spans + spans)
    (record,) = caplog.records
    assert "messages: 61" in record.getMessage()
    assert "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" in record.getMessage()


def test_json_that_was_cut_is_kept_as_text(tmp_path: Path) -> None:
    traced = Traced(tmp_path, span_limits=SpanLimits(max_attribute_length=60))
    traced.span(_CALL)
    (turn,) = traced.turns()
    assert turn["client_request"]["messages"] == json.dumps(_ASKED)[:60]
    assert turn["otel"]["lost"] == {"truncated": ["gen_ai.input.messages", "gen_ai.output.messages"]}
    assert turn["otel"]["complete"] is False
    assert turn["otel"]["identity"] == "turn"


@pytest.mark.parametrize(
    ("scope", "switch"),
    [
        ("opentelemetry.instrumentation.genai.openai", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only"),
        ("opentelemetry.instrumentation.openai.v1", "TRACELOOP_TRACE_CONTENT=true"),
        ("openinference.instrumentation.openai", "OPENINFERENCE_HIDE_INPUTS=false"),
        ("com.anthropic.sdk.python", "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE=content"),
        ("anything.else", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only"),
    ],
)
def test_calls_without_content_are_warned_of_once(
    scope: str, switch: str, traced: Traced, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bare = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    if scope.startswith("openinference"):
        bare = {"openinference.span.kind": "LLM"}
    tracer = traced.provider.get_tracer(scope)
    tracer.start_span("chat m", attributes=bare).end()
    assert not caplog.records  # it may be the first of many
    monkeypatch.setattr(content_capture, "_PATIENCE_S", 0)
    for _ in range(3):
        tracer.start_span("chat m", attributes=bare).end()
    assert traced.turns() == []
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert switch in record.getMessage()
    assert scope in record.getMessage()


def test_calls_without_content_are_warned_of_at_the_end_of_a_short_process(
    traced: Traced, caplog: pytest.LogCaptureFixture
) -> None:
    traced.span({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"})
    traced.provider.shutdown()
    assert "without what was said" in caplog.text


def test_a_library_s_own_bare_spans_beside_content_are_not_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logged(tmp_path, load(SPANS / "genai" / "messages.jsonl"))
    assert not caplog.records
