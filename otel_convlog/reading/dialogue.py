"""A conversation as its people had it: of each turn only what is new, not the history that clients send every time."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from otel_convlog.identity.canonical import essence, read_history
from otel_convlog.jsontext import to_json
from otel_convlog.reading.messages import answers_of, request_messages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_convlog.jsontext import Json
    from otel_convlog.reading.messages import Message
    from otel_convlog.reading.turns import TurnPlace

_KEY_BYTES = 16


@dataclass(frozen=True)
class NewOfTurn:
    """What a turn adds to its conversation.

    Attributes:
        system: The system's messages, where they are not those of the turn before.
        messages: The request's messages that were not in the turn which it continues, nor its answer.
        repeated: How many of the request's messages were.
        parts_from_history: Whether it does not go on where that turn ended: its history was edited, or cut.
        answers: What was answered.
    """

    system: tuple[Message, ...]
    messages: tuple[Message, ...]
    repeated: int
    parts_from_history: bool
    answers: tuple[Message, ...]


class Dialogue:
    """Tells what is new in each turn of a conversation; it is to be given them in their order.

    It keeps 16 bytes of each message that a turn has shown.
    """

    def __init__(self) -> None:
        self._shown: dict[str, bytes] = {}
        self._system: dict[str, bytes] = {}
        self._last = ""

    def knows(self, turn_id: str) -> bool:
        """Say whether it was given a turn."""
        return turn_id in self._shown

    def add(self, turn: dict[str, Json]) -> NewOfTurn:
        """Take the next turn, as its file has it, and return what is new in it."""
        continues = continued_by(turn)
        before = continues if continues in self._shown else self._last
        known = self._shown.get(before, b"")
        messages = request_messages(turn.get("client_request"))
        system = [message for message in messages if message.is_system]
        said = [message for message in messages if not message.is_system]
        answers = answers_of(turn)
        keys = [_key(message) for message in said]
        count, position = _beginning(keys, known) if known else (0, 0)
        if known and not count:
            count, position = _window(keys, known)
        system_key = b"".join(_digest(to_json(message.raw)) for message in system)
        is_new = system_key != self._system.get(before, b"")
        turn_id = str(turn.get("turn_id", ""))
        self._shown[turn_id] = b"".join(filter(None, keys)) + b"".join(filter(None, map(_key, answers)))
        self._system[turn_id] = system_key
        self._last = turn_id
        return NewOfTurn(
            system=tuple(system) if is_new else (),
            messages=tuple(said[count:]),
            repeated=count,
            parts_from_history=bool(known) and position < len(known) and not _names_answer(turn),
            answers=tuple(answers),
        )


def continued_by(turn: dict[str, Json]) -> str:
    """Return the id of the turn that one continues; nothing where that is not known."""
    otel = turn.get("otel")
    continues = otel.get("continues") if isinstance(otel, dict) else None
    return continues if isinstance(continues, str) else ""


def told(
    places: Sequence[TurnPlace], wanted: Sequence[TurnPlace]
) -> Iterator[tuple[TurnPlace, dict[str, Json], NewOfTurn]]:
    """Yield turns of a conversation, each with what is new in it; no more than two of them are in memory.

    Args:
        places: Of all its turns.
        wanted: Some of them, in their order. Of the others only those are read which the wanted ones continue.

    Raises:
        FileNotFoundError: A file is there no more.
        ValueError: A turn stands there no more.
    """
    by_id = {place.turn_id: place for place in places}
    dialogue = Dialogue()
    for place in wanted:
        turn = place.read()
        before = by_id.get(continued_by(turn)) or (places[place.number - 2] if place.number > 1 else None)
        if before is not None and not dialogue.knows(before.turn_id):
            dialogue.add(before.read())
        yield place, turn, dialogue.add(turn)


def _names_answer(turn: dict[str, Json]) -> bool:
    """Say whether a request names the answer that it continues, and so repeats nothing."""
    request = turn.get("client_request")
    return isinstance(request, dict) and bool(request.get("previous_response_id") or request.get("conversation"))


def _beginning(keys: Sequence[bytes], known: bytes) -> tuple[int, int]:
    """Return how many of the first messages are known in this order, and how many bytes of what is known they are."""
    count = position = 0
    for number, key in enumerate(keys, 1):
        if key:
            if known[position : position + _KEY_BYTES] != key:
                break
            position += _KEY_BYTES
        count = number
    return (count, position) if position else (0, 0)


def _window(keys: Sequence[bytes], known: bytes) -> tuple[int, int]:
    """Return the same where a client sends only the last messages: its first one is somewhere in what is known.

    That they lead to the end of what is known tells it from a history that was edited.
    """
    asked = b"".join(keys)
    for start in range(max(0, len(known) - len(asked)), len(known), _KEY_BYTES):
        if asked.startswith(known[start:]):
            return _beginning(keys, known[start:])[0], len(known)
    return 0, 0


def _key(message: Message) -> bytes:
    """Return what tells a message from others, as the rules of identity compare them; empty where it says nothing."""
    raw: Json = message.raw
    history = read_history(
        {"messages": [raw if isinstance(raw, (dict, str)) else {"role": message.role, "content": raw}]}
    )
    said = [(b"\1" if found.assistant else b"\0") + what for found in history.messages if (what := essence(found))]
    return _digest(b"".join(said)) if said else b""


def _digest(data: bytes) -> bytes:
    return sha256(data).digest()[:_KEY_BYTES]
