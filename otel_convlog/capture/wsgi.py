"""Middleware that records the turns of a WSGI application."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from opentelemetry import context as context_api

from otel_convlog.capture.captured_turn import CLIENT_LEFT, CapturedTurn, Entrance, Problem, context_of
from otel_convlog.capture.options import CaptureOptions
from otel_convlog.tracer import can_record

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, MutableMapping

    from opentelemetry.context import Context

    from otel_convlog.wire import Answer

    Environ = MutableMapping[str, Any]
    StartResponse = Callable[..., Callable[[bytes], object]]
    Application = Callable[..., Iterable[bytes]]

_logger = logging.getLogger(__name__)

_MARK = "otel_convlog.captured"  # in the environ of a request that a middleware further out records


class ConvlogMiddleware:
    """Records each request to a model API's path as a turn, and what the client is answered, whole or streamed.

    What `otel_convlog.capture.asgi.ConvlogMiddleware` is for ASGI, for Flask, Django and any other WSGI application::

        app.wsgi_app = ConvlogMiddleware(app.wsgi_app)

    Args:
        app: The application.
        paths: More paths than those of the known APIs: a path, or its end, and the name of its route; by default those
            of ``OTEL_EXPORTER_CONVLOG_CAPTURE_PATHS``.
        most_bytes: How much of a body is kept; by default ``OTEL_EXPORTER_CONVLOG_CAPTURE_BYTES``.
    """

    def __init__(
        self, app: Application, *, paths: Mapping[str, str] | None = None, most_bytes: int | None = None
    ) -> None:
        self._app = app
        self._options = CaptureOptions.resolve(paths, most_bytes)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        return serve(self._app, self._options, environ, start_response)


def serve(
    app: Application, options: CaptureOptions, environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    """Let an application serve a request, and record it where it is a turn."""
    try:
        turn = _begin(environ, options)
    except Exception:  # whatever the server gives
        _logger.warning("a request could not be recorded", exc_info=True)
        turn = None
    if turn is None:
        return app(environ, start_response)
    exchange = _Exchange(turn, start_response)
    if (body := environ.get("wsgi.input")) is not None:
        environ["wsgi.input"] = _SeenInput(body, turn, _length(environ))
    token = context_api.attach(exchange.context)
    try:
        pieces = app(environ, exchange.start_response)
    except BaseException as error:
        turn.finish(Problem(type(error).__name__, str(error)))
        raise
    finally:
        context_api.detach(token)
    if _is_file(pieces, environ):
        turn.finish()
        return pieces
    # Servers ask how many pieces there are, to say how long the only one is.
    return _CountedPieces(pieces, exchange) if hasattr(pieces, "__len__") else _Pieces(pieces, exchange)


def _is_file(pieces: Iterable[bytes], environ: Environ) -> bool:
    """Say whether the answer is a file, which the server sends by means of its own."""
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(pieces, wrapper)


def _begin(environ: Environ, options: CaptureOptions) -> CapturedTurn | None:
    """Begin a turn; None for a request that is none, or is recorded already."""
    if environ.get("REQUEST_METHOD") != "POST" or _MARK in environ or not can_record():
        return None
    # As the standard has it, the bytes of the path stand there as characters of Latin-1.
    path = (str(environ.get("SCRIPT_NAME", "")) + str(environ.get("PATH_INFO", ""))).encode("latin-1", "replace")
    entrance = Entrance("wsgi", path.decode("utf-8", "replace"))
    matched = options.routes.match(entrance.path)
    if matched is None or entrance.is_inner:
        return None
    environ[_MARK] = True
    headers = _headers(environ)
    encoding = headers.get("content-encoding", "")
    turn = CapturedTurn(entrance, matched, headers, encoding, context_of(headers), most_bytes=options.most_bytes)
    return turn if turn.recording else None


def _headers(environ: Environ) -> dict[str, str]:
    """Return a request's headers, which WSGI gives without their own letters."""
    headers = {
        name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if value := environ.get(name):
            headers[name.replace("_", "-").lower()] = str(value)
    return headers


def _length(environ: Environ) -> int | None:
    text = str(environ.get("CONTENT_LENGTH") or "")
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 20 else None


class _Exchange:
    """What an application answers, as it passes."""

    def __init__(self, turn: CapturedTurn, start_response: StartResponse) -> None:
        self.turn = turn
        self.context: Context = turn.context
        self._start_response = start_response
        self._answer: Answer | None = None

    def start_response(
        self, status: str, headers: list[tuple[str, str]], *args: Any, **kwargs: Any
    ) -> Callable[[bytes], object]:
        """Pass on that the answer begins, and note it."""
        write = self._start_response(status, headers, *args, **kwargs)
        try:
            named = {name.lower(): value for name, value in headers}
            code = int(status[:3]) if status[:3].isdecimal() else 0
            self._answer = self.turn.respond(code, named.get("content-type", ""), named.get("content-encoding", ""))
        except Exception:
            _logger.warning("an answer could not be recorded", exc_info=True)

        def seen_write(piece: bytes) -> object:
            written = write(piece)
            self.see(piece)
            return written

        return seen_write

    def see(self, piece: bytes) -> None:
        """Take a piece that has been sent."""
        if self._answer is not None:
            self._answer.add(piece)


class _Pieces:
    """The pieces of an answer, each of which is seen when the server comes back for the next one."""

    def __init__(self, pieces: Iterable[bytes], exchange: _Exchange) -> None:
        self._pieces = pieces
        self._exchange = exchange
        self._iterator: Generator[bytes, None, None] | None = None
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        if self._iterator is None:
            self._iterator = self._seen()
        return self._iterator

    def close(self) -> None:
        """Let the application close its answer; where it has not been read to its end, the client has gone."""
        try:
            if self._iterator is not None:
                self._iterator.close()
            if hasattr(self._pieces, "close"):
                self._pieces.close()
        finally:
            self._end(CLIENT_LEFT)

    def __del__(self) -> None:
        self._end(CLIENT_LEFT)  # of servers that do not even begin

    def _seen(self) -> Generator[bytes, None, None]:
        iterator: Iterator[bytes] | None = None
        while True:
            # A generator runs in the context of whoever asks it for its next piece.
            token = context_api.attach(self._exchange.context)
            try:
                iterator = iter(self._pieces) if iterator is None else iterator
                piece = next(iterator)
            except StopIteration:
                self._end(None)
                return
            except BaseException as error:
                self._end(Problem(type(error).__name__, str(error)))
                raise
            finally:
                context_api.detach(token)
            try:
                yield piece
            except GeneratorExit:  # also of servers that forget to close what they leave
                self._end(CLIENT_LEFT)
                raise
            self._exchange.see(piece)

    def _end(self, problem: Problem | None) -> None:
        if not self._ended:
            self._ended = True
            self._exchange.turn.finish(problem)


class _CountedPieces(_Pieces):
    def __len__(self) -> int:
        return len(self._pieces)  # type: ignore[arg-type]  # only such get here


class _SeenInput:
    """A request's body of which all is taken that the application reads."""

    def __init__(self, stream: Any, turn: CapturedTurn, length: int | None) -> None:
        self._stream = stream
        self._turn = turn
        self._left = length

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def read(self, *args: Any) -> bytes:
        """Read as the server's own."""
        piece: bytes = self._stream.read(*args)
        size = args[0] if args else None
        return self._seen(piece, at_end=size is None or size < 0 or (size > 0 and not piece))

    def read1(self, *args: Any) -> bytes:
        """Read as a file; the standard does not ask it of servers."""
        piece: bytes = self._stream.read1(*args)
        return self._seen(piece, at_end=not piece and args != (0,))

    def readline(self, *args: Any) -> bytes:
        """Read as the server's own."""
        line: bytes = self._stream.readline(*args)
        return self._seen(line, at_end=not line)

    def readlines(self, *args: Any) -> list[bytes]:
        """Read as the server's own."""
        lines: list[bytes] = self._stream.readlines(*args)
        self._seen(b"".join(lines), at_end=not args)
        return lines

    def readinto(self, buffer: Any) -> int:
        """Read as a file; the standard does not ask it of servers."""
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def _seen(self, piece: bytes, *, at_end: bool) -> bytes:
        self._turn.receive(piece)
        if self._left is not None:
            self._left -= len(piece)
        if at_end or self._left == 0:
            self._turn.received()
        return piece
