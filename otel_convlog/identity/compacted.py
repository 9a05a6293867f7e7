"""Rule 6: the client has cut its history short, by a window or by a summary.

What is left must fit one conversation only.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from otel_convlog.identity.evidence import Kind
from otel_convlog.identity.exchange import answer_key, exchange_key, line_key
from otel_convlog.identity.search import Finding, only_conversation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_convlog.identity.evidence import KnownTurn
    from otel_convlog.identity.said import Said
    from otel_convlog.identity.search import Search

NAME = "compacted"

_MOST_EXCHANGES = 8  # the last ones of a request, and the last answers, that are looked for
_LONG = 160  # bytes from which on an exchange, or an answer, is no other's by chance
_TEXT = 120  # bytes of text alone: the same tool call may come anywhere
_TEXT_ALIKE = 64  # the same where the system prompt is the same too
_TEXT_ALONE = 40  # the same of the only exchange that a window shows, and of an answer that counts beside others
_SIZE_ALIKE = 32  # bytes of anything where the first message is the same too

_SHORTEST_SUMMARY = 120  # bytes of the lines that must be the same


def find(search: Search) -> Finding | None:
    """Find the conversation whose end the request still shows, or whose summary it begins with."""
    return _by_exchanges(search) or _by_answers(search) or _by_summary(search)


def last_shown(search: Search, finding: Finding) -> Finding:
    """Return the turn whose exchange the request shows last, where it stands behind what the finding is about.

    So does one of a window that keeps the dialogue's first messages too.
    """
    messages = search.exchange.messages
    count = next(_ends(messages), 0)
    if finding.continued or count <= finding.known_to:
        return finding
    key = exchange_key(messages[count - 2], messages[count - 1])
    conversation_id = finding.turn.conversation_id
    turn = search.best(
        (match for match in search.matches(key) if match.turn.conversation_id == conversation_id), Kind.EXCHANGE
    )
    return replace(finding, turn=turn, continues=turn.turn_id) if turn is not None else finding


def _ends(messages: Sequence[Said]) -> Iterator[int]:
    """Yield the numbers of messages up to an answer to the user, the last first."""
    for count in range(len(messages), 1, -1):
        if messages[count - 1].assistant and not messages[count - 2].assistant:
            yield count


def _by_exchanges(search: Search) -> Finding | None:
    """Find the conversation that has the last exchanges which the request still shows.

    Where it shows several, one alone that the conversation has, among others that it has not, must tell much.
    """
    exchange, messages = search.exchange, search.exchange.messages
    keys = {
        exchange_key(messages[count - 2], messages[count - 1]): count
        for count in islice(_ends(messages), _MOST_EXCHANGES)
    }
    known = search.matches_of(list(keys))
    found: Finding | None = None
    for key, count in keys.items():
        matches = known.get(key, [])
        alike = [match for match in matches if exchange.opening and match.turn.opening == exchange.opening]
        turn = only_conversation(alike) or only_conversation(matches)
        if turn is None:
            continue
        if found is not None:
            return found if found.turn.conversation_id == turn.conversation_id else None
        found = Finding(turn, turn.turn_id, count)
        enough = _TEXT_ALONE if len(keys) == 1 else _TEXT_ALIKE if len(keys) == 2 else _TEXT
        if _tells(search, turn, enough, messages[count - 2], messages[count - 1]):
            return found
    return None


def _by_answers(search: Search) -> Finding | None:
    """Find the conversation that has the last answers, whatever became of the questions before them.

    One that tells much is enough; else several that tell something, all of one conversation.
    """
    exchange, messages = search.exchange, search.exchange.messages
    answers = (count for count in range(len(messages), 0, -1) if messages[count - 1].assistant)
    keys: dict[bytes, int] = {}
    for count in islice(answers, _MOST_EXCHANGES):
        keys.setdefault(answer_key(messages[count - 1]), count)
    known = search.matches_of(list(keys))
    found: Finding | None = None
    told = 0
    for key, count in keys.items():
        turn = only_conversation(known.get(key, ()))
        if turn is None:
            continue
        if found is not None and found.turn.conversation_id != turn.conversation_id:
            return None
        found = found or Finding(turn, turn.turn_id, count)
        said = messages[count - 1]
        # At the beginning of a dialogue, or of a window, it stands for more than in the midst of one.
        begins = count == exchange.first_answer and (turn.continues is None or count == 1)
        text = said.told.text
        told += text if text >= _TEXT_ALONE else 0
        if told >= _TEXT or _tells(search, turn, _TEXT_ALIKE if begins else _TEXT, said):
            return found
    return None


def _tells(search: Search, turn: KnownTurn, enough: int, *messages: Said) -> bool:
    """Say whether messages that a known turn has are no other's by chance.

    Args:
        search: The search.
        turn: The turn.
        enough: How many bytes of text are enough where nothing else is alike.
        messages: The messages.
    """
    told = [said.told for said in messages]
    text, size = sum(each.text for each in told), sum(each.size for each in told)
    exchange = search.exchange
    if exchange.opening and turn.opening == exchange.opening and size >= _SIZE_ALIKE:
        return True
    if exchange.system and turn.system == exchange.system:
        enough = min(enough, _TEXT_ALIKE)
    return size >= _LONG or text >= enough


def _by_summary(search: Search) -> Finding | None:
    for summary in search.exchange.summaries:
        lines = {line_key(line): line.size for line in summary}
        if not lines:
            continue
        found = search.matches_of(list(lines))
        turn = only_conversation(match for matches in found.values() for match in matches)
        if turn is not None and sum(lines[key] for key in found) >= _SHORTEST_SUMMARY:
            return Finding(turn, turn.turn_id)
    return None
