"""What goes upstream within a turn is recorded, by the hooks of each HTTP client."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
import requests
from aiohttp.payload import PAYLOAD_REGISTRY, StreamReaderPayload
from captured_servers import turns_in
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_convlog import ConversationSpanExporter, Turn
from otel_convlog.capture import (
    instrument_aiohttp,
    instrument_httpx,
    instrument_requests,
    uninstrument_aiohttp,
    uninstrument_httpx,
    uninstrument_requests,
)

if TYPE_CHECKING:
    from pathlib import Path

_QUESTION = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
_ANSWER = {"id": "r", "choices": []}
_EVENTS = [b"data: 1\n\n", b"data: 2\n\nda", b"ta: 3\n\n"]


class _Upstream(BaseHTTPRequestHandler):
    """Answers by path: whole, compressed, streamed, with an error, with a redirect, or half of it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        if "chunked" in self.headers.get("transfer-encoding", ""):
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("content-length", 0)))
        if path == "/stream":
            self._begin(200, "text/event-stream", ("transfer-encoding", "chunked"))
            for piece in _EVENTS:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        elif path == "/moved":
            self._begin(307, "text/plain", ("location", "/v1/chat/completions"), ("content-length", "0"))
        elif path == "/half":
            self._begin(200, "application/json", ("content-length", "1000"))
            self.wfile.write(b'{"id": "r"')
            self.close_connection = True
        else:
            body = json.dumps(_ANSWER).encode()
            encoding: tuple[tuple[str, str], ...] = ()
            if path == "/gzip":
                body, encoding = gzip.compress(body), (("content-encoding", "gzip"),)
            self._begin(
                500 if path == "/500" else 200, "application/json", *encoding, ("content-length", str(len(body)))
            )
            self.wfile.write(body)

    def _begin(self, status: int, content_type: str, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("content-type", content_type), *headers):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Upstream)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def log(tmp_path: Path, no_sdk: None) -> Iterator[Path]:  # noqa: ARG001
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConversationSpanExporter(directory=tmp_path)))
    trace.set_tracer_provider(provider)
    yield tmp_path
    provider.shutdown()


class Client:
    """Asks an upstream with one library, and reads its answer whole or as it comes; returns the bytes."""

    def __init__(self, ask: Callable[..., bytes], hooks: tuple[Callable[[], None], Callable[[], None]]) -> None:
        self.ask = ask
        self.instrument, self.uninstrument = hooks


def _httpx(url: str, *, stream: bool = False, body: Any = None, **options: Any) -> bytes:
    with httpx.Client(follow_redirects=True) as client:
        if not stream:
            return client.post(url, **_sent(body), **options).content
        with client.stream("POST", url, **_sent(body), **options) as answer:
            return b"".join(answer.iter_bytes())


def _sent(body: Any) -> dict[str, Any]:
    return {"json": _QUESTION} if body is None else {"content": body}


def _httpx_async(url: str, *, stream: bool = False, body: Any = None, **options: Any) -> bytes:
    async def ask() -> bytes:
        async with httpx.AsyncClient(follow_redirects=True) as client:
            given = _sent(_async_pieces(body) if isinstance(body, Iterator) else body)
            if not stream:
                return (await client.post(url, **given, **options)).content
            async with client.stream("POST", url, **given, **options) as answer:
                return b"".join([piece async for piece in answer.aiter_bytes()])

    return asyncio.run(ask())


