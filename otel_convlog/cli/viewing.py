"""``view``."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import log_command
from otel_convlog.cli.output import note

if TYPE_CHECKING:
    from types import FrameType

    from otel_convlog.cli.common import Log

_PORT = 8666
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_STOP_S = 5  # that requests have to come to their end


@log_command("view")
@click.option("--port", type=click.IntRange(0, 65535), default=None, help=f"Default: {_PORT}, else any free port.")
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Where to listen; default: this machine alone.")
@click.option(
    "--allow-host", "more_hosts", multiple=True, metavar="NAME[:PORT]", help="A further name that browsers reach it by."
)
@click.option("--open/--no-open", "opens", default=True, help="Whether to open a browser.")
def command(log: Log, port: int | None, host: str, more_hosts: tuple[str, ...], opens: bool) -> None:
    """Show the log in a browser, until Ctrl-C.

    The address that it prints has a token; without it nobody is let in.
    """
    try:
        import uvicorn  # noqa: PLC0415  of an extra

        from otel_convlog.viewer import create_app  # noqa: PLC0415  as above
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{error.name} is missing: pip install 'otel-convlog[viewer]'") from error
    listener = _listen(host, port)
    port = listener.getsockname()[1]
    token = secrets.token_urlsafe(32)
    named = f"[{host}]" if ":" in host else host
    shown = "127.0.0.1" if host == "0.0.0.0" else "[::1]" if host == "::" else named  # noqa: S104  it is compared only
    hosts = {f"{name}:{port}" for name in (*_LOOPBACK, named)} | set(more_hosts)
    if port == 80:  # browsers leave it out
        hosts |= {*_LOOPBACK, named}
    app = create_app(log.directory, hosts=hosts, token=token)
    address = f"http://{shown}:{port}/?token={token}"
    if log.output.as_json:
        log.output.value({"address": address})
    else:
        log.output.line(address)
    log.output.flush()
    if shown not in _LOOPBACK:
        note("Other machines can reach this page, and what it shows passes the network unencrypted.")
    if opens:
        webbrowser.open(address)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_STOP_S,
    )

    class Server(uvicorn.Server):
        """Lets the pages go that follow the log, for they would not end by themselves."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """Stop."""
            app.state.live.end()
            super().handle_exit(sig, frame)

    Server(config).run([listener])


def _listen(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, _PORT if port is None else port), family=family)
    except OSError:
        if port is not None:
            raise
    return socket.create_server((host, 0), family=family)
