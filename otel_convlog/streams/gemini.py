"""Streams of Gemini (https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.streams.values import Stream, index_of, items_of, merge

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json
    from otel_convlog.streams.values import Object


class GeminiStream(Stream):
    """Puts the chunks of a stream together, each of which is an answer like a whole one."""

    def __init__(self) -> None:
        self._rest: Object = {}
        self._candidates: dict[int, tuple[list[Json], Object]] = {}

    def add(self, chunk: Object) -> None:
        """Take the next chunk."""
        inner = chunk.get("response")
        whole = inner if isinstance(inner, dict) else chunk
        merge(self._rest, whole, without=("candidates", "error"))
        for candidate in items_of(whole.get("candidates")):
            parts, end = self._candidates.setdefault(index_of(candidate), ([], {"finishReason": None}))
            content = candidate.get("content")
            more = content.get("parts") if isinstance(content, dict) else None
            for part in more if isinstance(more, list) else []:
                _add(parts, part)
            merge(end, candidate, without=("content", "index"))

    def answer(self) -> Json:
        """Return the answer so far."""
        candidates: list[Json] = [
            {"index": index, "content": {"role": "model", "parts": parts}, **end}
            for index, (parts, end) in sorted(self._candidates.items())
        ]
        return {"candidates": candidates, **self._rest}

    @property
    def ended(self) -> bool:
        """Whether each candidate has said why it ends, or the prompt was refused."""
        if not self._candidates:
            feedback = self._rest.get("promptFeedback")
            return isinstance(feedback, dict) and "blockReason" in feedback
        return all(end["finishReason"] is not None for _, end in self._candidates.values())


def _add(parts: list[Json], part: Json) -> None:
    """Add a part; text goes on the text before it, where both are said, or both thought."""
    last = parts[-1] if parts else None
    if isinstance(part, dict) and isinstance(last, dict) and set(part) | set(last) <= {"text", "thought"}:
        text, before = part.get("text"), last.get("text")
        if isinstance(text, str) and isinstance(before, str) and part.get("thought") == last.get("thought"):
            parts[-1] = {**last, "text": before + text}
            return
    parts.append(part)
