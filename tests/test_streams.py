"""Streamed answers, put together, are the whole ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

from examples.upstream import chat, messages, responses
from otel_convlog.streams import assemble, assemble_whole
from otel_convlog.streams.sse import EventParser

_TOOL_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
_DIALECTS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "chat": (
        chat,
        {"messages": [{"role": "user", "content": "What is 你好?"}], "stream_options": {"include_usage": True}},
        {
            "messages": [{"role": "user", "content": "What is the weather in Oslo?"}],
            "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": _TOOL_SCHEMA}}],
            "stream_options": {"include_usage": True},
        },
    ),
    "responses": (
        responses,
        {"input": "What is 你好?"},
        {
            "input": "What is the weather in Oslo?",
            "tools": [{"type": "function", "name": "get_weather", "parameters": _TOOL_SCHEMA}],
        },
    ),
    "messages": (
        messages,
        {"messages": [{"role": "user", "content": "What is 你好?"}], "max_tokens": 9},
        {
            "messages": [{"role": "user", "content": "What is the weather in Oslo?"}],
            "tools": [{"name": "get_weather", "input_schema": _TOOL_SCHEMA}],
            "max_tokens": 9,
        },
    ),
}


def chunks_of(dialect: Any, request: dict[str, Any]) -> list[Any]:
    parser = EventParser()
    events = [event for piece in dialect.stream(request) for event in parser.feed(piece)]
    return [json.loads(event.data) if event.data != b"[DONE]" else "[DONE]" for event in events]


def said(value: Any) -> Any:
    """Return an answer without what is null or empty: a stream says nothing of it."""
    if isinstance(value, dict):
        return {name: said(item) for name, item in value.items() if item not in (None, [], "")}
    return [said(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("tool", [False, True], ids=["text", "a tool call"])
@pytest.mark.parametrize("route", _DIALECTS)
def test_a_stream_put_together_is_the_whole_answer(route: str, tool: bool) -> None:
    dialect, *requests = _DIALECTS[route]
    request = {"model": "m", "stream": True, **requests[tool]}
    assembled = assemble(chunks_of(dialect, request))
    assert said(assembled) == said(dialect.answer(request))


@pytest.mark.parametrize("route", _DIALECTS)
def test_a_stream_that_breaks_off_gives_what_came_and_no_reason(route: str) -> None:
    dialect, request, _ = _DIALECTS[route]
    chunks = chunks_of(dialect, {"model": "m", **request, "stream": True})
    words = json.dumps(assemble(chunks), ensure_ascii=False)
    for count in range(1, len(chunks)):
        assembled: Any = assemble(chunks[:count])
        if route == "chat":
            (choice,) = assembled["choices"]
            assert (choice["message"]["content"] or "") in words
            assert choice["finish_reason"] in (None, "stop")
        elif route == "messages":
            assert assembled["stop_reason"] in (None, "end_turn")
        else:
            assert assembled["status"] in ("in_progress", "completed")


def test_thoughts_citations_and_signatures_are_kept() -> None:
    events: list[Any] = [
        {
            "type": "message_start",
            "message": {"id": "m1", "model": "c", "usage": {"input_tokens": 3, "output_tokens": 1}},
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "m"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "so"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "citations_delta", "citation": {"a": 1}}},
        {
            "type": "content_block_start",
            "index": 2,
            "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        },
        {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"a":'}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": " 1}"}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
    ]
    assert assemble(events) == {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "c",
        "content": [
            {"type": "thinking", "thinking": "hmm", "signature": "sig"},
            {"type": "text", "text": "so", "citations": [{"a": 1}]},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 9},
    }


def test_several_choices_reasoning_and_parallel_calls_are_kept_apart() -> None:
    def chunk(**delta: Any) -> dict[str, Any]:
        return {"id": "c1", "model": "m", "choices": [{"index": delta.pop("index", 0), "delta": delta}]}

    assembled: Any = assemble(
        [
            chunk(role="assistant", reasoning_content="hm"),
            chunk(content="a"),
            chunk(index=1, content="b"),
            chunk(tool_calls=[{"index": 0, "id": "t0", "function": {"name": "f", "arguments": "{"}}]),
            chunk(tool_calls=[{"index": 1, "id": "t1", "function": {"name": "g", "arguments": "[]"}}]),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": "}"}}]),
            {"choices": [], "usage": {"total_tokens": 3}},
        ]
    )
    first, second = (choice["message"] for choice in assembled["choices"])
    assert (first["reasoning_content"], first["content"], second["content"]) == ("hm", "a", "b")
    assert [(call["id"], call["function"]["arguments"]) for call in first["tool_calls"]] == [("t0", "{}"), ("t1", "[]")]
    assert assembled["usage"] == {"total_tokens": 3}


def test_a_response_that_breaks_off_has_the_items_so_far() -> None:
    assembled = assemble(
        [
            {"type": "response.created", "response": {"id": "r1", "model": "m", "status": "in_progress"}},
            {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs"}},
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "hm"},
            {"type": "response.output_item.added", "output_index": 1, "item": {"type": "function_call", "name": "f"}},
            {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{"},
        ]
    )
    assert assembled == {
        "id": "r1",
        "model": "m",
        "status": "in_progress",
        "output": [
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "function_call", "name": "f", "arguments": "{"},
        ],
    }


def test_gemini_s_parts_are_joined() -> None:
    def chunk(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, **more}], "modelVersion": "g"}

    assembled = assemble(
        [
            chunk({"text": "hm", "thought": True}),
            chunk({"text": "m", "thought": True}),
            chunk({"text": "so "}),
            chunk({"text": "it is"}, {"functionCall": {"name": "f", "args": {}}}),
            {**chunk(finishReason="STOP"), "usageMetadata": {"totalTokenCount": 7}},
        ]
    )
    assert assembled == {
        "candidates": [
            {
                "index": 0,
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "hmm", "thought": True},
                        {"text": "so it is"},
                        {"functionCall": {"name": "f", "args": {}}},
                    ],
                },
                "finishReason": "STOP",
            }
        ],
        "modelVersion": "g",
        "usageMetadata": {"totalTokenCount": 7},
    }


def test_what_is_no_known_stream_gives_nothing() -> None:
    assert assemble([{"some": "event"}, "text", 7, None]) is None


def test_what_servers_add_to_a_chat_is_kept() -> None:
    def chunk(**choice: Any) -> dict[str, Any]:
        return {"id": "c1", "object": "chat.completion.chunk", "obfuscation": "x", "choices": [{"index": 0, **choice}]}

    tokens: list[dict[str, Any]] = [
        {"token": word, "logprob": -0.5, "bytes": None, "top_logprobs": []} for word in "ab"
    ]
    thought = {"type": "reasoning.text", "format": "f", "index": 0}
    assembled = assemble(
        [
            {**chunk(delta={"role": "assistant", "content": ""}), "model": "", "citations": ["https://a"]},
            chunk(delta={"role": "assistant", "content": "a"}, logprobs={"content": tokens[:1], "refusal": None}),
            chunk(delta={"content": "b"}, logprobs={"content": tokens[1:], "refusal": None}),
            chunk(delta={"reasoning_details": [{**thought, "text": "h"}]}),
            chunk(delta={"reasoning_details": [{**thought, "text": "m", "signature": "s"}]}),
            chunk(delta={"audio": {"id": "au", "transcript": "so", "data": "AA"}}),
            chunk(delta={"audio": {"id": "au", "transcript": " it", "data": "BB", "expires_at": 7}}),
            chunk(delta={"annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}]}),
            {
                **chunk(delta={}, finish_reason="stop", content_filter_results={"hate": {"filtered": False}}),
                "model": "m",
            },
        ]
    )
    assert assembled == {
        "id": "c1",
        "object": "chat.completion",
        "model": "m",
        "citations": ["https://a"],
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "ab",
                    "reasoning_details": [{**thought, "text": "hm", "signature": "s"}],
                    "audio": {"id": "au", "transcript": "so it", "data": "AABB", "expires_at": 7},
                    "annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}],
                },
                "logprobs": {"content": tokens, "refusal": None},
                "finish_reason": "stop",
                "content_filter_results": {"hate": {"filtered": False}},
            }
        ],
    }


def test_calls_of_every_kind_stand_as_in_a_whole_answer() -> None:
    def message(*deltas: dict[str, Any]) -> Any:
        answer: Any = assemble([{"choices": [{"index": 0, "delta": delta}]} for delta in deltas])
        return answer["choices"][0]["message"]

    assert message({"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}}) == {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "f", "arguments": "{}"},
    }
    custom = message(
        {"tool_calls": [{"index": 0, "id": "t", "type": "custom", "custom": {"name": "sql", "input": "SEL"}}]},
        {"tool_calls": [{"index": 0, "custom": {"input": "ECT"}}]},
    )
    assert custom["tool_calls"] == [{"id": "t", "type": "custom", "custom": {"name": "sql", "input": "SELECT"}}]
    # Gemini, asked as OpenAI is, gives all calls of one answer the same index.
    parallel = message(
        {"tool_calls": [{"index": 0, "id": "t0", "function": {"name": "f", "arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "id": "t1", "function": {"name": "g", "arguments": "["}}]},
        {"tool_calls": [{"index": 0, "id": "t1", "function": {"arguments": "]"}}]},
    )
    assert [(call["id"], call["function"]) for call in parallel["tool_calls"]] == [
        ("t0", {"name": "f", "arguments": "{}"}),
        ("t1", {"name": "g", "arguments": "[]"}),
    ]


def test_what_a_message_says_beside_its_blocks_is_kept() -> None:
    assembled: Any = assemble(
        [
            {"type": "message_start", "message": {"id": "m1", "content": [], "stop_reason": None, "container": None}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "compaction", "content": None}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "compaction_delta", "content": "so far"}},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "refusal", "stop_details": {"type": "refusal"}, "container": {"id": "k"}},
                "context_management": {"applied_edits": []},
            },
        ]
    )
    assert assembled["content"] == [{"type": "compaction", "content": "so far"}]
    assert assembled["stop_details"] == {"type": "refusal"}
    assert assembled["container"] == {"id": "k"}
    assert assembled["context_management"] == {"applied_edits": []}


@pytest.mark.parametrize(
    ("kind", "item", "answer"),
    [
        ("mcp_call_arguments", "mcp_call", {"arguments": "{}"}),
        ("code_interpreter_call_code", "code_interpreter_call", {"code": "{}"}),
        ("custom_tool_call_input", "custom_tool_call", {"input": "{}"}),
    ],
)
def test_a_tool_s_input_that_breaks_off_is_kept(kind: str, item: str, answer: dict[str, Any]) -> None:
    assembled: Any = assemble(
        [
            {"type": "response.output_item.added", "output_index": 0, "item": {"type": item, "id": "i"}},
            {"type": f"response.{kind}.delta", "output_index": 0, "delta": "{"},
            {"type": f"response.{kind}.delta", "output_index": 0, "delta": "}"},
        ]
    )
    assert assembled["output"] == [{"type": item, "id": "i", **answer}]


def test_a_prompt_that_gemini_refuses_is_an_answer() -> None:
    refused: Any = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}
    assembled = assemble_whole([refused])
    assert assembled == ({"candidates": [], **refused}, True, None)
    answering: Any = {"promptFeedback": {"safetyRatings": []}, "candidates": [{"content": {"parts": [{"text": "a"}]}}]}
    assert not assemble_whole([answering]).ended


def test_what_gemini_says_of_a_candidate_is_kept() -> None:
    more: Any = {
        "avgLogprobs": -0.1,
        "logprobsResult": {"chosenCandidates": []},
        "urlContextMetadata": {"urlMetadata": []},
    }
    assembled: Any = assemble([{"candidates": [{"content": {"parts": []}, "finishReason": "STOP", **more}]}])
    assert assembled["candidates"][0].items() >= more.items()


@pytest.mark.parametrize("tool", [False, True], ids=["text", "a tool call"])
def test_a_chat_put_together_is_what_openai_s_client_makes_of_it(tool: bool) -> None:
    dialect, *requests = _DIALECTS["chat"]
    chunks = [
        chunk for chunk in chunks_of(dialect, {"model": "m", "stream": True, **requests[tool]}) if chunk != "[DONE]"
    ]
    state: Any = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    theirs = state.current_completion_snapshot.model_dump(exclude_unset=True)
    for choice in theirs["choices"]:
        for call in choice["message"].get("tool_calls") or ():
            del call["index"]
            call["function"].pop("parsed_arguments", None)
    assert said(assemble(chunks)) == said(theirs)


@pytest.mark.parametrize("tool", [False, True], ids=["text", "a tool call"])
def test_a_message_put_together_is_what_anthropic_s_client_makes_of_it(tool: bool) -> None:
    dialect, *requests = _DIALECTS["messages"]
    events = chunks_of(dialect, {"model": "m", "stream": True, **requests[tool]})
    kinds: Any = TypeAdapter(RawMessageStreamEvent)
    theirs: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        if event["type"] != "ping":
            theirs = accumulate_event(event=kinds.validate_python(event), current_snapshot=theirs, json_bufs=buffers)
    assert said(assemble(events)) == said(theirs.to_dict())
