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
    from collections.abc import Iterable, Iterator, Sequence

    from otel_convlog.jsontext import Json
    from otel_convlog.reading.dialogue import NewOfTurn
    from otel_convlog.reading.messages import Message
    from otel_convlog.reading.turns import TurnPlace
    from otel_convlog.viewer.chosen import ChosenTurn
    from otel_convlog.viewer.parts import Of, ShownMessage, ShownPart

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
    return _fitting(places[first - 1 : last], always=always)


def window_until(places: Sequence[TurnPlace], last: int) -> list[TurnPlace]:
    """Return the turns up to one, as many as one window holds."""
    return _fitting(reversed(places[:last]))[::-1]


def _fitting(places: Iterable[TurnPlace], *, always: int = 0) -> list[TurnPlace]:
    found: list[TurnPlace] = []
    size = 0
    for place in places:
        size += place.length
        if found and place.number > always and (len(found) >= MOST_TURNS or size > _MOST_BYTES):
            break
        found.append(place)
    return found


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
    text = render(
        "dialogue.html",
        conversation_id=conversation_id,
        turns=[turn for turn in shown_turns(places, read) if first <= turn.place.number <= last],
        before=window_until(places, first - 1),
        behind=window_from(places, last + 1),
    )
    return Markup(text)  # noqa: S704  a template's, in which all values are escaped


def shown_turns(places: Sequence[TurnPlace], wanted: Sequence[TurnPlace]) -> Iterator[ShownTurn]:
    """Yield turns, one behind another, as they are shown: what tools gave back stands with the calls.

    Args:
        places: Of all turns.
        wanted: Some of them; each is read once.
    """
    before: ShownTurn | None = None
    for place, turn, new in told(places, wanted):
        current = _shown(place, turn, new)
        if before is not None:
            before, current = _with_results(before, current)
            yield _with_own_results(before)
        before = current
    if before is not None:
        yield _with_own_results(before)


def history(conversation_id: str, place: TurnPlace) -> Markup:
    """Return all messages of a turn's request, as the client has sent them."""
    messages = request_messages(place.read().get("client_request"))
    first, hidden, last = _bounded(messages, of="request")
    own = results_of([*first, *last], place.number)
    shown, _ = with_results([*first, *last], own)
    text = render("history.html", conversation_id=conversation_id, place=place, messages=shown, hidden=hidden)
    return Markup(text)  # noqa: S704  as above


def part_text(places: Sequence[TurnPlace], place: TurnPlace, of: str, message: int, part: int) -> str | None:
    """Return the whole text of a part of a message, as it was logged; None where there is none.

    Args:
        places: Of all turns.
        place: The turn's.
        of: Which messages are counted, as `ShownMessage` has it.
        message: The message's number among them.
        part: The part's number in the message.
    """
    if of == "request":
        messages = request_messages(place.read().get("client_request"))
    else:
        messages = [one for _, _, new in told(places, [place]) for one in (*new.system, *new.messages, *new.answers)]
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


def _bounded(
    messages: Sequence[Message], start: int = 0, *, of: Of = "added"
) -> tuple[list[ShownMessage], int, list[ShownMessage]]:
    """Return the first messages, how many are left out in the middle, and the last ones."""
    half = MOST_MESSAGES // 2
    if len(messages) <= MOST_MESSAGES:
        return show_messages(messages, start, of=of), 0, []
    rest = len(messages) - half
    return (
        show_messages(messages[:half], start, of=of),
        rest - half,
        show_messages(messages[rest:], start + rest, of=of),
    )


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