async def _async_pieces(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _requests(url: str, *, stream: bool = False, body: Any = None, **options: Any) -> bytes:
    given: dict[str, Any] = {"json": _QUESTION} if body is None else {"data": body}
    answer = requests.post(url, stream=stream, timeout=20, **given, **options)
    return b"".join(answer.iter_content(None)) if stream else answer.content


def _requests_raw(url: str, *, stream: bool = False, body: Any = None, **options: Any) -> bytes:
    given: dict[str, Any] = {"json": _QUESTION} if body is None else {"data": body}
    answer = requests.post(url, stream=True, timeout=20, **given, **options)
    read = answer.raw.read1 if stream else answer.raw.read
    pieces = []
    while piece := read(7):
        pieces.append(piece)
    return b"".join(pieces)


def _aiohttp(reading: str) -> Callable[..., bytes]:
    def ask(url: str, *, stream: bool = False, body: Any = None, **options: Any) -> bytes:
        async def asked() -> bytes:
            given: dict[str, Any] = {"json": _QUESTION} if body is None else {"data": body}
            if isinstance(body, Iterator):
                given = {"data": _async_pieces(body)}
            async with aiohttp.ClientSession() as session, session.post(url, **given, **options) as answer:
                return await _READINGS[reading if stream else "read"](answer)

        return asyncio.run(asked())

    return ask


async def _by_line(answer: aiohttp.ClientResponse) -> bytes:
    return b"".join([line async for line in answer.content])


async def _by_chunk(answer: aiohttp.ClientResponse) -> bytes:
    return b"".join([piece async for piece, _ in answer.content.iter_chunks()])


async def _as_it_comes(answer: aiohttp.ClientResponse) -> bytes:
    return b"".join([piece async for piece in answer.content.iter_any()])


async def _by_size(answer: aiohttp.ClientResponse) -> bytes:
    return b"".join([piece async for piece in answer.content.iter_chunked(5)])


async def _at_once(answer: aiohttp.ClientResponse) -> bytes:
    return await answer.read()


_READINGS: dict[str, Callable[[aiohttp.ClientResponse], Awaitable[bytes]]] = {
    "read": _at_once,
    "line": _by_line,
    "chunk": _by_chunk,
    "any": _as_it_comes,
    "size": _by_size,
}

_HTTPX = (instrument_httpx, uninstrument_httpx)
_REQUESTS = (instrument_requests, uninstrument_requests)
_AIOHTTP = (instrument_aiohttp, uninstrument_aiohttp)


@pytest.fixture(
    params=[
        pytest.param((_httpx, _HTTPX), id="httpx"),
        pytest.param((_httpx_async, _HTTPX), id="httpx async"),
        pytest.param((_requests, _REQUESTS), id="requests"),
        pytest.param((_requests_raw, _REQUESTS), id="requests, raw"),
        *(pytest.param((_aiohttp(reading), _AIOHTTP), id=f"aiohttp by {reading}") for reading in _READINGS),
    ]
)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    client = Client(*request.param)
    client.instrument()
    client.instrument()  # once is enough
    yield client
    client.uninstrument()


def turn_of(route: str = "chat") -> Turn:
    return Turn(route=route, client_model="m", backend="b", stream=False, client_request=_QUESTION)


def test_a_request_and_its_answer_are_the_turns(client: Client, upstream: str, log: Path) -> None:
    headers = {"Authorization": "Bearer sk-0123456789"}
    url = f"{upstream}/v1/chat/completions?key=AIzaSyA1234567890&x=1"
    with turn_of():
        assert json.loads(client.ask(url, headers=headers)) == _ANSWER
    (turn,) = turns_in(log)
    assert turn["upstream_request"]["body"] == _QUESTION
    assert {name.lower(): value for name, value in turn["upstream_request"]["headers"].items()}[
        "authorization"
    ] == "Bear***6789"
    assert turn["upstream_response"] == _ANSWER
    assert turn["target_url"] == f"{upstream}/v1/chat/completions?key=***&x=1"
    assert turn["upstream_model"] == "m"
    assert turn["otel"]["upstream_status_code"] == 200
    assert turn["otel"]["complete"] is True
    assert "attempts" not in turn["otel"]


def test_a_stream_is_recorded_event_by_event(client: Client, upstream: str, log: Path) -> None:
    with turn_of():
        assert client.ask(f"{upstream}/stream", stream=True) == b"".join(_EVENTS)
    (turn,) = turns_in(log)
    assert turn["upstream_response"] is None
    assert [event["data"] for event in turn["stream_trace"]["upstream_events"]] == [1, 2, 3]
    assert len(turn["otel"]["upstream_offsets_ms"]) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_compressed_answer_is_read(stream: bool, client: Client, upstream: str, log: Path) -> None:
    with turn_of():
        client.ask(f"{upstream}/gzip", stream=stream)
    assert turns_in(log)[0]["upstream_response"] == _ANSWER


def test_a_body_that_is_streamed_upstream_is_recorded(client: Client, upstream: str, log: Path) -> None:
    body = json.dumps(_QUESTION).encode()
    with turn_of():
        answer = client.ask(
            f"{upstream}/v1/chat/completions",
            body=iter([body[:9], body[9:]]),
            headers={"content-type": "application/json"},
        )
    assert json.loads(answer) == _ANSWER
    assert turns_in(log)[0]["upstream_request"]["body"] == _QUESTION


def test_of_several_calls_the_last_is_the_turns(client: Client, upstream: str, log: Path) -> None:
    with turn_of():
        with pytest.raises(Exception, match=r".*"):
            client.ask("http://127.0.0.1:1/v1/chat/completions")
        client.ask(f"{upstream}/500")
        client.ask(f"{upstream}/stream", stream=True)
        client.ask(f"{upstream}/v1/chat/completions")
    (turn,) = turns_in(log)
    refused, failed, streamed = turn["otel"]["attempts"]
    assert refused["url"] == "http://127.0.0.1:1/v1/chat/completions"
    assert refused["error"]["type"].startswith(("Connect", "Client", "Connection"))
    assert failed["status_code"] == 500
    assert failed["upstream_response"] == _ANSWER
    assert failed["upstream_request"]["body"] == _QUESTION
    assert [event["data"] for event in streamed["upstream_events"]] == [1, 2, 3]
    assert turn["upstream_response"] == _ANSWER
    assert turn["target_url"] == f"{upstream}/v1/chat/completions"
    assert turn["error"] is None


def test_a_redirect_is_a_call_of_its_own(client: Client, upstream: str, log: Path) -> None:
    with turn_of():
        client.ask(f"{upstream}/moved")
    (turn,) = turns_in(log)
    assert [(attempt["url"], attempt["status_code"]) for attempt in turn["otel"]["attempts"]] == [
        (f"{upstream}/moved", 307)
    ]
    assert turn["target_url"] == f"{upstream}/v1/chat/completions"
    assert turn["upstream_response"] == _ANSWER


def test_an_answer_that_breaks_off_is_kept_with_its_error(client: Client, upstream: str, log: Path) -> None:
    with pytest.raises(Exception, match=r".*"), turn_of():
        client.ask(f"{upstream}/half", stream=True)
    (turn,) = turns_in(log)
    # Some libraries give the application nothing of an answer that they cannot give it whole.
    assert '{"id": "r"'.startswith(turn["upstream_response"] or "")
    assert turn["error"] is not None


def test_calls_that_ask_no_model_anything_are_left_out(client: Client, upstream: str, log: Path) -> None:
    with turn_of():
        client.ask(f"{upstream}/v1/chat/completions")
        client.ask(f"{upstream}/audit", body=b'{"user": "u"}', headers={"content-type": "application/json"})
    with turn_of("other"):  # where there is nothing else, it is what the turn is about
        client.ask(f"{upstream}/audit", body=b'{"user": "u"}', headers={"content-type": "application/json"})
    asked, other = turns_in(log)
    assert asked["upstream_request"]["body"] == _QUESTION
    assert "attempts" not in asked["otel"]
    assert other["upstream_request"]["body"] == {"user": "u"}


def test_beyond_turns_and_after_uninstrument_nothing_is_recorded(client: Client, upstream: str, log: Path) -> None:
    client.ask(f"{upstream}/v1/chat/completions")
    token = context_api.attach(context_api.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    with turn_of():
        client.ask(f"{upstream}/v1/chat/completions")
    context_api.detach(token)
    client.uninstrument()
    with turn_of():
        client.ask(f"{upstream}/v1/chat/completions")
    assert [turn["upstream_request"] for turn in turns_in(log)] == [None, None]


def test_what_the_proxy_records_itself_counts_before_what_hooks_see(client: Client, upstream: str, log: Path) -> None:
    turn = Turn(
        route="chat",
        client_model="m",
        backend="b",
        stream=False,
        client_request=_QUESTION,
        target_url="own",
        upstream_model="own",
    )
    with turn:
        turn.attach_upstream_request({"own": 1})
        client.ask(f"{upstream}/v1/chat/completions")
        turn.attach_upstream_response({"own": 2})
    (logged,) = turns_in(log)
    assert logged["upstream_request"] == {"headers": {}, "body": {"own": 1}}
    assert logged["upstream_response"] == {"own": 2}
    assert (logged["target_url"], logged["upstream_model"]) == ("own", "own")


def test_uninstrument_leaves_what_others_have_wrapped_since(client: Client, upstream: str, log: Path) -> None:
    asked: list[str] = []
    owner, name = {
        instrument_httpx: (httpx.HTTPTransport if client.ask is _httpx else httpx.AsyncHTTPTransport, ""),
        instrument_requests: (requests.adapters.HTTPAdapter, "send"),
        instrument_aiohttp: (aiohttp.ClientSession, "__init__"),
    }[client.instrument]
    name = name or ("handle_request" if client.ask is _httpx else "handle_async_request")
    ours = getattr(owner, name)

    def theirs(*args: Any, **kwargs: Any) -> Any:
        asked.append(name)
        return ours(*args, **kwargs)

    setattr(owner, name, theirs)
    try:
        client.uninstrument()
        with turn_of():
            client.ask(f"{upstream}/v1/chat/completions")
        client.instrument()
        with turn_of():
            client.ask(f"{upstream}/v1/chat/completions")
    finally:
        setattr(owner, name, ours)
    assert asked == [name, name]
    assert [turn["upstream_response"] for turn in turns_in(log)] == [None, _ANSWER]


def hooked(instrument: Callable[[], None], uninstrument: Callable[[], None]) -> Any:
    @contextmanager
    def within() -> Iterator[None]:
        instrument()
        try:
            yield
        finally:
            uninstrument()

    return within()


class ThroughAPipe:
    """A stream whose length is not known, as an application has its own request's."""

    def __init__(self, body: bytes) -> None:
        self._stream = io.BytesIO(body)

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)


@pytest.mark.parametrize("kind", [io.BytesIO, lambda body: io.StringIO(body.decode()), ThroughAPipe])
def test_requests_sends_a_file(kind: Any, upstream: str, log: Path) -> None:
    body = json.dumps(_QUESTION).encode()
    with hooked(*_REQUESTS), turn_of():
        assert json.loads(_requests(f"{upstream}/v1/chat/completions", body=kind(body))) == _ANSWER
    sent = turns_in(log)[0]["upstream_request"]["body"]
    assert sent == (None if not isinstance(kind(body).read(0), bytes) else _QUESTION)


def test_requests_headers_may_be_bytes(upstream: str, log: Path) -> None:
    headers: Any = {"content-type": b"application/json", "authorization": b"Bearer sk-0123456789"}
    with hooked(*_REQUESTS), turn_of():
        _requests(f"{upstream}/v1/chat/completions", headers=headers)
    (turn,) = turns_in(log)
    assert turn["upstream_request"]["body"] == _QUESTION
    assert "0123456789" not in json.dumps(turn)


@pytest.mark.parametrize("raising", [True, "callable"])
def test_aiohttp_raises_for_a_status_before_its_answer_is_there(raising: Any, upstream: str, log: Path) -> None:
    async def check(answer: aiohttp.ClientResponse) -> None:
        answer.raise_for_status()

    options = {"raise_for_status": check if raising == "callable" else True}
    with hooked(*_AIOHTTP), turn_of(), pytest.raises(aiohttp.ClientResponseError):
        _aiohttp("read")(f"{upstream}/500", **options)
    (turn,) = turns_in(log)
    assert turn["otel"]["upstream_status_code"] == 500
    assert turn["error"]["type"] == "ClientResponseError"


def test_a_middleware_of_aiohttp_that_tries_again_makes_two_calls(upstream: str, log: Path) -> None:
    async def again(request: Any, handler: Any) -> Any:
        first = await handler(request)
        first.close()
        return await handler(request)

    with hooked(*_AIOHTTP), turn_of():
        _aiohttp("read")(f"{upstream}/v1/chat/completions", middlewares=(again,))
    (turn,) = turns_in(log)
    assert [attempt["upstream_request"]["body"] for attempt in turn["otel"]["attempts"]] == [_QUESTION]
    assert turn["upstream_request"]["body"] == _QUESTION
    assert turn["upstream_response"] == _ANSWER


def test_an_answer_of_aiohttp_is_sent_on_in_its_pieces(upstream: str, log: Path) -> None:
    async def ask() -> None:
        async with aiohttp.ClientSession() as session, session.post(f"{upstream}/stream", json=_QUESTION) as answer:
            assert isinstance(answer.content, aiohttp.StreamReader)
            assert isinstance(PAYLOAD_REGISTRY.get(answer.content), StreamReaderPayload)
            async with session.post(f"{upstream}/v1/chat/completions", data=answer.content) as second:
                assert await second.json() == _ANSWER

    with hooked(*_AIOHTTP), turn_of():
        asyncio.run(ask())
    (turn,) = turns_in(log)
    (first,) = turn["otel"]["attempts"]
    assert [event["data"] for event in first["upstream_events"]] == [1, 2, 3]


def test_a_transport_of_httpx_that_tries_again_sends_each_body_once(upstream: str, log: Path) -> None:
    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield json.dumps(_QUESTION).encode()

    class Again(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            super().handle_request(request).close()
            return super().handle_request(request)

    headers = {"content-type": "application/json", "transfer-encoding": "chunked", "host": "x"}
    with hooked(*_HTTPX), turn_of(), httpx.Client(transport=Again()) as client:
        request = httpx.Request("POST", f"{upstream}/v1/chat/completions", headers=headers, stream=Body())
        assert client.send(request).json() == _ANSWER
    (turn,) = turns_in(log)
    assert turn["upstream_request"]["body"] == _QUESTION
    assert [attempt["upstream_request"]["body"] for attempt in turn["otel"]["attempts"]] == [_QUESTION]
