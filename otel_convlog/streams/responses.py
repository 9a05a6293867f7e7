"""Streams of OpenAI's responses (https://platform.openai.com/docs/api-reference/responses-streaming)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.streams.values import Stream, collect, index_of

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json
    from otel_convlog.streams.values import Object

_FINAL = ("response.completed", "response.incomplete", "response.failed")

# What a delta adds to an item that has not ended yet: its type, and where in it the text stands.
_DELTAS = {
    "response.output_text.delta": ("message", "content", "output_text", "text"),
    "response.refusal.delta": ("message", "content", "refusal", "refusal"),
    "response.reasoning_summary_text.delta": ("reasoning", "summary", "summary_text", "text"),
    "response.reasoning_text.delta": ("reasoning", "content", "reasoning_text", "text"),
}
_ARGUMENTS = {
    "response.function_call_arguments.delta": ("function_call", "arguments"),
    "response.custom_tool_call_input.delta": ("custom_tool_call", "input"),
    "response.mcp_call_arguments.delta": ("mcp_call", "arguments"),
    "response.code_interpreter_call_code.delta": ("code_interpreter_call", "code"),
}


class ResponsesStream(Stream):
    """Puts the events of a response's stream together; the last of them has the whole answer."""

    def __init__(self) -> None:
        self._response: Object = {}
        self._done: dict[int, Object] = {}
        self._begun: dict[int, Object] = {}
        self._texts: dict[tuple[int, str, int], list[str]] = {}  # by item, kind of event, and part of the item
        self._final = False

    def add(self, chunk: Object) -> None:
        """Take the next event."""
        kind, response, item = chunk.get("type"), chunk.get("response"), chunk.get("item")
        position = index_of(chunk, "output_index")
        if isinstance(response, dict):
            self._response = response
            self._final = kind in _FINAL
        if kind == "response.output_item.done" and isinstance(item, dict):
            self._done[position] = item
        elif kind == "response.output_item.added" and isinstance(item, dict):
            self._begun[position] = item
        elif isinstance(kind, str) and (kind in _DELTAS or kind in _ARGUMENTS):
            part = index_of(chunk, "summary_index" if "summary" in kind else "content_index")
            collect(self._texts.setdefault((position, kind, part), []), chunk.get("delta"))

    @property
    def ended(self) -> bool:
        """Whether one of the events has come that end a response."""
        return self._final

    def answer(self) -> Json:
        """Return the answer so far."""
        if self._final and self._response.get("output"):
            return self._response
        items: dict[int, Object] = {position: dict(item) for position, item in self._begun.items()}
        for (position, kind, _), pieces in sorted(self._texts.items()):
            item = items.setdefault(position, {})
            if kind in _ARGUMENTS:
                item_type, key = _ARGUMENTS[kind]
                item.setdefault("type", item_type)
                item[key] = "".join(pieces)
                continue
            item_type, holder, part_type, key = _DELTAS[kind]
            item.setdefault("type", item_type)
            if item_type == "message":
                item.setdefault("role", "assistant")
            known = item.get(holder)
            item[holder] = [*(known if isinstance(known, list) else []), {"type": part_type, key: "".join(pieces)}]
        items.update(self._done)
        status = self._response.get("status") if self._final else "in_progress"
        return {**self._response, "output": [item for _, item in sorted(items.items())], "status": status}
