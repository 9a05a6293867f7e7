"""``status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from otel_convlog.cli.output import Output
from otel_convlog.cli.places import extras, place_options, resolved

if TYPE_CHECKING:
    from pathlib import Path


@click.command("status")
@place_options
@click.option("--spool", help="The spool. Default: OTEL_EXPORTER_CONVLOG_SPOOL, or data/spool.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(directory: Path | str | None, catalog: str | None, spool: str | None, as_json: bool) -> None:
    """Say whether a log that several machines share can be used, and how much waits for it on this one.

    The exit status is 1 where it cannot be used, or nobody delivers what waits.
    """
    settings = resolved(directory, catalog, spool=spool)
    if settings.shared is None:
        raise click.UsageError("the log is a directory of this machine: see verify and stats")
    with extras("cloud,postgres"):
        from otel_convlog.shared.status import status_of  # noqa: PLC0415  of extras

        status = status_of(settings.shared, settings.directory)
    output = Output(as_json=as_json)
    if as_json:
        output.value(status.as_json())
    else:
        for name, said, is_well in status.lines():
            output.line(f"{name:<10} {said}", style="" if is_well else "red")
    click.get_current_context().exit(int(not status.is_well))
