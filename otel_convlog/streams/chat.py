"""Streams of OpenAI's chat/completions (https://platform.openai.com/docs/api-reference/chat-streaming)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.streams.values import Stream, collect, index_of, items_of, merged

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json
    from otel_convlog.streams.values import Object

_HEAD = ("id", "created", "model", "system_fingerprint", "service_tier")
_THOUGHTS = ("reasoning_content", "reasoning")  # of servers beyond OpenAI's own: DeepSeek's, vLLM; OpenRouter


class ChatStream(Stream):
    """Puts the chunks of a chat's stream together."""

    def __init__(self) -> None:
        self._head: Object = {}
        self._choices: dict[int, _Choice] = {}

    def add(self, chunk: Object) -> None:
        """Take the next chunk."""
        merged(self._head, chunk, (*_HEAD, "usage"))
        for choice in items_of(chunk.get("choices")):
            self._choices.setdefault(index_of(choice), _Choice()).add(choice)

    def answer(self) -> Json:
        """Return the answer so far."""
        choices: list[Json] = [{"index": index, **choice.answer()} for index, choice in sorted(self._choices.items())]
        head = {name: self._head[name] for name in _HEAD if name in self._head}
        usage: Object = {"usage": self._head["usage"]} if "usage" in self._head else {}
        return {**head, "object": "chat.completion", "choices": choices, **usage}

    @property
    def ended(self) -> bool:
        """Whether each choice has said why it ends."""
        return bool(self._choices) and all(choice.ended for choice in self._choices.values())


class _Choice:
    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {"content": [], "refusal": [], **{name: [] for name in _THOUGHTS}}
        self._calls: dict[int, _Call] = {}
        self._end: Object = {"finish_reason": None}

    def add(self, choice: Object) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            for name, pieces in self._texts.items():
                collect(pieces, delta.get(name))
            for call in items_of(delta.get("tool_calls")):
                self._calls.setdefault(index_of(call), _Call()).add(call)
            if isinstance(function := delta.get("function_call"), dict):  # the older form of a tool call
                self._calls.setdefault(0, _Call()).add({"function": function})
        merged(self._end, choice, ("finish_reason",))

    @property
    def ended(self) -> bool:
        return self._end["finish_reason"] is not None

    def answer(self) -> Object:
        texts = {name: "".join(pieces) for name, pieces in self._texts.items()}
        message: Object = {"role": "assistant", "content": texts.pop("content") or None}
        message.update({name: text for name, text in texts.items() if text})
        if self._calls:
            message["tool_calls"] = [call.answer() for _, call in sorted(self._calls.items())]
        return {"message": message, **self._end}


class _Call:
    def __init__(self) -> None:
        self._head: Object = {"id": None, "type": "function"}
        self._name: list[str] = []
        self._arguments: list[str] = []

    def add(self, call: Object) -> None:
        merged(self._head, call, ("id", "type"))
        function = call.get("function")
        if isinstance(function, dict):
            collect(self._name, function.get("name"))
            collect(self._arguments, function.get("arguments"))

    def answer(self) -> Object:
        return {**self._head, "function": {"name": "".join(self._name), "arguments": "".join(self._arguments)}}
