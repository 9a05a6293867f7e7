"""What whoever starts an example server deals with: its options, and the line that says where it listens."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"  # the examples ask nobody who they are, so they are for this machine only


@dataclass(frozen=True)
class ProxyOptions:
    """What an example proxy can be told.

    Attributes:
        upstream: Base URL of the model API, without `/v1`.
        port: Port to listen on; 0 for any that is free.
        directory: Where the conversations go; None leaves it to the environment and the exporter's default.
        timeout_s: How long the upstream may be silent before the client is told so.
        models: Client model -> upstream model; any other model goes upstream as it is.
    """

    upstream: str
    port: int = 0
    directory: Path | None = None
    timeout_s: float = 60.0
    models: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_command_line(cls, description: str) -> ProxyOptions:
        """Read the options of a proxy from the command line; the upstream may also stand in `UPSTREAM_URL`."""
        parser = argparse.ArgumentParser(description=description)
        add_port(parser)
        upstream = os.environ.get("UPSTREAM_URL")
        parser.add_argument("--upstream", metavar="URL", default=upstream, required=not upstream)
        parser.add_argument("--directory", type=Path, metavar="DIR", help="where the conversations go")
        parser.add_argument("--timeout", type=float, metavar="SECONDS", default=60.0, help="silence of the upstream")
        parser.add_argument("--model", type=_rewrite, metavar="CLIENT=UPSTREAM", action="append", default=[])
        given = parser.parse_args()
        return cls(given.upstream.rstrip("/"), given.port, given.directory, given.timeout, dict(given.model))


def add_port(parser: argparse.ArgumentParser) -> None:
    """Give a server's command line its `--port`."""
    parser.add_argument("--port", type=int, default=0, help="default: any free port")


def announce(port: int) -> None:
    """Print the line for which whoever started the server waits."""
    print(f"http://{HOST}:{port}", flush=True)


def _rewrite(text: str) -> tuple[str, str]:
    client_model, _, upstream_model = text.partition("=")
    if not (client_model and upstream_model):
        raise argparse.ArgumentTypeError(f"{text!r} is not CLIENT=UPSTREAM")
    return client_model, upstream_model
