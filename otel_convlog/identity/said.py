"""What one message says, as far as it is compared: digests and sizes, no words.

The digests depend on what keeps tenants apart, and on the log's key where nothing of the words is written: who has only
what is kept of a turn cannot try out what was said.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.identity.canonical import MEDIA, TEXT, Message, joined

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEAD = 48  # bytes of a message's beginning
_MOST_LINES = 3  # at the beginning of an answer
_SHORTEST_LINE = 40  # bytes
_SHORTEST_SUMMARY = 400  # bytes of an answer that may be the summary of a dialogue

_MOST_SUMMARY_LINES = 200
_MOST_CHARACTERS = 1 << 16
_MOST_BEFORE_MARKER = 300  # characters

# How clients begin the message that stands for the history they have left out (docs/identity.md).
_MARKERS = (
    "This session is being continued from a previous conversation",
    "Another language model started to solve this problem and produced a summary",
    "<conversation_summary>",
    "<state_snapshot>",
    "[CONTEXT COMPACTION",
    "Summary of the conversation so far",
    "summary of the previous conversation",
    "conversation history has been summarized",
)


class Line(NamedTuple):
    """A line that is long enough to tell it from others: its digest, and how many bytes it has."""

    digest: bytes
    size: int


class Told(NamedTuple):
    """How much a message tells.

    Attributes:
        text: How many bytes of text it has.
        size: How many bytes of anything but images and files.
        head: A digest of its first words; empty where they are too short to tell it from others.
    """

    text: int
    size: int
    head: bytes


class Known(NamedTuple):
    """What is known of a message whose words are not."""

    told: Told
    opening_lines: tuple[Line, ...] = ()
    summary_lines: tuple[Line, ...] = ()


@dataclass(slots=True)
class Said:
    """A message that says something.

    Attributes:
        assistant: Whether the model said it.
        digest: A digest of what it says.
        size: About how many bytes it says.
        source: It, or what is known of it where its words are not.
        scope: What the digests depend on.
    """

    assistant: bool
    digest: bytes
    size: int
    source: Message | Known
    scope: bytes = b""

    @property
    def told(self) -> Told:
        """How much it tells."""
        return self.source.told if isinstance(self.source, Known) else _told(self.source, self.scope)

    @property
    def opening_lines(self) -> tuple[Line, ...]:
        """The first lines of an answer, and of the summary in it: clients leave out what was thought before that."""
        if isinstance(self.source, Known):
            return self.source.opening_lines
        if self.size < _SHORTEST_SUMMARY:
            return ()
        text = "".join(value for _, value in self.source.parts if isinstance(value, str))
        lines = _long_lines(self.source, _MOST_LINES)
        if summary := text.partition("<summary>")[2]:
            lines += _long_lines(Message(assistant=True, parts=[(TEXT, summary)]), _MOST_LINES)
        return self._lines(lines)

    @property
    def summary_lines(self) -> tuple[Line, ...]:
        """The lines of a summary, where the message stands for a history that the client has left out."""
        if isinstance(self.source, Known):
            return self.source.summary_lines
        for kind, value in self.source.parts:
            if kind != TEXT or not isinstance(value, str):
                continue
            beginning = value[:_MOST_CHARACTERS].lstrip()
            if any(0 <= beginning.find(marker) <= _MOST_BEFORE_MARKER for marker in _MARKERS):
                summary = Message(assistant=self.assistant, parts=[(TEXT, beginning)])
                return self._lines(_long_lines(summary, _MOST_SUMMARY_LINES))
        return ()

    def _lines(self, lines: Iterable[bytes]) -> tuple[Line, ...]:
        return tuple(Line(digest_of(self.scope, line), len(line)) for line in lines)


def said_of(message: Message, essence: bytes, scope: bytes) -> Said:
    """Read a message, of which `otel_convlog.identity.canonical.essence` is known."""
    return Said(message.assistant, digest_of(scope, essence), len(essence), message, scope)


def digest_of(scope: bytes, what: bytes) -> bytes:
    """Return the digest of something that was said, in a scope."""
    if not scope:
        return sha256(what).digest()
    digest = sha256(scope)
    digest.update(what)  # not joined before: that would copy the whole history
    return digest.digest()


def _told(message: Message, scope: bytes) -> Told:
    text = size = 0
    head = b""
    for at, (kind, value) in enumerate(joined(message)):
        if kind != MEDIA:
            size += len(value)
        if kind == TEXT:
            text += len(value)
            words = b" ".join(value[: 2 * _HEAD].split()) if at == 0 else b""
            head = digest_of(scope, words[:_HEAD]) if len(words) >= _HEAD else head
    return Told(text, size, head)


def _long_lines(message: Message, most: int) -> list[bytes]:
    """Return the first lines of a message's text that are long enough to tell it from others."""
    found: list[bytes] = []
    for kind, text in joined(message):
        for line in text.split(b"\n") if kind == TEXT else ():
            if len(stripped := line.strip()) >= _SHORTEST_LINE:
                found.append(stripped)
                if len(found) == most:
                    return found
    return found
