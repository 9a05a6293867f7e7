"""Hooks that record what goes upstream through requests."""

from __future__ import annotations

import functools
import logging
from io import TextIOBase
from typing import TYPE_CHECKING, Any

from otel_convlog.capture.patches import Patches
from otel_convlog.capture.upstream import begin_attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otel_convlog.attempts import Attempt
    from otel_convlog.wire import Body

_logger = logging.getLogger(__name__)

_patches = Patches()


def instrument_requests() -> None:
    """Record the model requests that requests sends within a turn, and their answers, whole or streamed.

    As `instrument_httpx` does it. A second call does nothing.

    Raises:
        ImportError: There is no requests.
    """
    from requests.adapters import HTTPAdapter  # noqa: PLC0415  an application may not have it

    _patches.wrap(HTTPAdapter, "send", _recording)


def uninstrument_requests() -> None:
    """Let requests be as it was."""
    _patches.undo()


def _recording(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        attempt = begin_attempt(request.method, request.url, request.headers) if _patches.active else None
        if attempt is None:
            return original(self, request, *args, **kwargs)
        body = request.body
        request.body = _seen_body(body, attempt.body)
        try:
            response = original(self, request, *args, **kwargs)
        except BaseException as error:
            attempt.fail(error)
            raise
        finally:
            request.body = body
        _see_answer(response, attempt)
        return response

    return send


def _seen_body(body: Any, seen: Body) -> Any:
    """Return what is to be sent as a request's body; it is taken at once where it is there, else while it is sent."""
    if isinstance(body, (bytes, bytearray, str)):
        seen.add(_bytes(body))
    elif isinstance(body, TextIOBase):  # which urllib3 tells from other files, and must see itself
        return body
    elif hasattr(body, "read"):
        return _SeenFile(body, seen)
    elif body is not None:
        return _passing(body, seen)
    return body


def _passing(pieces: Iterable[Any], seen: Body) -> Iterator[Any]:
    for piece in pieces:
        seen.add(_bytes(piece))
        yield piece


def _bytes(piece: Any) -> bytes:
    return piece.encode("utf-8", "replace") if isinstance(piece, str) else bytes(piece)


class _SeenFile:
    """A file, or a stream, of which all is taken that is read."""

    def __init__(self, file: Any, seen: Body) -> None:
        self._file = file
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Iterator[Any]:
        return _passing(self._file, self._seen)

    def read(self, *args: Any) -> Any:
        piece = self._file.read(*args)
        self._seen.add(_bytes(piece or b""))
        return piece


def _see_answer(response: Any, attempt: Attempt) -> None:
    headers = response.headers
    answer = attempt.respond(response.status_code, headers.get("content-type", ""), "")
    raw = response.raw
    try:
        raw.__class__ = _seen(raw.__class__)
        raw._convlog = (answer, attempt)  # noqa: SLF001  its own class is ours now
    except (TypeError, AttributeError) as error:  # an adapter that answers with something else than urllib3 does
        _logger.debug("the answer of %s cannot be recorded: %r", attempt.target.url, error)


@functools.cache
def _seen(kind: Any) -> Any:
    """Return the class of a response with what looks at it; there is one of them, as there is one of urllib3's."""
    return type("HTTPResponse", (_SeenResponse, kind), {})


class _SeenResponse:
    """An urllib3 response of which all is taken that is read.

    By these three methods all others of urllib3's read.
    """

    _convlog: tuple[Body, Attempt]

    def read(self, *args: Any, **kwargs: Any) -> Any:
        return self._seen(super().read, args, kwargs)  # type: ignore[misc]  # of the class that it is put before

    def read1(self, *args: Any, **kwargs: Any) -> Any:
        return self._seen(super().read1, args, kwargs)  # type: ignore[misc]  # as above

    def read_chunked(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        body, attempt = self._convlog
        self._note_encoding(args, kwargs)
        try:
            for piece in super().read_chunked(*args, **kwargs):  # type: ignore[misc]  # as above
                body.add(piece)
                yield piece
        except Exception as error:
            attempt.fail(error)
            raise

    def _seen(self, read: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        body, attempt = self._convlog
        self._note_encoding(args, kwargs)
        try:
            piece = read(*args, **kwargs)
        except Exception as error:
            attempt.fail(error)
            raise
        body.add(piece)
        return piece

    def _note_encoding(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note how what is read is encoded: not at all where urllib3 is asked to undo that."""
        body, _ = self._convlog
        if not body.size:
            this: Any = self
            decodes = args[1] if len(args) > 1 else kwargs.get("decode_content")
            decodes = this.decode_content if decodes is None else decodes
            body.encoding = "" if decodes else this.headers.get("content-encoding", "")
