"""``deliver``."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_convlog.cli.places import extras, place_options, resolved

if TYPE_CHECKING:
    from types import FrameType


@click.command("deliver")
@place_options
@click.option(
    "--spool",
    type=click.Path(path_type=Path, file_okay=False),
    help="Whose turns; made where there is none. Default: OTEL_EXPORTER_CONVLOG_SPOOL, or data/spool.",
)
def command(directory: Path | str | None, catalog: str | None, spool: Path | None) -> None:
    """Deliver the turns of a spool to a log that several machines share, and make documents, until Ctrl-C or SIGTERM.

    An exporter starts this by itself; as a process of its own it stands beside proxies that write to a directory.
    """
    settings = resolved(directory, catalog, spool=spool)
    if settings.shared is None:
        raise click.UsageError("say where to: --directory and --catalog")
    with extras("cloud,postgres"):
        from otel_convlog.shared.delivering import run  # noqa: PLC0415  of extras
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        alone = run(settings, stop)
    except OSError as error:
        raise click.UsageError(f"{settings.directory} cannot be used: {error}") from error
    if not alone:
        raise click.UsageError(f"somebody delivers the turns of {settings.directory} already")
