"""The page's server: where it listens, under which names, and how it stops."""

from __future__ import annotations

import secrets
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from otel_convlog.listening import in_url, is_loopback, listen_at
from otel_convlog.viewer.app import create_app

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import FrameType

    from starlette.applications import Starlette

PORT = 8666
_OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  the user's wish, and where he finds it himself
_HTTP_PORT = 80  # which browsers leave out of a host
_STOP_S = 5  # that requests have to come to their end


@dataclass(frozen=True)
class Listening:
    """A server that listens, and does not answer yet.

    Attributes:
        address: The one to open, with the token.
        is_local: Whether only this machine can reach it.
    """

    app: Starlette
    socket: socket.socket
    address: str
    is_local: bool

    def serve(self) -> None:
        """Answer until a signal comes."""
        config = uvicorn.Config(
            self.app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_STOP_S,
        )
        _Server(config, self.app).run([self.socket])


def listen(
    directory: Path,
    host: str,
    port: int | None,
    more_hosts: Iterable[str],
    *,
    changing: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Listening:
    """Listen for browsers.

    Args:
        directory: The log's directory, its catalog up to date.
        host: The address to listen at.
        port: The port; None for `PORT`, or any where that is taken.
        more_hosts: Further names, with their ports, under which browsers reach it.
        changing: As for `otel_convlog.viewer.app.create_app`.

    Raises:
        OSError: It cannot listen there.
    """
    listener = _listener(host, port)
    port = listener.getsockname()[1]
    token = secrets.token_urlsafe(32)
    named = in_url(host)
    hosts = {f"{name}:{port}" for name in (*_OWN_NAMES, named)} | set(more_hosts)
    if port == _HTTP_PORT:
        hosts |= {*_OWN_NAMES, named}
    app = create_app(directory, hosts=hosts, token=token, changing=changing)
    shown = _EVERYWHERE.get(host, named)
    return Listening(app, listener, f"http://{shown}:{port}/?token={token}", is_local=is_loopback(host))


def _listener(host: str, port: int | None) -> socket.socket:
    try:
        return listen_at(host, PORT if port is None else port)
    except OSError:
        if port is not None:
            raise
    return listen_at(host, 0)


class _Server(uvicorn.Server):
    """Lets the pages go that follow the log, for they would not end by themselves."""

    def __init__(self, config: uvicorn.Config, app: Starlette) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop."""
        self._app.state.live.end()
        super().handle_exit(sig, frame)
