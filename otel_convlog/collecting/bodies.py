"""The bodies of requests, read within a bound of bytes and of time."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import anyio

from otel_convlog.collecting.intake import too_large
from otel_convlog.collecting.refusal import RefusedError, come_again

if TYPE_CHECKING:
    from starlette.requests import Request

    from otel_convlog.collecting.room import Share


class BodyReader:
    """Reads bodies. For one event loop.

    Args:
        most_bytes: How large one may be.
        most_s: How long one may take to come, in seconds.

    Attributes:
        stops: Whether no more are read.
    """

    def __init__(self, most_bytes: int, most_s: float) -> None:
        self._most_bytes = most_bytes
        self._most_s = most_s
        self.stops = False
        self._reading: set[anyio.CancelScope] = set()

    async def read(self, request: Request, share: Share) -> bytes:
        """Return the body of a request.

        Args:
            request: The request.
            share: Takes as many bytes as the body has.

        Raises:
            RefusedError: It is too large, takes too long, there is no room for it, or the server stops.
            starlette.requests.ClientDisconnect: The sender is gone.
        """
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._most_bytes:
            raise too_large(self._most_bytes)
        body = bytearray()
        with anyio.move_on_after(self._most_s) as scope:
            self._reading.add(scope)
            try:
                if self.stops:
                    scope.cancel()
                async for piece in request.stream():
                    if len(body) + len(piece) > self._most_bytes:
                        raise too_large(self._most_bytes)
                    share.take(len(piece))
                    body += piece
            finally:
                self._reading.discard(scope)
        if not scope.cancelled_caught:
            return bytes(body)
        if self.stops:
            raise come_again("the server stops")
        raise RefusedError(
            HTTPStatus.REQUEST_TIMEOUT, f"the body has not come within {self._most_s:g} s", {"connection": "close"}
        )

    def stop(self) -> None:
        """Refuse the bodies that have not come yet, and those that are still to come."""
        self.stops = True
        for scope in list(self._reading):
            scope.cancel()
