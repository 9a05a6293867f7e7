"""OpenAI responses: https://platform.openai.com/docs/api-reference/responses."""

from __future__ import annotations

from collections.abc import Iterator

from examples.upstream.chat import error
from examples.upstream.model import CREATED, Dialogue, Json, Reply, decide, flat_text, sse

__all__ = ["answer", "error", "stream", "stream_error"]  # an error answer has the shape that chat gives it


def answer(request: Json) -> Json:
    """The whole answer: a `response`."""
    reply = decide(request, _read(request))
    return _response(request, reply, "completed", [_item(reply, "completed")])


def stream(request: Json) -> Iterator[bytes]:
    """The answer as events from `response.created` to `response.completed`."""
    reply = decide(request, _read(request))
    for number, (kind, data) in enumerate(_events(request, reply)):
        yield sse({"type": kind, "sequence_number": number, **data}, kind)


def stream_error(message: str) -> bytes:
    """The event by which an error in mid-stream is reported."""
    failed = {"object": "response", "status": "failed", "error": {"code": "server_error", "message": message}}
    empty = {"id": "resp_failed", "created_at": CREATED, "model": None, "output": [], "usage": None}
    return sse({"type": "response.failed", "sequence_number": 0, "response": {**empty, **failed}}, "response.failed")


def _events(request: Json, reply: Reply) -> Iterator[tuple[str, Json]]:
    item, done = _item(reply, "in_progress"), _item(reply, "completed")
    place = {"item_id": item["id"], "output_index": 0}
    yield "response.created", {"response": _response(request, reply, "in_progress", [])}
    yield "response.in_progress", {"response": _response(request, reply, "in_progress", [])}
    yield "response.output_item.added", {"output_index": 0, "item": item}
    if reply.tool:
        for piece in reply.pieces:
            yield "response.function_call_arguments.delta", {**place, "delta": piece}
        yield "response.function_call_arguments.done", {**place, "arguments": reply.arguments, "name": reply.tool}
    else:
        place["content_index"] = 0
        yield "response.content_part.added", {**place, "part": _text_part("")}
        for piece in reply.pieces:
            yield "response.output_text.delta", {**place, "delta": piece, "logprobs": []}
        yield "response.output_text.done", {**place, "text": reply.text, "logprobs": []}
        yield "response.content_part.done", {**place, "part": _text_part(reply.text)}
    yield "response.output_item.done", {"output_index": 0, "item": done}
    yield "response.completed", {"response": _response(request, reply, "completed", [done])}


def _read(request: Json) -> Dialogue:
    given = request.get("input")
    items = given if isinstance(given, list) else [{"role": "user", "content": given}]
    user_texts: list[str] = []
    tool_results: list[str] = []
    for item in items:
        if item.get("role") == "user":
            user_texts.append(flat_text(item.get("content")))
            tool_results = []
        elif item.get("type") == "function_call_output":
            tool_results.append(flat_text(item.get("output")))
    tools = request.get("tools") or []
    return Dialogue(user_texts, tool_results, tools[0]["name"] if tools else None)


def _item(reply: Reply, status: str) -> Json:
    done = status == "completed"
    if reply.tool:
        call = {"call_id": f"call_{reply.key}", "name": reply.tool, "arguments": reply.arguments if done else ""}
        return {"id": f"fc_{reply.key}", "type": "function_call", "status": status, **call}
    content = [_text_part(reply.text)] if done else []
    return {"id": f"msg_{reply.key}", "type": "message", "status": status, "role": "assistant", "content": content}


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response(request: Json, reply: Reply, status: str, output: list[Json]) -> Json:
    usage = {
        "input_tokens": reply.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": reply.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": reply.input_tokens + reply.output_tokens,
    }
    return {
        "id": f"resp_{reply.key}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "metadata": request.get("metadata") or {},
        "model": request.get("model"),
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": request.get("previous_response_id"),
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": request.get("tools") or [],
        "usage": usage if status == "completed" else None,
    }
