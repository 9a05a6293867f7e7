"""Hooks that record what goes upstream through httpx, and so through the client libraries of OpenAI and Anthropic."""

from __future__ import annotations

import functools
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from otel_convlog.capture.bodies import AnswerReader, parsed
from otel_convlog.capture.routes import Route, Routes
from otel_convlog.current import current_turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import ModuleType

    from otel_convlog.attempts import Attempt

_logger = logging.getLogger(__name__)

_MODULES = ("httpx", "httpx2")  # newer client libraries of Anthropic's bring the second
_ANY = Route("", "", "event")
_QUESTIONS = frozenset({"messages", "input", "contents", "prompt"})  # one of these is in every request to a model

_originals: dict[tuple[ModuleType, str, str], Callable[..., Any]] = {}


def instrument_httpx() -> None:
    """Record the model requests that httpx sends within a turn, and their answers, whole or streamed.

    Of several in one turn the last becomes its upstream request, response and events; the others stand in
    ``otel.attempts``. Requests beyond turns are left alone. A second call does nothing.

    Raises:
        ImportError: There is no httpx.
    """
    modules = [module for name in _MODULES if (module := _imported(name)) is not None]
    if not modules:
        raise ImportError("instrument_httpx() needs httpx")
    for module in modules:
        _replace(module, "HTTPTransport", "handle_request", _recording)
        _replace(module, "AsyncHTTPTransport", "handle_async_request", _recording_async)


def uninstrument_httpx() -> None:
    """Let httpx be as it was."""
    while _originals:
        (module, class_name, method), original = _originals.popitem()
        setattr(getattr(module, class_name), method, original)


def _imported(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ImportError:
        return None


def _replace(module: ModuleType, class_name: str, method: str, recording: Callable[..., Callable[..., Any]]) -> None:
    key = (module, class_name, method)
    if key not in _originals:
        transport = getattr(module, class_name)
        _originals[key] = getattr(transport, method)
        setattr(transport, method, recording(module, _originals[key]))


def _recording(module: ModuleType, original: Callable[..., Any]) -> Callable[..., Any]:
    recorded = type("_RecordedStream", (_RecordedStream, module.SyncByteStream), {})

    @functools.wraps(original)
    def handle_request(self: Any, request: Any) -> Any:
        attempt, route = _begin(request)
        if attempt is None:
            return original(self, request)
        try:
            response = original(self, request)
        except BaseException as error:
            attempt.fail({"type": type(error).__name__, "message": str(error)})
            raise
        response.stream = recorded(response.stream, _reader(attempt, route, response), attempt)
        return response

    return handle_request


def _recording_async(module: ModuleType, original: Callable[..., Any]) -> Callable[..., Any]:
    recorded = type("_RecordedAsyncStream", (_RecordedAsyncStream, module.AsyncByteStream), {})

    @functools.wraps(original)
    async def handle_async_request(self: Any, request: Any) -> Any:
        attempt, route = _begin(request)
        if attempt is None:
            return await original(self, request)
        try:
            response = await original(self, request)
        except BaseException as error:
            attempt.fail({"type": type(error).__name__, "message": str(error)})
            raise
        response.stream = recorded(response.stream, _reader(attempt, route, response), attempt)
        return response

    return handle_async_request


def _begin(request: Any) -> tuple[Attempt | None, Route]:
    """Begin to record a request, where it is one to a model and within a turn."""
    try:
        turn = current_turn()
        if turn is None or request.method != "POST":
            return None, _ANY
        body = parsed(request.content)
        matched = Routes().match(request.url.path)
        if not isinstance(body, dict) or (matched is None and _QUESTIONS.isdisjoint(body)):
            return None, _ANY
        attempt = turn.begin_attempt(str(request.url), body, request.headers)
    except Exception as error:  # noqa: BLE001  the request goes on, whatever it holds
        # A body that is streamed cannot be read here without being used up.
        _logger.debug("a request could not be recorded: %r", error)
        return None, _ANY
    return attempt, matched.route if matched is not None else _ANY


def _reader(attempt: Attempt, route: Route, response: Any) -> AnswerReader:
    attempt.respond(response.status_code)
    headers = response.headers
    return AnswerReader(headers.get("content-type", ""), headers.get("content-encoding", ""), route.unnamed_event)


class _Recorder:
    """Records an answer's bytes on their way to whoever reads them."""

    def __init__(self, stream: Any, reader: AnswerReader, attempt: Attempt) -> None:
        self._stream = stream
        self._reader = reader
        self._attempt = attempt
        self._ended = False

    def _record(self, piece: bytes) -> None:
        try:
            for event in self._reader.feed(piece):
                self._attempt.append(event)
        except Exception:
            _logger.warning("an answer could not be recorded", exc_info=True)

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            if not self._reader.streams:
                self._attempt.receive(self._reader.whole())


class _RecordedStream(_Recorder):
    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._stream:
                self._record(piece)
                yield piece
        except Exception as error:
            self._attempt.fail({"type": type(error).__name__, "message": str(error)})
            raise
        finally:
            self._end()

    def close(self) -> None:
        self._end()
        self._stream.close()


class _RecordedAsyncStream(_Recorder):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                self._record(piece)
                yield piece
        except Exception as error:
            self._attempt.fail({"type": type(error).__name__, "message": str(error)})
            raise
        finally:
            self._end()

    async def aclose(self) -> None:
        self._end()
        await self._stream.aclose()
