"""``merge``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import log_command
from otel_convlog.cli.moves import print_move
from otel_convlog.cli.progress import busy
from otel_convlog.store.regrouping import merge

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log


@log_command("merge", changes=True)
@click.argument("into", metavar="INTO")
@click.argument("others", metavar="ID...", nargs=-1, required=True)
def command(log: Log, into: str, others: tuple[str, ...]) -> None:
    """Put the turns of conversations into another one, INTO; files, catalog and evidence follow.

    What comes later of their dialogues goes there too, unless a client names its conversation.
    """
    target = log.conversation(into)
    sources = [log.conversation(other) for other in others]
    with busy("merging"):
        moved = merge(
            log.directory, target.conversation_id, [(found.conversation_id, found.files) for found in sources]
        )
    print_move(log, moved)
