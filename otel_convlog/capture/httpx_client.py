"""Hooks that record what goes upstream through httpx, and so through the client libraries of OpenAI and Anthropic."""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING, Any

from otel_convlog.capture.patches import Patches
from otel_convlog.capture.upstream import begin_attempt, of_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import ModuleType

    from otel_convlog.attempts import Attempt
    from otel_convlog.wire import Body

_MODULES = ("httpx", "httpx2")  # newer client libraries of Anthropic's bring the second

_patches = Patches()


def instrument_httpx() -> None:
    """Record the model requests that httpx sends within a turn, and their answers, whole or streamed.

    Of several in one turn the last becomes its upstream request, response and events; the others stand in
    ``otel.attempts``. Requests beyond turns are left alone. A second call does nothing.

    Raises:
        ImportError: There is no httpx.
    """
    modules = [module for name in _MODULES if (module := _imported(name)) is not None]
    if not modules:
        raise ModuleNotFoundError("instrument_httpx() needs httpx", name="httpx")
    for module in modules:
        _patches.wrap(module.HTTPTransport, "handle_request", functools.partial(_recording, module))
        _patches.wrap(module.AsyncHTTPTransport, "handle_async_request", functools.partial(_recording_async, module))


def uninstrument_httpx() -> None:
    """Let httpx be as it was."""
    _patches.undo()


def _imported(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ImportError:
        return None


def _recording(module: ModuleType, original: Callable[..., Any]) -> Callable[..., Any]:
    passing = type("_PassingStream", (_PassingStream, module.SyncByteStream), {})

    @functools.wraps(original)
    def handle_request(self: Any, request: Any) -> Any:
        attempt = _begin(request)
        if attempt is None:
            return original(self, request)
        _see_body(request, attempt, passing)
        try:
            response = original(self, request)
        except BaseException as error:
            attempt.fail(error)
            raise
        response.stream = passing(response.stream, _answer(attempt, response), attempt)
        return response

    return handle_request


def _recording_async(module: ModuleType, original: Callable[..., Any]) -> Callable[..., Any]:
    passing = type("_PassingAsyncStream", (_PassingAsyncStream, module.AsyncByteStream), {})

    @functools.wraps(original)
    async def handle_async_request(self: Any, request: Any) -> Any:
        attempt = _begin(request)
        if attempt is None:
            return await original(self, request)
        _see_body(request, attempt, passing)
        try:
            response = await original(self, request)
        except BaseException as error:
            attempt.fail(error)
            raise
        response.stream = passing(response.stream, _answer(attempt, response), attempt)
        return response

    return handle_async_request


def _begin(request: Any) -> Attempt | None:
    if not _patches.active:
        return None
    return begin_attempt(request.method, request.url, request.headers)


def _see_body(request: Any, attempt: Attempt, passing: Callable[..., Any]) -> None:
    """Take the request's body: at once where it is there, else while it is sent."""
    try:
        attempt.body.add(request.content)
    except Exception:  # noqa: BLE001  RequestNotRead, of either module: the body is streamed
        stream = request.stream
        stream = stream.unseen if isinstance(stream, _Passing) else stream  # of a transport that tries again
        request.stream = passing(stream, attempt.body, attempt)


def _answer(attempt: Attempt, response: Any) -> Body:
    return attempt.respond(response.status_code, *of_body(response.headers))


class _Passing:
    """A stream of which every piece is taken on its way to whoever reads it."""

    def __init__(self, stream: Any, body: Body, attempt: Attempt) -> None:
        self.unseen = stream
        self._body = body
        self._attempt = attempt


class _PassingStream(_Passing):
    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self.unseen:
                self._body.add(piece)
                yield piece
        except Exception as error:
            self._attempt.fail(error)
            raise

    def close(self) -> None:
        self.unseen.close()


class _PassingAsyncStream(_Passing):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self.unseen:
                self._body.add(piece)
                yield piece
        except Exception as error:
            self._attempt.fail(error)
            raise

    async def aclose(self) -> None:
        await self.unseen.aclose()
