"""``reindex``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import log_command
from otel_convlog.cli.progress import progress
from otel_convlog.store import reindex

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log


@log_command("reindex", needs_catalog=False)
@click.option("--everything", is_flag=True, help="Read all files, not only those that have changed.")
def command(log: Log, everything: bool) -> None:
    """Bring the catalog up to date with the files, where others than the log's writers have changed them."""
    with progress("reading files") as tell:
        read = reindex(log.directory, everything=everything, on_progress=tell)
    if log.output.as_json:
        log.output.value({"files_read": read})
    else:
        log.output.line(f"{read} files read")
