"""Turns of a conversation as its people had them: of each what is new, some turns at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from markupsafe import Markup

from otel_convlog.jsontext import to_indented_json
from otel_convlog.reading.dialogue import told
from otel_convlog.reading.harmless import harmless
from otel_convlog.reading.messages import request_messages
from otel_convlog.viewer.parts import MOST_MESSAGES, results_of, show_messages, with_results
from otel_convlog.viewer.templates import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_convlog.jsontext import Json
    from otel_convlog.reading.dialogue import NewOfTurn
    from otel_convlog.reading.messages import Message
    from otel_convlog.reading.turns import TurnPlace
    from otel_convlog.viewer.chosen import ChosenTurn
    from otel_convlog.viewer.parts import ShownMessage, ShownPart

MOST_TURNS = 8  # of one window
_MOST_BYTES = 4_000_000  # of a window's turns in their files; at least one turn is shown, however long it is
_LONGEST_ERROR = 20_000  # characters


@dataclass(frozen=True)
class ShownTurn:
    """A turn in the dialogue.

    Attributes:
        system: The system's messages, where they are not those of the turn before.
        said: What the request adds; `hidden` messages in the middle of it are left out.
        repeated: How many messages the request repeats.
        edited: Whether the client has changed its history here.
        placed_results: Ids of calls whose results, in this request, are shown with their calls.
        error: As indented JSON.
    """

    place: TurnPlace
    system: list[ShownMessage]
    said: list[ShownMessage]
    hidden: int
    repeated: int
    edited: bool
    answers: list[ShownMessage]
    error: str
    placed_results: frozenset[str] = frozenset()


def window_around(places: Sequence[TurnPlace], place: TurnPlace) -> list[TurnPlace]:
    """Return the turns that are shown at first where one is chosen: it, some behind it, and one before it."""
    return window_from(places, max(1, place.number - 1), always=place.number)


def window_from(
    places: Sequence[TurnPlace], first: int, *, always: int = 0, last: int | None = None
) -> list[TurnPlace]:
    """Return some turns by their numbers, as many as one window holds.

    Args:
        places: Of all turns.
        first: The number of the first.
        always: Up to this one, in any case.
        last: At most up to this one.
    """
    found: list[TurnPlace] = []
    size = 0
    for place in places[first - 1 : last]:
        size += place.length
        if found and place.number > always and (len(found) >= MOST_TURNS or size > _MOST_BYTES):
            break
        found.append(place)
    return found


def window_until(places: Sequence[TurnPlace], last: int) -> list[TurnPlace]:
    """Return the turns up to one, as many as one window holds."""
    found: list[TurnPlace] = []
    size = 0
    for place in reversed(places[:last]):
        size += place.length
        if found and (len(found) >= MOST_TURNS or size > _MOST_BYTES):
            break
        found.append(place)
    return found[::-1]


def rendered_panel(chosen: ChosenTurn) -> Markup:
    """Return the dialogue around a chosen turn."""
    return window(chosen.conversation.conversation_id, chosen.places, window_around(chosen.places, chosen.place))


def window(conversation_id: str, places: Sequence[TurnPlace], wanted: Sequence[TurnPlace]) -> Markup:
    """Return some turns of the dialogue, one behind another, and where to get those before and behind them."""
    first, last = wanted[0].number, wanted[-1].number
    # The turns beside them are read too: what a tool gave back stands in the request behind the call.
    read = [
        place
        for place in places[max(0, first - 2) : last + 1]
        if first <= place.number <= last or place.length <= _MOST_BYTES
    ]
    shown = [_shown(place, turn, new) for place, turn, new in told(places, read)]
    for index in range(len(shown) - 1):
        shown[index], shown[index + 1] = _with_results(shown[index], shown[index + 1])
    text = render(
        "dialogue.html",
        conversation_id=conversation_id,
        turns=[_with_own_results(turn) for turn in shown if first <= turn.place.number <= last],
        before=window_until(places, first - 1),
        behind=window_from(places, last + 1),
    )
    return Markup(text)  # noqa: S704  a template's, in which all values are escaped


def history(conversation_id: str, place: TurnPlace) -> Markup:
    """Return all messages of a turn's request, as the client has sent them."""
    messages = request_messages(place.read().get("client_request"))
    first, hidden, last = _bounded(messages)
    own = results_of([*first, *last], place.number)
    shown, _ = with_results([*first, *last], own)
    text = render("history.html", conversation_id=conversation_id, place=place, messages=shown, hidden=hidden)
    return Markup(text)  # noqa: S704  as above


def part_text(places: Sequence[TurnPlace], place: TurnPlace, message: int, part: int) -> str | None:
    """Return the whole text of a part of what a turn adds, as it was logged; None where there is none."""
    for _, _, new in told(places, [place]):
        messages = [*new.system, *new.messages, *new.answers]
        if message < len(messages) and part < len(messages[message].parts):
            return messages[message].parts[part].text
    return None


def _shown(place: TurnPlace, turn: dict[str, Json], new: NewOfTurn) -> ShownTurn:
    first, hidden, last = _bounded(new.messages, len(new.system))
    error = turn.get("error")
    return ShownTurn(
        place=place,
        system=show_messages(new.system[:MOST_MESSAGES]),
        said=[*first, *last],
        hidden=hidden,
        repeated=new.repeated,
        edited=new.parts_from_history,
        answers=show_messages(new.answers[:MOST_MESSAGES], len(new.system) + len(new.messages)),
        error="" if error is None else _error_text(error),
    )


def _error_text(error: Json) -> str:
    text = error if isinstance(error, str) else to_indented_json(error).decode("utf-8", "replace")
    return harmless(text[:_LONGEST_ERROR]) + ("…" if len(text) > _LONGEST_ERROR else "")


def _bounded(messages: Sequence[Message], start: int = 0) -> tuple[list[ShownMessage], int, list[ShownMessage]]:
    """Return the first messages, how many are left out in the middle, and the last ones."""
    half = MOST_MESSAGES // 2
    if len(messages) <= MOST_MESSAGES:
        return show_messages(messages, start), 0, []
    rest = len(messages) - half
    return show_messages(messages[:half], start), rest - half, show_messages(messages[rest:], start + rest)


def _with_results(earlier: ShownTurn, later: ShownTurn) -> tuple[ShownTurn, ShownTurn]:
    """Show what tools gave back with the calls, which stand in the turn before."""
    results = results_of(later.said, later.place.number)
    answers, placed = with_results(earlier.answers, results)
    marked = [_marked(message, placed, earlier.place.number) for message in later.said]
    return replace(earlier, answers=answers), replace(
        later, said=marked, placed_results=later.placed_results | frozenset(placed)
    )


def _with_own_results(turn: ShownTurn) -> ShownTurn:
    """Show with their calls what was given back in the same request."""
    said, placed = with_results(turn.said, results_of(turn.said, turn.place.number))
    placed -= turn.placed_results
    return replace(turn, said=[_marked(message, placed, turn.place.number) for message in said])


def _marked(message: ShownMessage, placed: set[str], number: int) -> ShownMessage:
    def mark(part: ShownPart) -> ShownPart:
        is_placed = part.kind == "result" and part.call_id in placed and part.call_turn is None
        return replace(part, call_turn=number) if is_placed else part

    return replace(message, parts=tuple(map(mark, message.parts)))
