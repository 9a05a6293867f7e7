"""Streams of Anthropic's messages (https://docs.anthropic.com/en/api/messages-streaming)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.jsontext import json_or_none
from otel_convlog.streams.values import Stream, index_of, merge

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json
    from otel_convlog.streams.values import Object

_NOT_THE_HEAD = frozenset({"content", "stop_reason", "stop_sequence", "usage"})
_NOT_THE_END = frozenset({"delta", "type", "usage"})

# What a delta adds to its block, and where: its type, and the block's field. (The content is of a compaction.)
_TEXTS = {"text": "text", "thinking": "thinking", "partial_json": "input", "content": "content"}

# What a block is that has not been said to begin.
_TYPES = {"input": "tool_use", "content": "compaction"}


class MessagesStream(Stream):
    """Puts the events of a message's stream together."""

    def __init__(self) -> None:
        self._head: Object = {"type": "message", "role": "assistant"}
        self._end: Object = {"stop_reason": None}
        self._usage: Object = {}
        self._blocks: dict[int, Object] = {}
        self._pieces: dict[tuple[int, str], list[str]] = {}

    def add(self, chunk: Object) -> None:
        """Take the next event."""
        message, block, delta = chunk.get("message"), chunk.get("content_block"), chunk.get("delta")
        merge(self._head, message, without=_NOT_THE_HEAD)
        for holder in (message, chunk):  # the input is counted at the start, the output at the end
            usage = holder.get("usage") if isinstance(holder, dict) else None
            if isinstance(usage, dict):
                self._usage.update({name: count for name, count in usage.items() if count is not None})
        if chunk.get("type") == "message_delta":
            merge(self._end, delta, without=())
            merge(self._end, chunk, without=_NOT_THE_END)
            return
        index = index_of(chunk)
        if isinstance(block, dict):
            self._blocks[index] = dict(block)
        if isinstance(delta, dict):
            for name, field in _TEXTS.items():
                if isinstance(piece := delta.get(name), str):
                    self._pieces.setdefault((index, field), []).append(piece)
            if isinstance(signature := delta.get("signature"), str):
                self._blocks.setdefault(index, {"type": "thinking"})["signature"] = signature
            if isinstance(citation := delta.get("citation"), dict):
                known = self._blocks.setdefault(index, {"type": "text"}).get("citations")
                self._blocks[index]["citations"] = [*(known if isinstance(known, list) else []), citation]

    @property
    def ended(self) -> bool:
        """Whether the message has said why it stops."""
        return self._end["stop_reason"] is not None

    def answer(self) -> Json:
        """Return the answer so far."""
        blocks = {index: dict(block) for index, block in self._blocks.items()}
        for (index, field), pieces in self._pieces.items():
            block = blocks.setdefault(index, {"type": _TYPES.get(field, field)})
            text = "".join(pieces)
            if field == "input":
                read = json_or_none(text)
                block["input"] = read if isinstance(read, dict) else text or block.get("input")
            else:
                before = block.get(field)
                block[field] = (before if isinstance(before, str) else "") + text
        usage: Object = {"usage": self._usage} if self._usage else {}
        return {**self._head, "content": [block for _, block in sorted(blocks.items())], **self._end, **usage}
