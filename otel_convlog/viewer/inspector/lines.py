"""Lines beside one another as the pages show them: cut to a bounded length, and folded where nothing differs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import TYPE_CHECKING

from otel_convlog.reading.harmless import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_convlog.reading.side_by_side import Kind, Line

MOST_ROWS = 2_000  # of one comparison
_CONTEXT = 3  # lines beside a difference that are not folded
_SHORTEST_FOLD = 4
_LONGEST_LINE = 1_200  # characters
_AROUND = 160  # characters beside what differs in a long line


@dataclass(frozen=True)
class Piece:
    """A piece of a line; ``differs`` where the other side has something else."""

    text: str
    differs: bool = False


@dataclass(frozen=True)
class Row:
    """A line, or two beside one another; a side is None where it has no such line."""

    kind: Kind
    left: tuple[Piece, ...] | None
    right: tuple[Piece, ...] | None


@dataclass(frozen=True)
class Group:
    """Rows that stand together; folded ones are the same on both sides."""

    folded: bool
    rows: list[Row]


@dataclass(frozen=True)
class Comparison:
    """Lines beside one another.

    Attributes:
        more: Whether there are more rows than are shown.
    """

    groups: list[Group]
    more: bool

    @property
    def differs(self) -> bool:
        """Whether anything in it differs."""
        return any(row.kind != "same" for group in self.groups for row in group.rows)


def compared(lines: Iterable[Line]) -> Comparison:
    """Return lines in groups, those folded that are the same and far from any difference."""
    rest = iter(lines)
    shown = [_row(line) for line in islice(rest, MOST_ROWS)]
    groups = list(chain.from_iterable(_groups(shown)))
    return Comparison(groups, next(rest, None) is not None)


def _groups(rows: list[Row]) -> Iterable[list[Group]]:
    runs = [(is_same, list(run)) for is_same, run in groupby(rows, lambda row: row.kind == "same")]
    for index, (is_same, run) in enumerate(runs):
        # At the ends of a comparison there is no difference on one side.
        before = 0 if index == 0 else _CONTEXT
        behind = 0 if index == len(runs) - 1 else _CONTEXT
        if not is_same or len(run) < before + behind + _SHORTEST_FOLD or len(runs) == 1:
            yield [Group(folded=False, rows=run)]
            continue
        last = len(run) - behind
        pieces = [(False, run[:before]), (True, run[before:last]), (False, run[last:])]
        yield [Group(folded=folded, rows=piece) for folded, piece in pieces if piece]


def _row(line: Line) -> Row:
    return Row(line.kind, _side(line.left, line), _side(line.right, line))


def _side(text: str | None, line: Line) -> tuple[Piece, ...] | None:
    if text is None:
        return None
    if line.kind != "changed":
        return (Piece(harmless(_cut(text))),)
    end = len(text) - line.same_end
    before, differing, behind = text[: line.same_start], text[line.same_start : end], text[end:]
    if len(text) > _LONGEST_LINE:
        before = f"{before[: _AROUND // 4]}…{before[-_AROUND:]}" if len(before) > 2 * _AROUND else before
        behind = f"{behind[:_AROUND]}… {len(behind) - _AROUND:,} more characters" if len(behind) > _AROUND else behind
    pieces = (Piece(before), Piece(_cut(differing), differs=True), Piece(behind))
    return tuple(Piece(harmless(piece.text), piece.differs) for piece in pieces if piece.text)


def _cut(text: str) -> str:
    if len(text) <= _LONGEST_LINE:
        return text
    return f"{text[:_LONGEST_LINE]}… {len(text) - _LONGEST_LINE:,} more characters"
