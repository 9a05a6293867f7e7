"""``stats``."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import log_command
from otel_convlog.reading.harmless import harmless_line
from otel_convlog.reading.statistics import GROUPS, TurnFilters, count_turns

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log
    from otel_convlog.reading.statistics import Statistics

_COLUMNS = (
    *("turns", "errors", "tokens_in", "tokens_out"),
    *("ms_p50", "ms_p90", "ms_p99", "first_token_ms_p50", "first_token_ms_p90", "first_token_ms_p99"),
)
# On a terminal: milliseconds of whole turns, then until the first token.
_SHORT_COLUMNS = ("turns", "errors", "in", "out", "p50", "p90", "p99", "1st p50", "1st p90", "1st p99")
_NARROW, _WIDE = 90, 120  # columns of a terminal
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BAR_WIDTH = 12


@log_command("stats")
@click.option("--by", default="day", metavar="NAMES", help=f"{', '.join(GROUPS)}; several with commas; default: day.")
@click.option("--since", metavar="TIME", help="Turns that started at or after that time or day.")
@click.option("--until", metavar="TIME", help="Before that time or day.")
@click.option("--model", help="Only that client's model.")
@click.option("--backend", help="Only that backend.")
@click.option("--route", help="Only that route.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
def command(log: Log, by: str, as_csv: bool, **filters: str | None) -> None:
    """Count turns, tokens and errors, with percentiles of latency and of the time to the first token."""
    names = [name.strip() for name in by.split(",") if name.strip()]
    if not set(names) <= set(GROUPS):
        raise click.UsageError(f"--by takes {', '.join(GROUPS)}")
    found = count_turns(log.directory, names, TurnFilters(**filters))
    if log.output.as_json:
        for statistics in found:
            log.output.value(statistics)
        return
    rows = [(*statistics.group.values(), *_figures(statistics)) for statistics in found]
    columns = (*names, *_COLUMNS)
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([[harmless_line(str(cell)) for cell in row] for row in rows])
    elif log.output.on_terminal:
        _print_for_people(log, names, found)
    else:
        log.output.table(columns, rows)


def _print_for_people(log: Log, names: list[str], found: list[Statistics]) -> None:
    """Print a table that fits a terminal: with plots where there is room, without the 99th percentiles where not."""
    width = log.output.console.width
    most = max((statistics.turns for statistics in found), default=1)
    slowest = max((statistics.duration_ms.p90 or 0 for statistics in found), default=0) or 1
    shown = [at for at, name in enumerate(_SHORT_COLUMNS) if width >= _NARROW or "p99" not in name]
    rows = [
        (
            *statistics.group.values(),
            *(_figures(statistics)[at] for at in shown),
            *(
                (_bar(statistics.turns / most), _bar((statistics.duration_ms.p90 or 0) / slowest))
                if width >= _WIDE
                else ()
            ),
        )
        for statistics in found
    ]
    figures = [_SHORT_COLUMNS[at] for at in shown]
    log.output.table((*names, *figures, *(("of turns", "of p90") if width >= _WIDE else ())), rows, right=figures)


def _figures(statistics: Statistics) -> tuple[object, ...]:
    percentiles = (
        *(statistics.duration_ms.p50, statistics.duration_ms.p90, statistics.duration_ms.p99),
        *(statistics.first_token_ms.p50, statistics.first_token_ms.p90, statistics.first_token_ms.p99),
    )
    return (
        *(statistics.turns, statistics.errors, statistics.input_tokens, statistics.output_tokens),
        *("" if value is None else f"{value:.0f}" for value in percentiles),
    )


def _bar(share: float) -> str:
    eighths = round(share * _BAR_WIDTH * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
