"""The turn of a conversation that somebody looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.reading.conversations import ConversationSummary, UnknownConversationError, resolve
from otel_convlog.reading.turns import TurnPlace, places_of

if TYPE_CHECKING:
    from pathlib import Path

    from otel_convlog.jsontext import Json


class UnknownTurnError(LookupError):
    """The conversation has no such turn, or not any more."""


@dataclass(frozen=True)
class ChosenTurn:
    """A turn, with where all turns of its conversation stand.

    Attributes:
        places: Of all turns, in their order; none of them is read yet.
        place: The turn's own.
    """

    conversation: ConversationSummary
    places: list[TurnPlace]
    place: TurnPlace

    @property
    def before(self) -> TurnPlace | None:
        """The turn before it; None for the first."""
        return self.places[self.place.number - 2] if self.place.number > 1 else None

    def read(self) -> dict[str, Json]:
        """Read the turn.

        Raises:
            FileNotFoundError: Its file is there no more.
            ValueError: It stands there no more.
        """
        return self.place.read()


def choose(directory: Path, conversation_id: str, which: str = "") -> ChosenTurn:
    """Find a turn by its id or its number, from the end where that is negative; the first where nothing is said.

    Raises:
        UnknownConversationError: There is no such conversation.
        UnknownTurnError: It has no such turn.
    """
    conversation = resolve(directory, conversation_id)
    places = places_of(directory, conversation)
    if not places:
        raise UnknownConversationError(f"no turn of {conversation_id} is left")
    return ChosenTurn(conversation, places, _place(places, which or "1"))


def _place(places: list[TurnPlace], which: str) -> TurnPlace:
    for place in places:
        if place.turn_id == which:
            return place
    try:
        number = int(which)
        return places[number - 1 if number > 0 else len(places) + number]
    except (ValueError, IndexError):
        raise UnknownTurnError(f"there is no turn {which}") from None
