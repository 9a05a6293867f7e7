"""OpenAI chat completions: https://platform.openai.com/docs/api-reference/chat."""

from __future__ import annotations

from collections.abc import Iterator

from examples.upstream.model import CREATED, Dialogue, Json, Reply, decide, flat_text, sse

_ERROR_TYPES = {400: "invalid_request_error", 401: "invalid_request_error", 429: "rate_limit_error"}


def answer(request: Json) -> Json:
    """The whole answer: a `chat.completion`."""
    reply = decide(request, _read(request))
    message: Json = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if reply.tool:
        message["tool_calls"] = [_tool_call(reply, reply.arguments)]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(reply)}
    return {**_head(request, reply, "chat.completion"), "choices": [choice], "usage": _usage(reply)}


def stream(request: Json) -> Iterator[bytes]:
    """The answer as `chat.completion.chunk` events and `[DONE]`; with a chunk of usage where the client asks for it."""
    reply = decide(request, _read(request))
    head = _head(request, reply, "chat.completion.chunk")
    include_usage = bool((request.get("stream_options") or {}).get("include_usage"))
    if include_usage:
        head["usage"] = None

    def chunk(delta: Json, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse({**head, "choices": [choice]})

    if reply.tool:
        yield chunk({"role": "assistant", "content": None, "tool_calls": [{"index": 0, **_tool_call(reply, "")}]})
        for piece in reply.pieces:
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    else:
        yield chunk({"role": "assistant", "content": ""})
        for piece in reply.pieces:
            yield chunk({"content": piece})
    yield chunk({}, _finish_reason(reply))
    if include_usage:
        yield sse({**head, "choices": [], "usage": _usage(reply)})
    yield sse("[DONE]")


def error(status: int, message: str) -> Json:
    """The body of an error answer."""
    return {
        "error": {"message": message, "type": _ERROR_TYPES.get(status, "server_error"), "param": None, "code": None}
    }


def stream_error(message: str) -> bytes:
    """The chunk by which an error in mid-stream is reported."""
    return sse(error(500, message))


def _read(request: Json) -> Dialogue:
    user_texts: list[str] = []
    tool_results: list[str] = []
    for message in request.get("messages") or []:
        if message.get("role") == "user":
            user_texts.append(flat_text(message.get("content")))
            tool_results = []
        elif message.get("role") == "tool":
            tool_results.append(flat_text(message.get("content")))
    tools = request.get("tools") or []
    return Dialogue(user_texts, tool_results, tools[0]["function"]["name"] if tools else None)


def _head(request: Json, reply: Reply, kind: str) -> Json:
    return {"id": f"chatcmpl-{reply.key}", "object": kind, "created": CREATED, "model": request.get("model")}


def _tool_call(reply: Reply, arguments: str) -> Json:
    return {
        "id": f"call_{reply.key}",
        "type": "function",
        "function": {"name": reply.tool, "arguments": arguments},
    }


def _finish_reason(reply: Reply) -> str:
    return "tool_calls" if reply.tool else "stop"


def _usage(reply: Reply) -> Json:
    return {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
    }
