"""Streamed answers, put together, are the whole ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from examples.upstream import chat, messages, responses
from otel_convlog.streams import assemble
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
