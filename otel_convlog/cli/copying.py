"""``copy``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import cannot
from otel_convlog.cli.output import Output
from otel_convlog.cli.places import LogPlace, extras, opened_mirror, resolved
from otel_convlog.cli.progress import progress

if TYPE_CHECKING:
    from pathlib import Path


@click.command("copy")
@click.argument("source", metavar="FROM", type=LogPlace())
@click.argument("target", metavar="TO", type=LogPlace())
@click.option("--from-catalog", metavar="URL", help="FROM's database, where it is a log that several machines share.")
@click.option("--to-catalog", metavar="URL", help="TO's database, where it is one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    source: Path | str, target: Path | str, from_catalog: str | None, to_catalog: str | None, as_json: bool
) -> None:
    """Copy a log to another place, each a directory or the URL of an object store; what is there already stays.

    What was copied is read again there, and compared. The same command goes on where it was stopped. The exit status is
    1 where something could not be copied.
    """
    with extras("cloud,postgres"):
        from otel_convlog.shared.copying import DirectoryTarget, SharedTarget, copy  # noqa: PLC0415  of extras
    with cannot():
        origin, place = resolved(source, from_catalog or ""), resolved(target, to_catalog or "")
        directory = origin.directory
        if origin.shared is not None:
            mirror = opened_mirror(origin)
            directory = mirror.directory
            with progress("fetching conversations") as tell:
                mirror.refresh(on_progress=tell)
        elif not directory.is_dir():
            raise click.UsageError(f"there is no log at {directory}")
        taker = SharedTarget(opened_mirror(place)) if place.shared else DirectoryTarget(place.directory)
        with progress("copying conversations") as tell:
            copied = copy(directory, taker, on_progress=tell)
    output = Output(as_json=as_json)
    if as_json:
        output.value(vars(copied))
    else:
        output.line(f"{copied.turns} turns copied; of {copied.files} documents {copied.present} were there already")
        for file in copied.refused:
            output.line(f"not copied: {file}", style="red")
    click.get_current_context().exit(int(bool(copied.refused)))
