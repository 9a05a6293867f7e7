"""How many turns, tokens and errors there were, and how long they took, from the catalog alone."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from otel_convlog.store.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GROUPS = {
    "day": "substr(started_at, 1, 10)",
    "hour": "substr(started_at, 1, 13)",
    "model": "client_model",
    "upstream": "upstream_model",
    "backend": "backend",
    "route": "route",
}
_PERCENTS = (50, 90, 99)


@dataclass(frozen=True)
class TurnFilters:
    """Which turns are wanted; what is None does not matter.

    Attributes:
        since: Those that started at or after this time or day.
        until: Those that started before it.
        model: That clients asked for.
        backend: The provider.
        route: The route.
    """

    since: str | None = None
    until: str | None = None
    model: str | None = None
    backend: str | None = None
    route: str | None = None


@dataclass(frozen=True)
class Percentiles:
    """Of durations in milliseconds; None where there are none."""

    p50: float | None = None
    p90: float | None = None
    p99: float | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> Percentiles:
        """Return those of values: each the smallest that is not exceeded by so many in a hundred."""
        if not values:
            return cls()
        ordered = sorted(values)
        return cls(*(ordered[ceil(len(ordered) * percent / 100) - 1] for percent in _PERCENTS))


@dataclass(frozen=True)
class Statistics:
    """Of the turns of one group.

    Attributes:
        group: What they have in common: its name, such as ``day``, and the value.
    """

    group: dict[str, str]
    turns: int
    errors: int
    input_tokens: int
    output_tokens: int
    duration_ms: Percentiles
    first_token_ms: Percentiles


@dataclass
class _Sums:
    turns: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    durations: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)

    def add(self, duration: float, first: float | None, *more: int | None) -> None:
        """Take a turn: its duration, when its first token came, its tokens in and out, and whether it failed."""
        tokens_in, tokens_out, error = more
        self.turns += 1
        self.errors += error or 0
        self.input_tokens += tokens_in or 0
        self.output_tokens += tokens_out or 0
        self.durations.append(duration)
        if first is not None:
            self.first_tokens.append(first)

    def add_all(self, other: _Sums) -> None:
        """Take the turns of another group."""
        self.turns += other.turns
        self.errors += other.errors
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.durations += other.durations
        self.first_tokens += other.first_tokens


class CountedTurns:
    """Turns that were counted once, to be told of by any of their groups.

    Args:
        by: Names of `GROUPS`, by which they were counted.
        cells: The sums, by the values of these.
    """

    def __init__(self, by: Sequence[str], cells: dict[tuple[str, ...], _Sums]) -> None:
        self._by = tuple(by)
        self._cells = cells

    def by(self, *names: str) -> list[Statistics]:
        """Return the figures by some of the names, in the order of their values; by none of all turns together."""
        places = [self._by.index(name) for name in names]
        sums: defaultdict[tuple[str, ...], _Sums] = defaultdict(_Sums)
        for key, cell in self._cells.items():
            sums[tuple(key[place] for place in places)].add_all(cell)
        return [_statistics(dict(zip(names, key, strict=True)), found) for key, found in sorted(sums.items())]

    def only(self, name: str, value: str) -> CountedTurns:
        """Return those that have a value by one of the names."""
        place = self._by.index(name)
        return CountedTurns(self._by, {key: cell for key, cell in self._cells.items() if key[place] == value})


def count_turns(
    directory: Path,
    by: Sequence[str] = ("day",),
    filters: TurnFilters | None = None,
) -> list[Statistics]:
    """Count turns by what they have in common, in the order of that.

    Args:
        directory: The log's directory.
        by: Names of `GROUPS`; none for all together.
        filters: Which turns; all where nothing is said.
    """
    return counted_turns(directory, by, filters).by(*by)


def counted_turns(directory: Path, by: Sequence[str], filters: TurnFilters | None = None) -> CountedTurns:
    """Count turns in one go, to look at them by several of their groups. The arguments are those of `count_turns`."""
    filters = filters or TurnFilters()
    wanted = (
        ("started_at >= ?", filters.since),
        ("started_at < ?", filters.until),
        ("client_model = ?", filters.model),
        ("backend = ?", filters.backend),
        ("route = ?", filters.route),
    )
    conditions = [condition for condition, value in wanted if value is not None]
    columns = ", ".join(
        [*(GROUPS[name] for name in by), "duration_ms, first_token_ms, input_tokens, output_tokens, error"]
    )
    statement = f"SELECT {columns} FROM turns" + (f" WHERE {' AND '.join(conditions)}" if conditions else "")  # noqa: S608  our own texts
    sums: defaultdict[tuple[str, ...], _Sums] = defaultdict(_Sums)
    with closing(Catalog(directory)) as catalog, catalog.transaction("BEGIN") as connection:
        if connection is not None:
            cursor = connection.cursor()
            cursor.row_factory = None  # plain tuples: there may be hundreds of thousands
            for row in cursor.execute(statement, [value for _, value in wanted if value is not None]):
                sums[row[: len(by)]].add(*row[len(by) :])
    return CountedTurns(by, sums)


def _statistics(group: dict[str, str], sums: _Sums) -> Statistics:
    return Statistics(
        group,
        sums.turns,
        sums.errors,
        sums.input_tokens,
        sums.output_tokens,
        Percentiles.of(sums.durations),
        Percentiles.of(sums.first_tokens),
    )
