"""Serves the endpoint until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from otel_convlog.collecting.app import create_app
from otel_convlog.collecting.bodies import BodyReader
from otel_convlog.collecting.collector import Collector
from otel_convlog.collecting.guard import Guard
from otel_convlog.collecting.room import Room
from otel_convlog.collecting.spool import Spool
from otel_convlog.exporter import ConversationSpanExporter

if TYPE_CHECKING:
    import socket
    from types import FrameType

    from otel_convlog.settings import Settings

# Batch processors send every five seconds: a connection that is closed between two of them may be closed just as the
# next is sent.
_IDLE_S = 75
_STOP_S = 20  # for answers that are under way
# Of turns that the disk has refused. What bounds them is that nothing more is taken while any of them wait.
_MOST_REFUSED_BYTES = 1 << 30


@dataclass(frozen=True)
class Limits:
    """What is taken.

    Attributes:
        body_bytes: How large a body may be, and what is in it.
        body_s: How long it may take to come, in seconds.
        room_bytes: How much all requests together may have in memory before they are written.
    """

    body_bytes: int
    body_s: float
    room_bytes: int


def serve(listener: socket.socket, settings: Settings, *, token: str | None, limits: Limits) -> None:
    """Take spans and write their turns, until SIGTERM or SIGINT; then answer what has been taken, and return.

    Args:
        listener: Where senders connect.
        settings: Those of the log.
        token: What senders must have; None where none is needed.
        limits: What is taken.

    Raises:
        OSError: The log's directory cannot be used.
    """
    place = settings.place
    exporter = ConversationSpanExporter(
        directory=place["directory"],
        catalog=place.get("catalog"),
        spool=place.get("spool"),
        queue_bytes=_MOST_REFUSED_BYTES,
        writer="thread",
    )
    collector = Collector(exporter, Spool(settings.directory, durable=settings.fsync))
    bodies = BodyReader(limits.body_bytes, limits.body_s)
    app = create_app(
        collector=collector,
        guard=Guard(token),
        bodies=bodies,
        room=Room(limits.room_bytes),
        most_bytes=limits.body_bytes,
    )
    collector.start()
    for number in (signal.SIGINT, signal.SIGTERM):  # the server sends itself the one that has ended it once more
        signal.signal(number, lambda *_: None)
    try:
        _Server(app, bodies).run([listener])
    finally:
        collector.stop()


class _Server(uvicorn.Server):
    """Lets go of bodies that have not come when it stops."""

    def __init__(self, app: object, bodies: BodyReader) -> None:
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]  # Starlette's own type is not uvicorn's
                lifespan="off",
                ws="none",
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_IDLE_S,
                timeout_graceful_shutdown=_STOP_S,
            )
        )
        self._bodies = bodies
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._bodies.stop)
        super().handle_exit(sig, frame)
