"""Rule 6: the client has cut its history short, by a window or by a summary.

What is left must fit one conversation only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.identity.canonical import TEXT, Message
from otel_convlog.identity.evidence import Kind
from otel_convlog.identity.exchange import long_lines
from otel_convlog.identity.search import Finding, only_conversation

if TYPE_CHECKING:
    from otel_convlog.identity.evidence import KnownTurn
    from otel_convlog.identity.search import Search

NAME = "compacted"

_MOST_EXCHANGES = 8  # the last ones of a request that are looked for
_LONG_EXCHANGE = 160  # bytes from which on one exchange is no other's by chance
_SHORT_EXCHANGE = 32  # bytes from which on it counts beside other signs
_LONG_ANSWER = 200  # bytes, the same of an answer alone
_MOST_LINES = 200  # of a summary
_MOST_CHARACTERS = 1 << 16

# How clients begin the message that stands for the history they have left out (docs/identity.md).
_MARKERS = (
    "This session is being continued from a previous conversation",
    "Another language model started to solve this problem and produced a summary",
    "<conversation_summary>",
    "<state_snapshot>",
    "<summary>",
    "<compacted",
    "[CONTEXT COMPACTION",
    "Summary of the conversation so far",
    "summary of the previous conversation",
    "conversation history has been summarized",
)


def find(search: Search) -> Finding | None:
    """Find the conversation whose end the request still shows, or whose summary it begins with."""
    return _by_tail(search) or _by_summary(search)


def _by_tail(search: Search) -> Finding | None:
    exchange = search.exchange
    messages = exchange.messages
    # (number of messages up to the answer, key of the exchange that ends there, its size), the last first
    exchanges = [
        (
            count,
            exchange.exchange_key(messages[count - 2].digest, messages[count - 1].digest),
            messages[count - 2].size + messages[count - 1].size,
        )
        for count in range(len(messages), 1, -1)
        if messages[count - 1].assistant and not messages[count - 2].assistant
    ][:_MOST_EXCHANGES]
    found = search.matches_of([key for _, key, _ in exchanges])
    last: Finding | None = None  # of an exchange that does not tell enough alone
    for count, key, size in exchanges:
        turn = only_conversation(found.get(key, ()))
        if turn is None:
            continue
        if last is not None and last.turn.conversation_id != turn.conversation_id:
            return None
        found_here = last or Finding(turn, turn.turn_id, count)
        if last is not None or size >= _LONG_EXCHANGE or (size >= _SHORT_EXCHANGE and _is_alike(search, turn)):
            return found_here
        last = found_here
    for count in range(len(messages), 0, -1):
        if messages[count - 1].assistant:
            turn = only_conversation(search.matches(exchange.answer_key(messages[count - 1].digest)))
            size = messages[count - 1].size
            if turn and (size >= _LONG_ANSWER or (size >= _SHORT_EXCHANGE and _is_alike(search, turn))):
                return Finding(turn, turn.turn_id, count)
            break
    return None


def _is_alike(search: Search, turn: KnownTurn) -> bool:
    return turn.system == search.exchange.system


def _by_summary(search: Search) -> Finding | None:
    for text in search.exchange.texts[:2]:
        lines = _lines_behind_marker(text)
        if lines:
            found = search.matches_of([search.exchange.line_key(line) for line in lines])
            turn = only_conversation(
                match for matches in found.values() for match in matches if match.kind is Kind.LINE
            )
            if turn is not None:
                return Finding(turn, turn.turn_id)
    return None


def _lines_behind_marker(text: Message) -> list[bytes]:
    beginning = "\n".join(value for _, value in text.parts if isinstance(value, str))[:_MOST_CHARACTERS]
    if not any(marker in beginning for marker in _MARKERS):
        return []
    return long_lines(Message(assistant=text.assistant, parts=[(TEXT, beginning)]), _MOST_LINES)
