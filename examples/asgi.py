"""Runs an ASGI application as the examples need it: it says where it listens, and it stops at SIGTERM and SIGINT."""

from __future__ import annotations

import contextlib
import socket

import uvicorn
from starlette.applications import Starlette

from examples.serving import HOST, announce


class _AnnouncedServer(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            announce(self.servers[0].sockets[0].getsockname()[1])


def serve(app: Starlette, port: int, *, log_level: str = "warning") -> None:
    """Serve until a signal comes, then close what is open and run the application's own shutdown (its lifespan)."""
    # Streams that are still open after two seconds are cancelled; their turns are logged as far as they got.
    config = uvicorn.Config(app, HOST, port, log_level=log_level, timeout_graceful_shutdown=2)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn passes SIGINT on when it has shut down
        _AnnouncedServer(config).run()
