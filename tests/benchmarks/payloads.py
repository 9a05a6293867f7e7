"""Requests like those of real clients: a system prompt, tools, and a history of messages with tool calls."""

from __future__ import annotations

import json
import random
from typing import Any

_WORDS = (
    "the", "request", "was", "sent", "upstream", "and", "came", "back", "with", "an", "error", "because", "retry",
    "budget", "had", "been", "used", "before;", "def", "handler(request):", "return", "{'status':", "200}", "#", "see",
)  # fmt: skip
_WORDS_BEYOND_ASCII = [*_WORDS, "naïve", "“quoted”", "—", "对话", "日本語", "Größe", "😀"]


def make_request(size_bytes: int, *, ascii_only: bool = True) -> dict[str, Any]:
    """Return a chat request of about that size as JSON, always the same one."""
    source = random.Random(size_bytes)
    words = _WORDS if ascii_only else _WORDS_BEYOND_ASCII

    def text(count: int) -> str:
        return " ".join(source.choices(words, k=count))

    tools = [
        {
            "type": "function",
            "function": {
                "name": f"tool_{number}",
                "description": text(30),
                "parameters": {"type": "object", "properties": {"path": {"type": "string", "description": text(8)}}},
            },
        }
        for number in range(12)
    ]
    messages: list[dict[str, Any]] = [{"role": "system", "content": text(200)}]
    request = {"model": "gpt-5", "temperature": 0.7, "stream": False, "tools": tools, "messages": messages}
    size = len(json.dumps(request))
    while size < size_bytes:
        number = len(messages)
        call = {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": "tool_1", "arguments": '{"path": "a"}'},
        }
        step: list[dict[str, Any]] = [
            {"role": "user", "content": [{"type": "text", "text": text(60)}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": text(150)},
            {"role": "assistant", "content": text(80)},
        ]
        messages += step
        size += len(json.dumps(step, ensure_ascii=False).encode())
    return request


def make_event() -> dict[str, Any]:
    """Return a streamed chunk as OpenAI's chat completions send it."""
    return {
        "type": "openai_chunk",
        "data": {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1_795_421_170,
            "model": "gpt-5-2026",
            "choices": [{"index": 0, "delta": {"content": " hello"}, "logprobs": None, "finish_reason": None}],
        },
    }


def make_small_values(size_bytes: int) -> dict[str, Any]:
    """Return a request of about that size that is all structure: short messages, tool calls, numbers."""
    source = random.Random(size_bytes)
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": "ok"}],
        "tool_calls": [{"id": "call_1", "function": {"name": "f", "arguments": "{}"}}],
        "logprobs": [round(source.random(), 4) for _ in range(6)],
    }
    count = size_bytes // len(json.dumps(message, separators=(",", ":")))
    return {"model": "gpt-5", "messages": [json.loads(json.dumps(message)) for _ in range(count)]}


PAYLOADS = {
    "text": make_request,
    "text beyond ASCII": lambda size_bytes: make_request(size_bytes, ascii_only=False),
    "many small values": make_small_values,
}
