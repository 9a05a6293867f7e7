"""Who may send."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import TYPE_CHECKING

from otel_convlog.collecting.refusal import RefusedError

if TYPE_CHECKING:
    from starlette.datastructures import Headers

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """Lets those in that have the token; without one, those of this machine.

    Args:
        token: The token; None where there is none.
    """

    def __init__(self, token: str | None) -> None:
        self._token = token.encode() if token is not None else None

    def check(self, headers: Headers) -> None:
        """Look whether a request may be taken.

        Raises:
            RefusedError: It may not.
        """
        if self._token is None:
            # A page of another site, whose name has been pointed at this machine, would have that name here.
            host, _, port = headers.get("host", "").rpartition(":")
            if (host if port.isdigit() else f"{host}:{port}".lstrip(":")) not in LOOPBACK:
                raise RefusedError(HTTPStatus.FORBIDDEN, "without a token, only this machine's own names are served")
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED,
                "Authorization: Bearer and the token of otel-convlog collect are needed",
                {"www-authenticate": "Bearer"},
            )
