"""The rail: all turns of a conversation at a glance, from the catalog alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_convlog.reading.turns import TurnPlace

CHUNK = 200  # entries that are loaded together
_IDLE_MS = 60_000.0  # between turns, from which on it is said


@dataclass(frozen=True)
class Entry:
    """A turn in the rail.

    Attributes:
        day: Where another day begins with it, in UTC, ``YYYY-MM-DD``.
        idle_ms: How long nothing happened before it; None where that is short, or not known.
        model: Where it is another one than before.
    """

    place: TurnPlace
    day: str
    idle_ms: float | None
    model: str


def chunk_of(places: Sequence[TurnPlace], number: int) -> range:
    """Return the numbers of the turns that are loaded together with one."""
    first = (number - 1) // CHUNK * CHUNK + 1
    return range(first, min(first + CHUNK, len(places) + 1))


def entries(places: Sequence[TurnPlace], numbers: range) -> list[Entry]:
    """Return entries of the rail, by the numbers of their turns."""
    found: list[Entry] = []
    for number in numbers:
        place = places[number - 1]
        before = places[number - 2] if number > 1 else None
        day = place.started_at[:10]
        idle_ms = None if before is None else _between_ms(before.updated_at, place.started_at)
        found.append(
            Entry(
                place=place,
                day=day if before is None or before.started_at[:10] != day else "",
                idle_ms=idle_ms if idle_ms is not None and idle_ms >= _IDLE_MS else None,
                model=place.client_model if before is None or before.client_model != place.client_model else "",
            )
        )
    return found


def _between_ms(earlier: str, later: str) -> float | None:
    try:
        return (parse_time(later) - parse_time(earlier)).total_seconds() * 1000
    except (ValueError, TypeError):  # none of ours: a file that somebody else has written
        return None
