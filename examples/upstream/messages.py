"""Anthropic messages: https://docs.anthropic.com/en/api/messages."""

from __future__ import annotations

import json
from collections.abc import Iterator

from examples.upstream.model import Dialogue, Json, Reply, decide, flat_text, sse

# https://docs.anthropic.com/en/api/errors
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def answer(request: Json) -> Json:
    """The whole answer: a `message`."""
    reply = decide(request, _read(request))
    full = {"input": json.loads(reply.arguments)} if reply.tool else {"text": reply.text}
    return _message(request, reply, [{**_block(reply), **full}], _stop_reason(reply), reply.output_tokens)


def stream(request: Json) -> Iterator[bytes]:
    """The answer as events from `message_start` to `message_stop`."""
    reply = decide(request, _read(request))
    for kind, data in _events(request, reply):
        yield sse({"type": kind, **data}, kind)


def error(status: int, message: str) -> Json:
    """The body of an error answer."""
    return {"type": "error", "error": {"type": _ERROR_TYPES.get(status, "api_error"), "message": message}}


def stream_error(message: str) -> bytes:
    """The event by which an error in mid-stream is reported."""
    return sse(error(529, message), "error")


def _events(request: Json, reply: Reply) -> Iterator[tuple[str, Json]]:
    yield "message_start", {"message": _message(request, reply, [], None, 1)}
    yield "content_block_start", {"index": 0, "content_block": _block(reply)}
    yield "ping", {}
    for piece in reply.pieces:
        if reply.tool:
            delta = {"type": "input_json_delta", "partial_json": piece}
        else:
            delta = {"type": "text_delta", "text": piece}
        yield "content_block_delta", {"index": 0, "delta": delta}
    yield "content_block_stop", {"index": 0}
    end = {"stop_reason": _stop_reason(reply), "stop_sequence": None}
    yield "message_delta", {"delta": end, "usage": {"output_tokens": reply.output_tokens}}
    yield "message_stop", {}


def _read(request: Json) -> Dialogue:
    user_texts: list[str] = []
    tool_results: list[str] = []
    for message in request.get("messages") or []:
        if message.get("role") != "user":
            continue
        content = message.get("content")
        blocks = content if isinstance(content, list) else []
        results = [flat_text(block.get("content")) for block in blocks if block.get("type") == "tool_result"]
        if results:
            tool_results += results
        else:
            user_texts.append(flat_text(content))
            tool_results = []
    tools = request.get("tools") or []
    return Dialogue(user_texts, tool_results, tools[0]["name"] if tools else None)


def _block(reply: Reply) -> Json:
    """A content block as it is when its stream begins: still empty."""
    if reply.tool:
        return {"type": "tool_use", "id": f"toolu_{reply.key}", "name": reply.tool, "input": {}}
    return {"type": "text", "text": ""}


def _message(request: Json, reply: Reply, content: list[Json], stop_reason: str | None, output_tokens: int) -> Json:
    return {
        "id": f"msg_{reply.key}",
        "type": "message",
        "role": "assistant",
        "model": request.get("model"),
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": reply.input_tokens, "output_tokens": output_tokens},
    }


def _stop_reason(reply: Reply) -> str:
    return "tool_use" if reply.tool else "end_turn"
