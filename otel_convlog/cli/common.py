"""What the commands share: the options for the log's directory and for JSON, ids that complete, and errors."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import TYPE_CHECKING

import click

from otel_convlog.cli.output import Output
from otel_convlog.cli.places import fetched, followed, opened_mirror, place_options, resolved
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
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from click.shell_completion import CompletionItem

    from otel_convlog.shared.mirror import Mirror


_JSON_HELP = "Print one JSON object a line."


class _CannotError(click.ClickException):
    """Something could not be done."""

    exit_code = 2


class Log:
    """The log that a command is about, and where it prints to."""

    def __init__(self, directory: Path | str | None, catalog: str | None, *, as_json: bool) -> None:
        self.settings = resolved(directory, catalog)
        self.directory = self.settings.directory
        self.output = Output(as_json=as_json)
        self.mirror: Mirror | None = None
        if self.settings.shared is not None:
            self.mirror = opened_mirror(self.settings)
            self.directory = self.mirror.directory
        elif not self.directory.is_dir():
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

    def fetched(self, conversation: object, since: object, *, changes: bool) -> AbstractContextManager[None]:
        """Fetch what a command is about where several machines share the log: `otel_convlog.cli.places.fetched`."""
        return fetched(self.mirror, conversation, since, changes=changes) if self.mirror else nullcontext()

    def followed(self) -> AbstractContextManager[None]:
        """Fetch within the block what comes to a log that several machines share, as it comes."""
        return followed(self.mirror) if self.mirror else nullcontext()


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

    settings = Settings.resolve(directory=ctx.params.get("directory"), catalog=ctx.params.get("catalog"))
    if settings.shared is not None or not settings.directory.is_dir():
        return []
    return [
        CompletionItem(found.conversation_id, help=found.first_user_text[:60])
        for found in find_conversations(settings.directory, limit=500)
        if found.conversation_id.startswith(incomplete)
    ]


@contextmanager
def cannot() -> Iterator[None]:
    """Turn what cannot be done, or is not there, into an error of the command line."""
    try:
        yield
    except UnknownConversationError as error:
        raise click.UsageError(str(error)) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _CannotError(str(error)) from error


conversation_argument = click.argument("conversation", metavar="ID", shell_complete=_complete_id)
any_conversation_argument = click.argument("conversation", metavar="[ID]", required=False, shell_complete=_complete_id)


def log_command(
    name: str, *, needs_catalog: bool = True, changes: bool = False, fetches: bool = True
) -> Callable[[Callable[..., int | None]], click.Command]:
    """Make a command of a function that is given the `Log` first and returns the exit status.

    Args:
        name: Of the command.
        needs_catalog: Whether the catalog must have been made whole before.
        changes: Whether it changes the log.
        fetches: Whether it needs a copy of a log that several machines share.
    """

    def decorate(function: Callable[..., int | None]) -> click.Command:
        @wraps(function)
        def run(directory: Path | str | None, catalog: str | None, as_json: bool, **options: object) -> None:
            with cannot():
                log = Log(directory, catalog, as_json=as_json)
                wanted = log.fetched(options.get("conversation"), options.get("since"), changes=changes)
                with wanted if fetches else nullcontext():
                    if needs_catalog:
                        log.bring_up_to_date()
                    status = function(log, **options)
            click.get_current_context().exit(status or 0)

        with_options = place_options(click.option("--json", "as_json", is_flag=True, help=_JSON_HELP)(run))
        return click.command(name, help=_paragraphs(function.__doc__))(with_options)

    return decorate


def _paragraphs(text: str | None) -> str:
    return os.linesep.join(line.strip() for line in (text or "").splitlines())
