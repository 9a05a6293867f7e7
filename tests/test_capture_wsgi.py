"""What WSGI allows applications and servers, the middleware allows them too."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper

import pytest
from captured_servers import turns_in
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_convlog import ConversationSpanExporter
from otel_convlog.capture import ConvlogWSGIMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_BODY = b'{"model": "m", "messages": []}'


@pytest.fixture
def log(tmp_path: Path, no_sdk: None) -> Iterator[Path]:  # noqa: ARG001
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConversationSpanExporter(directory=tmp_path)))
    trace.set_tracer_provider(provider)
    yield tmp_path
    provider.shutdown()


def serve(application: Any) -> bytes:
    """Serve one request by Python's own server; return all bytes of the answer."""
    output = io.BytesIO()
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/messages", "SERVER_PROTOCOL": "HTTP/1.1"}
    handler = SimpleHandler(io.BytesIO(_BODY), output, io.StringIO(), environ, multithread=False)
    handler.origin_server = False  # without the time of day
    handler.run(application)
    assert output.getvalue().startswith(b"Status: 200 OK")
    return output.getvalue()


def no_writing(*_: Any) -> Callable[[bytes], object]:
    return bytes


def by_position(_: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b'{"id": "r"}']


def by_names(_: Any, start_response: Any) -> Any:
    start_response(status="200 OK", headers=[("Content-Type", "application/json")], exc_info=None)
    return [b'{"id": ', b'"r"}']


def again_after_an_error(_: Any, start_response: Any) -> Any:
    start_response("500 Never Sent", [])
    try:
        _BODY.index(b"a fault")
    except ValueError:
        start_response("200 OK", [("Content-Type", "application/json")], sys.exc_info())
    return (piece for piece in [b'{"id": ', b"", b'"r"}'])


def by_write(_: Any, start_response: Any) -> Any:
    write = start_response("200 OK", [("Content-Type", "application/json")])
    write(b'{"id": ')
    return [b'"r"}']


@pytest.mark.parametrize("application", [by_position, by_names, again_after_an_error, by_write])
def test_an_answer_begins_in_any_way_that_the_server_allows(application: Any, log: Path) -> None:
    assert serve(ConvlogWSGIMiddleware(application)) == serve(application)
    (turn,) = turns_in(log)
    assert turn["client_response"] == {"id": "r"}
    assert turn["otel"]["client_status_code"] == 200
    assert turn["error"] is None


def test_a_file_is_sent_by_the_servers_own_means(log: Path) -> None:
    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"a file"))

    given: list[Any] = []

    def server(environ: Any, start_response: Any) -> Any:
        given.append(ConvlogWSGIMiddleware(application)(environ, start_response))
        return given[0]

    assert serve(server).endswith(b"a file")
    assert isinstance(given[0], FileWrapper)
    (turn,) = turns_in(log)
    assert turn["error"] is None


class Unreadable:
    def __iter__(self) -> Iterator[bytes]:
        raise LookupError("there is no answer")


def test_an_answer_that_cannot_be_read_is_the_applications_fault(log: Path) -> None:
    def application(_: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return Unreadable()

    pieces = ConvlogWSGIMiddleware(application)({"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/messages"}, no_writing)
    with pytest.raises(LookupError, match="there is no answer"):
        list(pieces)
    assert turns_in(log)[0]["error"]["type"] == "LookupError"


def test_an_answer_that_is_never_read_is_a_turn(log: Path) -> None:
    pieces = ConvlogWSGIMiddleware(by_position)({"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/messages"}, no_writing)
    del pieces
    assert turns_in(log)[0]["error"]["type"] == "client_disconnected"


def read_into(stream: Any) -> bytes:
    buffer = bytearray(100)
    return bytes(buffer[: stream.readinto(buffer)])


@pytest.mark.parametrize(
    "read",
    [
        lambda stream: stream.read(),
        lambda stream: stream.read(7) + stream.read(-1),
        b"".join,
        lambda stream: b"".join(stream.readlines()),
        lambda stream: stream.readline() + stream.readline(),
        lambda stream: stream.read1() + stream.read1(5),
        read_into,
        lambda stream: io.BufferedReader(stream).read(),
    ],
)
def test_a_request_is_read_in_any_way_that_the_server_allows(read: Callable[[Any], bytes], log: Path) -> None:
    def application(environ: Any, start_response: Any) -> Any:
        assert read(environ["wsgi.input"]) == _BODY
        start_response("200 OK", [])
        return []

    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/messages", "wsgi.input": io.BytesIO(_BODY)}
    assert list(ConvlogWSGIMiddleware(application)(environ, no_writing)) == []
    assert turns_in(log)[0]["client_request"] == {"model": "m", "messages": []}
