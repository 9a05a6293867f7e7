"""What the stand-in model answers, decided from the request alone and once for all protocols.

There is no clock and no randomness: the same request gets the same bytes, so a run can be compared with the one before.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]

CREATED = 1_767_225_600  # every answer's time of creation: 2026-01-01T00:00:00Z


@dataclass(frozen=True)
class Dialogue:
    """What the model reads in a request, whatever the protocol.

    Attributes:
        user_texts: The text of every user message, in order.
        tool_results: What the tools gave back after the last of them.
        tool: The name of the first tool on offer, or None.
    """

    user_texts: list[str]
    tool_results: list[str]
    tool: str | None


@dataclass(frozen=True)
class Reply:
    """What the model says, whatever the protocol: a text, or a call of a tool.

    Attributes:
        key: 24 hex digits that the request determines; ids are made of it.
        text: The answer; empty where a tool is called.
        tool: The name of the tool that is called, or None.
        arguments: The call's arguments as JSON text.
        input_tokens: A token for every four characters of the request.
    """

    key: str
    text: str
    tool: str | None
    arguments: str
    input_tokens: int

    @property
    def pieces(self) -> list[str]:
        """The text, or else the arguments, in the pieces in which they are streamed."""
        return re.findall(r"\s*\S+", self.text or self.arguments)

    @property
    def output_tokens(self) -> int:
        """A token for every piece."""
        return len(self.pieces)


def decide(request: Json, dialogue: Dialogue) -> Reply:
    """Call the tool where there is one and weather is asked for; else say what was asked, or what the tools found."""
    text = json.dumps(request, sort_keys=True)
    tool, arguments, answer = None, "", ""
    asked = dialogue.user_texts[-1] if dialogue.user_texts else ""
    if dialogue.tool_results:
        answer = f"The tool says: {'; '.join(dialogue.tool_results)}. Anything else?"
    elif dialogue.tool and "weather" in asked.lower():
        place = re.search(r"\bin (\w+)", asked)
        tool = dialogue.tool
        arguments = json.dumps({"city": place[1] if place else "Paris", "unit": "celsius"}, ensure_ascii=False)
    else:
        answer = f"Answer {len(dialogue.user_texts)} to “{asked}”: all is well — 一切都好 — and nothing was charged."
    return Reply(hashlib.sha256(text.encode()).hexdigest()[:24], answer, tool, arguments, max(1, len(text) // 4))


def flat_text(content: object) -> str:
    """The text of a message's content: a string, or a list of blocks of which some have a `text`."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    blocks = [block for block in content if isinstance(block, dict)]
    return "".join(str(block.get("text") or "") for block in blocks)


def sse(data: object, event: str | None = None) -> bytes:
    """One server-sent event; data that is no text goes as JSON."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {text}\n\n".encode()


class Dialect(Protocol):
    """What a protocol's module offers."""

    def answer(self, request: Json) -> Json:
        """The whole answer."""

    def stream(self, request: Json) -> Iterator[bytes]:
        """The answer as server-sent events."""

    def error(self, status: int, message: str) -> Json:
        """The body of an error answer."""

    def stream_error(self, message: str) -> bytes:
        """The event by which the protocol reports an error in mid-stream."""
