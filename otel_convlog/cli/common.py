"""What the commands share: the options for the log's directory and for JSON, ids that complete, and errors."""

from __future__ import annotations

import os
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_convlog.cli.output import Output
from otel_convlog.cli.progress import progress
from otel_convlog.reading.conversations import (
    ConversationSummary,
    UnknownConversationError,
    bring_up_to_date,
    resolve,
)
from otel_convlog.reading.turns import TurnPlace, places_of
from otel_convlog.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem


class _CannotError(click.ClickException):
    """Something could not be done."""

    exit_code = 2


class Log:
    """The log that a command is about, and where it prints to."""

    def __init__(self, directory: Path | None, *, as_json: bool) -> None:
        self.settings = Settings.resolve(directory=directory)
        self.directory = self.settings.directory
        self.output = Output(as_json=as_json)
        if not self.directory.is_dir():
            raise click.UsageError(f"there is no log at {self.directory}; see --directory")

    def conversation(self, shortened: str) -> ConversationSummary:
        """Return a conversation by its shortened id."""
        return resolve(self.directory, shortened)

    def places(self, conversation: ConversationSummary) -> list[TurnPlace]:
        """Return where its turns stand."""
        return places_of(self.directory, conversation)

    def bring_up_to_date(self) -> None:
        """Read the files into a catalog that never was whole."""
        with progress("reading files") as tell:
            bring_up_to_date(self.directory, tell)


def turn_place(places: list[TurnPlace], which: str) -> TurnPlace:
    """Return a turn by its number, from the end where it is negative, or by the beginning of its id."""
    if which.removeprefix("-").isdigit():
        number = int(which)
        index = number - 1 if number > 0 else len(places) + number
        if number and 0 <= index < len(places):
            return places[index]
        raise click.UsageError(f"there is no turn {number}; there are {len(places)}")
    found = [place for place in places if place.turn_id.startswith((which, f"turn_{which}"))]
    if len(found) != 1:
        raise click.UsageError(f"{which} is the beginning of {len(found)} turns' ids")
    return found[0]


def _complete_id(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem  # noqa: PLC0415  only a shell asks for it

    from otel_convlog.reading.conversations import find_conversations  # noqa: PLC0415

    directory = Settings.resolve(directory=ctx.params.get("directory")).directory
    if not directory.is_dir():
        return []
    return [
        CompletionItem(found.conversation_id, help=found.first_user_text[:60])
        for found in find_conversations(directory, limit=500)
        if found.conversation_id.startswith(incomplete)
    ]


conversation_argument = click.argument("conversation", metavar="ID", shell_complete=_complete_id)
any_conversation_argument = click.argument("conversation", metavar="[ID]", required=False, shell_complete=_complete_id)


def log_command(name: str, *, needs_catalog: bool = True) -> Callable[[Callable[..., int | None]], click.Command]:
    """Make a command of a function that is given the `Log` first and returns the exit status.

    Args:
        name: Of the command.
        needs_catalog: Whether the catalog must have been made whole before.
    """

    def decorate(function: Callable[..., int | None]) -> click.Command:
        @wraps(function)
        def run(directory: Path | None, as_json: bool, **options: object) -> None:
            try:
                log = Log(directory, as_json=as_json)
                if needs_catalog:
                    log.bring_up_to_date()
                status = function(log, **options)
            except UnknownConversationError as error:
                raise click.UsageError(str(error)) from error
            except BrokenPipeError:
                raise
            except OSError as error:
                raise _CannotError(str(error)) from error
            click.get_current_context().exit(status or 0)

        with_options = click.option(
            "--directory",
            type=click.Path(path_type=Path, file_okay=False),
            help="The log. Default: OTEL_EXPORTER_CONVLOG_DIRECTORY, or data/conversations.",
        )(click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")(run))
        return click.command(name, help=_paragraphs(function.__doc__))(with_options)

    return decorate


def _paragraphs(text: str | None) -> str:
    return os.linesep.join(line.strip() for line in (text or "").splitlines())
