"""Who may send."""

from __future__ import annotations

import hmac
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from otel_convlog.collecting.refusal import RefusedError
from otel_convlog.listening import is_loopback

if TYPE_CHECKING:
    from starlette.datastructures import Headers


_PORT = re.compile(r":[0-9]+$")


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
            if not is_loopback(_PORT.sub("", headers.get("host", ""))):
                raise RefusedError(HTTPStatus.FORBIDDEN, "without a token, only this machine's own names are served")
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED,
                "Authorization: Bearer and the token of otel-convlog collect are needed",
                {"www-authenticate": "Bearer"},
            )
