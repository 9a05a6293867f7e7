"""``view``."""

from __future__ import annotations

import webbrowser
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import log_command
from otel_convlog.cli.output import note
from otel_convlog.cli.places import extras

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log


@log_command("view")
@click.option("--port", type=click.IntRange(0, 65535), default=None, help="Default: 8666, else any free port.")
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Where to listen; default: this machine alone.")
@click.option(
    "--allow-host", "more_hosts", multiple=True, metavar="NAME[:PORT]", help="A further name that browsers reach it by."
)
@click.option("--open/--no-open", "opens", default=True, help="Whether to open a browser.")
def command(log: Log, port: int | None, host: str, more_hosts: tuple[str, ...], opens: bool) -> None:
    """Show the log in a browser, until Ctrl-C.

    The address that it prints has a token; without it nobody is let in.
    """
    with extras("viewer"):
        from otel_convlog.viewer.server import listen  # noqa: PLC0415  of an extra
    changing = log.mirror.changing if log.mirror is not None else nullcontext
    server = listen(log.directory, host, port, more_hosts, changing=changing)
    if log.output.as_json:
        log.output.value({"address": server.address})
    else:
        log.output.line(server.address)
    log.output.flush()
    if not server.is_local:
        note("Other machines can reach this page, and what it shows passes the network unencrypted.")
    if opens:
        webbrowser.open(server.address)
    with log.followed():
        server.serve()
