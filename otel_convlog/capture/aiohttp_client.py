"""Hooks that record what goes upstream through aiohttp's client, and so through LiteLLM."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from otel_convlog.capture.patches import Patches
from otel_convlog.capture.upstream import begin_attempt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import SimpleNamespace

    from otel_convlog.attempts import Attempt
    from otel_convlog.wire import Body

_patches = Patches()


def instrument_aiohttp() -> None:
    """Record the model requests that sessions of aiohttp send within a turn, and their answers, whole or streamed.

    As `instrument_httpx` does it; of sessions that are made afterwards. A second call does nothing.

    Raises:
        ImportError: There is no aiohttp.
    """
    from aiohttp import ClientSession  # noqa: PLC0415  an application may not have it

    _patches.wrap(ClientSession, "__init__", _tracing)


def uninstrument_aiohttp() -> None:
    """Let sessions that are made afterwards be as they were."""
    _patches.undo()


def _tracing(original: Callable[..., None]) -> Callable[..., None]:
    trace_config = _trace_config()

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, trace_configs: Any = None, **kwargs: Any) -> None:  # noqa: N807  it is one
        if _patches.active:
            trace_configs = [*(trace_configs or ()), trace_config]
        original(self, *args, trace_configs=trace_configs, **kwargs)

    return __init__


def _trace_config() -> Any:
    """Return aiohttp's own way to look at requests. It shows the pieces of a request, but not those of an answer."""
    from aiohttp import TraceConfig  # noqa: PLC0415  as above

    trace_config = TraceConfig()
    trace_config.on_request_start.append(_begin)
    trace_config.on_request_headers_sent.append(_see_headers)
    trace_config.on_request_chunk_sent.append(_see_request)
    trace_config.on_request_redirect.append(_see_redirect)
    trace_config.on_request_end.append(_see_answer)
    trace_config.on_request_exception.append(_see_failure)
    return trace_config


# The context is the request's own. Where it has no attempt, the request is not recorded.


async def _begin(_session: Any, context: SimpleNamespace, params: Any) -> None:
    context.attempt = begin_attempt(params.method, params.url, params.headers) if _patches.active else None
    context.sent = False


async def _see_headers(session: Any, context: SimpleNamespace, params: Any) -> None:
    """Take the headers as they are sent, to which aiohttp has added some.

    After a redirect, and where a middleware of aiohttp tries again, they are another request's.
    """
    if context.attempt is not None and context.sent:
        await _begin(session, context, params)
    if context.attempt is not None:
        context.sent = True
        context.attempt.send_headers(params.headers)


async def _see_request(_session: Any, context: SimpleNamespace, params: Any) -> None:
    if context.attempt is not None:
        context.attempt.body.add(params.chunk)


async def _see_redirect(_session: Any, context: SimpleNamespace, params: Any) -> None:
    if context.attempt is not None:
        context.attempt.respond(params.response.status, "", "")


async def _see_answer(session: Any, context: SimpleNamespace, params: Any) -> None:
    attempt, response = context.attempt, params.response
    if attempt is not None:
        headers = response.headers
        encoding = "" if session.auto_decompress else headers.get("content-encoding", "")
        body = attempt.respond(response.status, headers.get("content-type", ""), encoding)
        response.content = _content_class()(response.content, body, attempt)


async def _see_failure(_session: Any, context: SimpleNamespace, params: Any) -> None:
    if context.attempt is not None:
        status = getattr(params.exception, "status", None)
        if context.attempt.status is None and isinstance(status, int):  # raise_for_status: there has been an answer
            context.attempt.respond(status, "", "")
        context.attempt.fail(params.exception)


@functools.cache
def _content_class() -> type:
    """Return the class that stands between an answer's `StreamReader` and whoever reads it."""
    from aiohttp import StreamReader  # noqa: PLC0415  as above

    class Content(_Content):
        """Iterates as a `StreamReader` does, over what it reads itself."""

        __aiter__ = StreamReader.__aiter__
        iter_any = StreamReader.iter_any
        iter_chunked = StreamReader.iter_chunked
        iter_chunks = StreamReader.iter_chunks

    return Content


class _Content:
    """A `StreamReader` of which all is taken that is read; everything else is the reader's own."""

    def __init__(self, reader: Any, body: Body, attempt: Attempt) -> None:
        self._reader = reader
        self._body = body
        self._attempt = attempt

    @property  # type: ignore[misc]  # nobody sets it
    def __class__(self) -> Any:
        """Say that this is the reader, for aiohttp sends one on in its pieces, and other things by line."""
        return type(self._reader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def read(self, n: int = -1) -> bytes:
        if n < 0:  # as its pieces arrive, for their times
            pieces = [piece async for piece in _until_empty(self.readany)]
            return b"".join(pieces)
        return await self._seen(self._reader.read(n))

    async def readany(self) -> bytes:
        return await self._seen(self._reader.readany())

    async def readline(self, **options: Any) -> bytes:
        return await self._seen(self._reader.readline(**options))

    async def readuntil(self, *args: Any, **options: Any) -> bytes:
        return await self._seen(self._reader.readuntil(*args, **options))

    async def readexactly(self, n: int) -> bytes:
        return await self._seen(self._reader.readexactly(n))

    async def readchunk(self) -> tuple[bytes, bool]:
        try:
            piece, end_of_chunk = await self._reader.readchunk()
        except Exception as error:
            self._attempt.fail(error)
            raise
        self._body.add(piece)
        return piece, end_of_chunk

    def read_nowait(self, n: int = -1) -> bytes:
        piece: bytes = self._reader.read_nowait(n)
        self._body.add(piece)
        return piece

    async def _seen(self, reading: Awaitable[bytes]) -> bytes:
        try:
            piece = await reading
        except Exception as error:
            self._attempt.fail(error)
            raise
        self._body.add(piece)
        return piece


async def _until_empty(read: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
    while piece := await read():
        yield piece
