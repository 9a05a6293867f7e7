"""``export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import log_command
from otel_convlog.cli.listing import filter_options
from otel_convlog.cli.output import note
from otel_convlog.cli.progress import progress
from otel_convlog.reading.conversations import Filters, find_conversations
from otel_convlog.reading.exporting import FORMATS
from otel_convlog.reading.harmless import harmless, harmless_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_convlog.cli.common import Log
    from otel_convlog.reading.conversations import ConversationSummary
    from otel_convlog.reading.turns import TurnPlace

_PAGE = "page"  # needs what the pages of `view` need
_JSON_FORMATS = ("jsonl", "openai", "sharegpt")


@log_command("export")
@click.argument("conversations", metavar="[ID]...", nargs=-1)
@click.option("--format", "form", type=click.Choice([*FORMATS, _PAGE]), default="jsonl", help="Default: jsonl.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file; default: what is piped.")
@filter_options
def command(log: Log, conversations: tuple[str, ...], form: str, output: Path | None, **filters: object) -> None:
    """Export conversations: those that are named, else all that the options choose, the oldest first.

    jsonl has the turns as they are, one a line; markdown and html the dialogues; openai (fine-tuning of chats) and
    sharegpt the whole history of each branch, one a line; page is one conversation as `view` shows it, in one file.
    """
    if log.output.as_json and form not in _JSON_FORMATS:
        raise click.UsageError(f"{form} is no JSON")
    wanted = Filters(**filters)  # type: ignore[arg-type]  # the options have its names
    found = (
        [log.conversation(shortened) for shortened in conversations]
        if conversations
        else find_conversations(log.directory, wanted, order="created", ascending=True)
    )
    with progress("exporting") as tell:
        with_places = _with_places(log, found, tell if output is not None else None)
        pieces = _page(found, with_places) if form == _PAGE else FORMATS[form](with_places)
        if output is None:
            fit = (harmless_json if form in _JSON_FORMATS else harmless) if log.output.on_terminal else _exact
            for piece in pieces:
                sys.stdout.write(fit(piece))
            return
        with output.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.writelines(pieces)
    note(f"{len(found)} conversations are in {output}")


def _page(
    found: list[ConversationSummary], with_places: Iterator[tuple[ConversationSummary, list[TurnPlace]]]
) -> Iterator[str]:
    if len(found) != 1:
        raise click.UsageError("a page is of one conversation: name it by its id")
    try:
        from otel_convlog.viewer.export import page_of  # noqa: PLC0415  of an extra
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{error.name} is missing: pip install 'otel-convlog[viewer]'") from error
    return page_of(*next(with_places))


def _exact(text: str) -> str:
    return text


def _with_places(
    log: Log, found: list[ConversationSummary], tell: Callable[[int, int], None] | None
) -> Iterator[tuple[ConversationSummary, list[TurnPlace]]]:
    for number, conversation in enumerate(found):
        if tell is not None:
            tell(number, len(found))
        yield conversation, log.places(conversation)
