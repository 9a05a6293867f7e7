"""``scrub``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import log_command
from otel_convlog.cli.progress import progress
from otel_convlog.privacy import scrub
from otel_convlog.settings import PREFIX

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log


@log_command("scrub", needs_catalog=False, changes=True)
@click.option("--header", "headers", multiple=True, help="A header to mask, besides those that are always.")
@click.option(
    "--patterns",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar=f"{PREFIX}REDACT_PATTERNS",
    help="A file of regular expressions. Default: OTEL_EXPORTER_CONVLOG_REDACT_PATTERNS.",
)
@click.option("--dry-run", is_flag=True, help="Only count.")
def command(log: Log, headers: tuple[str, ...], patterns: Path | None, dry_run: bool) -> int:
    """Take out of all files what today's rules find in them: secrets, and what your patterns match.

    The exit status is 1 where something is left: in a dry run, in a file's name, or in one that cannot be written.
    """
    try:
        with progress("cleaning") as tell:
            found = scrub(
                log.directory,
                redact_headers=(*log.settings.redact_headers, *headers),
                redact_patterns=patterns,
                dry_run=dry_run,
                on_progress=tell,
            )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    left = bool(found.named or found.refused) or not found.complete or (dry_run and found.files > 0)
    if log.output.as_json:
        refused = {str(path): why for path, why in found.refused.items()}
        log.output.value({**vars(found), "kinds": dict(found.kinds), "refused": refused})
        return int(left)
    verb = "hold" if dry_run else "held"
    log.output.line(f"{found.turns} turns in {found.files} files {verb} something to be taken out")
    for kind, count in sorted(found.kinds.items()):
        log.output.line(f"  {kind}: {count}")
    for path in found.named:
        log.output.line(f"the name of {path.relative_to(log.directory).as_posix()} holds a secret; forget removes it")
    for path, why in found.refused.items():
        log.output.line(f"{path.relative_to(log.directory).as_posix()}: {why}", style="red")
    if not found.complete:
        log.output.line("the catalog is in use, and may hold remains; run it again", style="red")
    return int(left)
