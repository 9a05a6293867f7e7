"""``list``."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from time import sleep
from typing import TYPE_CHECKING

import click
from rich.text import Text

from otel_convlog.cli.common import log_command
from otel_convlog.reading.conversations import ORDERS, ConversationSummary, Filters, find_conversations
from otel_convlog.reading.harmless import harmless_line
from otel_convlog.reading.units import milliseconds, moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_convlog.cli.common import Log

_COLUMNS = (
    "id",
    "updated",
    "turns",
    "models",
    "tokens in",
    "tokens out",
    "duration",
    "errors",
    "complete",
    "grouped by",
    "first user text",
    "last reply",
)
_WATCH_S = 2.0
_NAMES_WIDTH = 40  # of models' names on a terminal


def filter_options(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Add the options by which conversations are chosen."""
    for option in reversed(
        (
            click.option("--day", metavar="YYYY-MM-DD", help="With a turn of that UTC day."),
            click.option("--since", metavar="TIME", help="Written to at or after that time or day."),
            click.option("--until", metavar="TIME", help="Begun before that time or day."),
            click.option("--model", metavar="TEXT", help="A part of a model's name."),
            click.option("--backend", metavar="TEXT", help="A part of a backend's name."),
            click.option("--route", metavar="ROUTE", help="chat, responses, messages, …"),
            click.option("--text", metavar="TEXT", help="In the first user text or the last reply, in short."),
            click.option("--error/--no-error", "errors", default=None, help="With a turn that failed, or with none."),
            click.option("--complete/--incomplete", default=None, help="Whether nothing of it was cut off."),
            click.option("--grouped-by", "evidence", metavar="EVIDENCE", help="explicit, prefix, seed, …"),
            click.option("--min-tokens", type=int, metavar="N", help="In and out together; likewise --max-tokens."),
            click.option("--max-tokens", type=int, metavar="N", help=""),
            click.option("--min-duration", "min_duration_ms", type=float, metavar="MS", help="Of its turns together."),
            click.option("--max-duration", "max_duration_ms", type=float, metavar="MS", help=""),
        )
    ):
        function = option(function)
    return function


@log_command("list")
@filter_options
@click.option("--sort", "order", type=click.Choice(list(ORDERS)), default="updated", help="By what; default: updated.")
@click.option("--reverse", is_flag=True, help="The oldest, or smallest, first.")
@click.option("--limit", "-n", type=click.IntRange(1), default=50, help="How many; default: 50.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--watch", is_flag=True, help="Look again every two seconds.")
def command(log: Log, order: str, reverse: bool, limit: int, everything: bool, watch: bool, **filters: object) -> None:
    """List conversations, the ones written last first."""
    wanted = Filters(**filters)  # type: ignore[arg-type]  # the options have its names
    most = None if everything else limit
    with suppress(KeyboardInterrupt):
        while True:
            found = find_conversations(log.directory, wanted, order=order, ascending=reverse, limit=most)
            if watch and log.output.on_terminal:
                log.output.console.clear()
            _print(log, found)
            if not watch:
                return
            log.output.flush()
            sleep(_WATCH_S)


def _print(log: Log, found: list[ConversationSummary]) -> None:
    if log.output.as_json:
        for conversation in found:
            log.output.value(asdict(conversation))
        return
    if log.output.on_terminal:
        _print_for_people(log, found)
    else:
        log.output.table(_COLUMNS, map(_row, found))


def _print_for_people(log: Log, found: list[ConversationSummary]) -> None:
    """Print two lines a conversation: its figures, one under another; what was said first and last."""
    rows = [
        (
            harmless_line(conversation.conversation_id),
            moment(conversation.updated_at),
            f"{conversation.turn_count} turns",
            f"{conversation.input_tokens}→{conversation.output_tokens} tokens",
            milliseconds(conversation.duration_ms),
            f"{conversation.errors} errors" if conversation.errors else "",
            "" if conversation.complete else "cut off",
            harmless_line(", ".join(conversation.models), _NAMES_WIDTH),
            ", ".join(conversation.evidence),
        )
        for conversation in found
    ]
    styles = ("bold", "", "", "", "", "bold red", "yellow", "cyan", "dim")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    width = max(log.output.console.width - len(" ⇒ ") - 2, _NAMES_WIDTH)
    for conversation, row in zip(found, rows, strict=True):
        line = Text()
        for cell, style, cell_width in zip(row, styles, widths, strict=True):
            if cell_width:
                line.append(cell.ljust(cell_width + 2), style=style)
        line.rstrip()
        log.output.console.print(line, soft_wrap=True)
        asked = harmless_line(conversation.first_user_text, width // 2)
        answer = harmless_line(conversation.last_reply, width - len(asked))
        log.output.line(f"  {asked} ⇒ {answer}", style="dim")


def _row(conversation: ConversationSummary) -> tuple[object, ...]:
    return (
        conversation.conversation_id,
        moment(conversation.updated_at),
        conversation.turn_count,
        ", ".join(conversation.models),
        conversation.input_tokens,
        conversation.output_tokens,
        milliseconds(conversation.duration_ms),
        conversation.errors,
        "yes" if conversation.complete else "no",
        ", ".join(conversation.evidence),
        conversation.first_user_text,
        conversation.last_reply,
    )
