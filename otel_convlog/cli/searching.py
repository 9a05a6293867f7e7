"""``search``."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

import click
from rich.text import Text

from otel_convlog.cli.common import log_command
from otel_convlog.cli.progress import progress
from otel_convlog.reading.harmless import harmless, harmless_line
from otel_convlog.reading.search import bring_texts_up_to_date, search, search_files
from otel_convlog.reading.units import moment

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log
    from otel_convlog.reading.search import Found


@log_command("search")
@click.argument("text")
@click.option("--regex", is_flag=True, help="TEXT is a regular expression; the files are read.")
@click.option("--ignore-case", "-i", is_flag=True, help="With --regex.")
@click.option("--role", type=click.Choice(["user", "assistant"]), help="Only what that side said.")
@click.option("--limit", "-n", type=click.IntRange(1), default=50, help="How many; default: 50.")
def command(log: Log, text: str, regex: bool, ignore_case: bool, role: str | None, limit: int) -> None:
    """Find what users and models have said, the newest first.

    All words of TEXT must be in a message; "some words" in that order; begin* is a word's beginning.
    """
    if regex:
        try:
            pattern = re.compile(text, re.IGNORECASE if ignore_case else 0)
        except re.error as error:
            raise click.UsageError(f"{text!r} is no regular expression: {error}") from error
        with progress("reading files") as tell:
            for found in islice(search_files(log.directory, pattern, role=role, on_progress=tell), limit):
                _print(log, found)
        return
    with progress("reading texts") as tell:
        bring_texts_up_to_date(log.directory, tell)
    try:
        results = search(log.directory, text, role=role, limit=limit)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    for found in results:
        _print(log, found)


def _print(log: Log, found: Found) -> None:
    if log.output.as_json:
        log.output.value({**vars(found), "snippet": found.text, "found": [text for text, hit in found.snippet if hit]})
        return
    if not log.output.on_terminal:
        cells = (found.conversation_id, moment(found.started_at), found.turn_id, found.role, found.text)
        log.output.line("\t".join(harmless_line(cell) for cell in cells))
        return
    line = Text(f"{harmless_line(found.conversation_id)}  {moment(found.started_at)}  {found.role}: ", style="dim")
    for piece, hit in found.snippet:
        line.append(re.sub(r"\s+", " ", harmless(piece)), style="bold red not dim" if hit else "not dim")
    log.output.console.print(line, soft_wrap=True)
