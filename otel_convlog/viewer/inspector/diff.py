"""The tab Diff: what changed since another turn's request, and where that breaks a cache's prefix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.reading.dialogue import continued_by
from otel_convlog.reading.differences import cache_break, other_changes, piece_changes
from otel_convlog.reading.side_by_side import one_side, side_by_side
from otel_convlog.viewer.inspector.lines import Comparison, compared
from otel_convlog.viewer.templates import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_convlog.jsontext import Json
    from otel_convlog.reading.differences import PieceChange
    from otel_convlog.reading.turns import TurnPlace
    from otel_convlog.viewer.chosen import ChosenTurn

_MOST_PIECES = 300  # that differ
_MOST_CHOICES = 50  # turns that can be chosen from a list


@dataclass(frozen=True)
class ShownPiece:
    """A piece that differs, or a run of those that do not.

    Attributes:
        kind: What has become of it.
        name: As `otel_convlog.reading.differences.Piece` has it; of a run, the first and the last.
        count: How many pieces it is.
        lines: How it differs.
        breaks: Whether what a cache can use ends before it.
    """

    kind: str
    name: str
    count: int
    lines: Comparison | None
    breaks: bool


def panel(chosen: ChosenTurn, query: Mapping[str, str]) -> str:
    """Return the tab's HTML; ``against`` names the other turn."""
    turn = chosen.read()
    other = _other(chosen, turn, query.get("against", ""))
    shared = {"conversation_id": chosen.conversation.conversation_id, "place": chosen.place}
    if other is None:
        return render("inspector/diff.html", other=None, **shared)
    earlier = other.read()
    broken = cache_break(earlier, turn)
    pieces = _pieces(piece_changes(earlier, turn), broken.at)
    return render(
        "inspector/diff.html",
        other=other,
        broken=broken,
        pieces=pieces[:_MOST_PIECES],
        hidden=len(pieces) - len(pieces[:_MOST_PIECES]),
        fields=other_changes(earlier, turn)[:_MOST_PIECES],
        choices=_choices(chosen, other),
        **shared,
    )


def _other(chosen: ChosenTurn, turn: dict[str, Json], wanted: str) -> TurnPlace | None:
    """Return the turn to compare with: the wanted one, else the one that this continues, else the one before."""
    for turn_id in (wanted, continued_by(turn)):
        for place in chosen.places if turn_id else ():
            if place.turn_id == turn_id and place != chosen.place:
                return place
    return chosen.before


def _choices(chosen: ChosenTurn, other: TurnPlace) -> list[TurnPlace]:
    """Return the turns around the chosen one, and the one that it is compared with."""
    first = max(0, chosen.place.number - _MOST_CHOICES)
    near = [place for place in chosen.places[first : chosen.place.number + 5] if place != chosen.place]
    return sorted({place.number: place for place in (*near, other)}.values(), key=lambda place: place.number)


def _pieces(changes: list[PieceChange], broken_at: str) -> list[ShownPiece]:
    shown: list[ShownPiece] = []
    same: list[str] = []
    is_marked = False

    def end_run() -> None:
        if same:
            name = same[0] if len(same) == 1 else f"{same[0]} to {same[-1]}"
            shown.append(ShownPiece("same", name, len(same), None, breaks=False))
            same.clear()

    for change in changes:
        piece = change.after or change.before
        name = piece.name if piece else ""
        breaks = bool(broken_at) and not is_marked and change.before is not None and change.before.name == broken_at
        if change.kind == "same" and not breaks:
            same.append(name)
            continue
        end_run()
        is_marked = is_marked or breaks
        shown.append(ShownPiece(change.kind, name, 1, _lines(change), breaks=breaks))
    end_run()
    return shown


def _lines(change: PieceChange) -> Comparison | None:
    if change.before is not None and change.after is not None:
        return compared(side_by_side(change.before.value, change.after.value)) if change.kind != "same" else None
    if change.after is not None:
        return compared(one_side(change.after.value, "added"))
    return compared(one_side(change.before.value, "removed")) if change.before is not None else None
