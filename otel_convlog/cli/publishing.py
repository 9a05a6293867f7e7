"""``publish``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import any_conversation_argument, log_command
from otel_convlog.cli.progress import progress

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log


@log_command("publish", needs_catalog=False, fetches=False)
@any_conversation_argument
def command(log: Log, conversation: str | None) -> None:
    """Make the documents now of a conversation, or of all, in a log that several machines share.

    By itself that is done when a conversation has been quiet for a while.
    """
    if log.mirror is None:
        raise click.UsageError("the documents of a directory are written with each turn")
    chosen = log.mirror.whole_id(conversation) if conversation is not None else None
    with progress("making documents") as tell:
        made = log.mirror.make_documents(chosen, on_progress=tell)
    if log.output.as_json:
        log.output.value({"documents": made})
    else:
        log.output.line(f"{made} documents made")
