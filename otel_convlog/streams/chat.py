"""Streams of OpenAI's chat/completions (https://platform.openai.com/docs/api-reference/chat-streaming)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.streams.growing import Growing
from otel_convlog.streams.values import Stream, index_of, items_of, merge

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json
    from otel_convlog.streams.values import Object

# Of a chunk, and of its choices, what is not taken over as it is; servers beyond OpenAI's own add to both.
_NOT_THE_ANSWERS = frozenset({"choices", "error", "obfuscation", "object", "usage"})
_NOT_THE_CHOICES = frozenset({"delta", "index", "logprobs"})


class ChatStream(Stream):
    """Puts the chunks of a chat's stream together."""

    def __init__(self) -> None:
        self._head: Object = {}
        self._usage: Object = {}
        self._choices: dict[int, _Choice] = {}

    def add(self, chunk: Object) -> None:
        """Take the next chunk."""
        merge(self._head, chunk, without=_NOT_THE_ANSWERS)
        if chunk.get("usage") is not None:
            self._usage = {"usage": chunk["usage"]}
        for choice in items_of(chunk.get("choices")):
            self._choices.setdefault(index_of(choice), _Choice()).add(choice)

    def answer(self) -> Json:
        """Return the answer so far."""
        choices: list[Json] = [{"index": index, **choice.answer()} for index, choice in sorted(self._choices.items())]
        return {**self._head, "object": "chat.completion", "choices": choices, **self._usage}

    @property
    def ended(self) -> bool:
        """Whether each choice has said why it ends."""
        return bool(self._choices) and all(choice.ended for choice in self._choices.values())


class _Choice:
    def __init__(self) -> None:
        self._message: dict[str, Growing] = {}
        self._calls: list[_Call] = []
        self._current: dict[int, _Call] = {}
        self._logprobs = Growing()
        self._end: Object = {"finish_reason": None}

    def add(self, choice: Object) -> None:
        delta = choice.get("delta")
        for name, piece in delta.items() if isinstance(delta, dict) else ():
            if name == "tool_calls":
                for call in items_of(piece):
                    self._call_of(call).add(call)
            elif name != "role":
                self._message.setdefault(name, Growing()).add(piece, name)
        self._logprobs.add(choice.get("logprobs"))
        merge(self._end, choice, without=_NOT_THE_CHOICES)

    def _call_of(self, call: Object) -> _Call:
        """Return the call that a piece is of. Some servers give all of them the same index: there the id tells."""
        index = index_of(call)
        known = self._current.get(index)
        if known is None or known.is_another(call):
            known = self._current[index] = _Call()
            self._calls.append(known)
        return known

    @property
    def ended(self) -> bool:
        return self._end["finish_reason"] is not None

    def answer(self) -> Object:
        said = {name: value for name, piece in self._message.items() if (value := piece.value())}
        message: Object = {"role": "assistant", "content": said.pop("content", None), **said}
        if self._calls:
            message["tool_calls"] = [call.answer() for call in self._calls]
        logprobs = self._logprobs.value()
        return {"message": message, **({"logprobs": logprobs} if logprobs else {}), **self._end}


class _Call:
    def __init__(self) -> None:
        self._id: Json = None
        self._call = Growing()

    def is_another(self, call: Object) -> bool:
        """Say whether a piece begins another call: it has an id of its own, and a name."""
        function = call.get("function")
        named = isinstance(function, dict) and bool(function.get("name"))
        return named and bool(self._id) and bool(call.get("id")) and call["id"] != self._id

    def add(self, call: Object) -> None:
        self._id = call.get("id") or self._id
        self._call.add({name: piece for name, piece in call.items() if name not in ("index", "id")})

    def answer(self) -> Json:
        call = self._call.value()
        return {"id": self._id, "type": "function", **(call if isinstance(call, dict) else {})}
