"""Why a request is refused, as OTLP/HTTP says it (https://opentelemetry.io/docs/specs/otlp/#otlphttp-response)."""

from __future__ import annotations

from http import HTTPStatus

from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

# Senders look at the HTTP status; this one is for those who read the body.
_CODES = {
    HTTPStatus.UNAUTHORIZED: Code.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: Code.PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: Code.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: Code.UNIMPLEMENTED,
    HTTPStatus.REQUEST_TIMEOUT: Code.DEADLINE_EXCEEDED,
    HTTPStatus.INTERNAL_SERVER_ERROR: Code.INTERNAL,
    HTTPStatus.SERVICE_UNAVAILABLE: Code.UNAVAILABLE,
}


class RefusedError(Exception):
    """A request is refused; none of it is written, or it may be sent again without harm.

    Args:
        status: The HTTP status. Senders try again where it is 503, and drop what they have where it is below 500.
        message: Why, for whoever reads the sender's log.
        headers: More headers of the answer.
    """

    def __init__(self, status: HTTPStatus, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}

    @property
    def body(self) -> Status:
        """What the answer's body says."""
        return Status(code=_CODES.get(self.status, Code.INVALID_ARGUMENT), message=self.message)


def come_again(message: str, *, after_s: int = 1) -> RefusedError:
    """Return the refusal of what could be taken later.

    It is 503 and not 429: the Python SDK tries again after any 5xx, and drops its spans after a 429.

    Args:
        message: Why.
        after_s: When it is worth another try, in seconds.
    """
    return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, message, {"retry-after": str(after_s)})
