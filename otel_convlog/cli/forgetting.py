"""``forget``."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import any_conversation_argument, log_command
from otel_convlog.cli.progress import progress
from otel_convlog.privacy import Target, forget, verify
from otel_convlog.reading.conversations import UnknownConversationError, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from otel_convlog.cli.common import Log


@log_command("forget", changes=True)
@any_conversation_argument
@click.option("--turn", help="A turn, by its whole id.")
@click.option("--text", help="All conversations in which it stands.")
@click.option("--caller", metavar="PLACE=VALUE", help="All conversations of a caller: header:x-user=a, body:user=a.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(
    log: Log,
    conversation: str | None,
    turn: str | None,
    text: str | None,
    caller: str | None,
    dry_run: bool,
    yes: bool,
) -> int:
    """Remove a conversation, a turn, or all conversations that match, from files, catalog and evidence.

    Afterwards it is looked whether anything is left; the exit status is 1 where something is.
    """
    try:
        target = Target(conversation_id=_whole_id(log.directory, conversation), turn_id=turn, text=text, caller=caller)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if not dry_run and not yes and sys.stdin.isatty():
        with progress("looking") as tell:
            would = forget(log.directory, target, dry_run=True, on_progress=tell)
        click.confirm(f"Remove {would.turns} turns in {len(would.files)} files?", abort=True, err=True)
    with progress("looking") as tell:
        forgotten = forget(log.directory, target, dry_run=dry_run, on_progress=tell)
    with progress("looking for what is left") as tell:
        left = [] if dry_run else verify(log.directory, target, on_progress=tell)
    if log.output.as_json:
        log.output.value({**vars(forgotten), "left": left})
    else:
        verb = "would be removed" if dry_run else "removed"
        log.output.line(f"{forgotten.turns} turns {verb}, in {len(forgotten.files)} files")
        for path in forgotten.files:
            log.output.line(f"  {path.relative_to(log.directory).as_posix()}")
        for place in left:
            log.output.line(f"left: {place}", style="red")
        if not forgotten.complete:
            log.output.line("the catalog is in use, and may hold remains; run it again", style="red")
    return int(bool(left) or not forgotten.complete)


def _whole_id(directory: Path, shortened: str | None) -> str | None:
    """Return the id of a conversation that the catalog has; any other as it was given: it may be a digested one's."""
    if shortened is not None:
        with suppress(UnknownConversationError):
            return resolve(directory, shortened).conversation_id
    return shortened
