"""A WSGI proxy for OpenAI and Anthropic clients that logs its conversations with otel_convlog.

The same as `examples/proxy`, for those who have Flask and `requests`: one thread for each request, and the same calls.
A WSGI server notices only when it writes that a client has hung up; so does this proxy.

Run it::

    python examples/wsgi_proxy/app.py --upstream http://127.0.0.1:8001 --port 8000 --directory data/conversations
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import flask
import requests
import urllib3
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from werkzeug.serving import ThreadedWSGIServer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import otel_convlog
from examples.serving import HOST, ProxyOptions, announce
from examples.wire import (
    ROUTES,
    Route,
    StreamReader,
    error_body,
    headers_through,
    headers_upstream,
    parse_answer,
    parse_request,
    rewrite_model,
    usage_of,
)

HUNG_UP = {"type": "client_disconnected", "message": "the client hung up in mid-stream"}


def start_tracing(directory: Path | None) -> TracerProvider:
    """Set OpenTelemetry up so that turns become files."""
    provider = TracerProvider()
    provider.add_span_processor(otel_convlog.ConversationSpanProcessor(directory=directory, writer="process"))
    trace.set_tracer_provider(provider)
    return provider


def create_app(options: ProxyOptions) -> flask.Flask:
    """Make the proxy."""
    app = flask.Flask(__name__)
    for path in ROUTES:
        app.add_url_rule(path, path, lambda: relay(options), methods=["POST"])
    return app


def relay(options: ProxyOptions) -> flask.Response:
    """Pass one request on and its answer back, and record the two as a turn."""
    request = flask.request
    route, body = ROUTES[request.path], request.get_data()
    try:
        client_request = parse_request(body)
    except ValueError as error:  # nothing that could be a conversation
        return _json_response(error_body(route, "invalid_request_error", str(error)), 400)

    upstream_request, upstream_body = rewrite_model(client_request, body, options.models)
    query = request.query_string.decode()
    url = f"{options.upstream}{request.path}{'?' if query else ''}{query}"
    headers = headers_upstream(request.headers.items())

    turn = otel_convlog.start_turn(
        route=route.name,
        client_model=str(client_request.get("model", "")),
        backend=route.backend,
        stream=bool(client_request.get("stream")),
        client_request=client_request,
        request_headers=dict(request.headers),
        target_url=url,
        upstream_model=str(upstream_request.get("model", "")),
    )
    otel_convlog.attach_upstream_request(turn, upstream_request, headers)

    try:
        upstream = requests.post(
            url, upstream_body, headers=headers, timeout=options.timeout_s, stream=True, allow_redirects=False
        )
        if upstream.headers.get("content-type", "").startswith("text/event-stream"):
            through = headers_through(upstream.headers.items())
            return flask.Response(RecordedStream(upstream, route, turn), upstream.status_code, through)
        return _whole_answer(upstream, turn)
    except requests.RequestException as error:
        return _no_answer(error, route, turn)
    except BaseException as error:  # a mistake of this proxy's
        otel_convlog.attach_error(turn, {"type": type(error).__name__, "message": str(error)})
        otel_convlog.finalize_turn(turn)
        raise


def _whole_answer(upstream: requests.Response, turn: otel_convlog.Turn | None) -> flask.Response:
    with upstream:
        content = upstream.content
    answer = parse_answer(content.decode("utf-8", "replace"))
    otel_convlog.attach_upstream_response(turn, answer)
    otel_convlog.attach_client_response(turn, answer)
    if not upstream.ok:
        error = {"type": "upstream_status", "status_code": upstream.status_code, "body": answer}
        otel_convlog.attach_error(turn, error)
    otel_convlog.finalize_turn(turn, usage=usage_of(answer))
    return flask.Response(content, upstream.status_code, headers_through(upstream.headers.items()))


def _no_answer(error: requests.RequestException, route: Route, turn: otel_convlog.Turn | None) -> flask.Response:
    kind, message = explain(error)
    answer = error_body(route, kind, message)
    otel_convlog.attach_error(turn, {"type": kind, "stage": "request", "message": message})
    otel_convlog.attach_client_response(turn, answer)
    otel_convlog.finalize_turn(turn)
    return _json_response(answer, 504 if kind == "upstream_timeout" else 502)


class RecordedStream:
    """An upstream's stream on its way to the client, and the end of its turn, however that comes.

    The turn ends in `close`, which a WSGI server must call in every case (PEP 3333), also where the client is gone
    before the first byte; a generator that has not begun would not notice.
    """

    def __init__(self, upstream: requests.Response, route: Route, turn: otel_convlog.Turn | None) -> None:
        self._upstream = upstream
        self._turn = turn
        self._reader = StreamReader(route)
        self._error: object = HUNG_UP

    def close(self) -> None:
        """End the turn; a second call does nothing more."""
        if self._error is HUNG_UP:  # unless it had all of the answer, and did not wait for the connection's end
            self._error = self._reader.ending_error() and HUNG_UP
        if self._error is not None:
            otel_convlog.attach_error(self._turn, self._error)
        otel_convlog.set_stream_summary(self._turn, self._reader.summary())
        otel_convlog.finalize_turn(self._turn, usage=self._reader.usage)
        self._upstream.close()

    def __iter__(self) -> Iterator[bytes]:
        try:
            # `read1` gives what has arrived; `iter_content` waits for the end of a stream that is not chunked.
            while piece := self._upstream.raw.read1(decode_content=True):
                events = self._reader.feed(piece)
                for event in events:
                    otel_convlog.append_upstream_event(self._turn, event)
                yield piece
                for event in events:
                    otel_convlog.append_client_event(self._turn, event)
            self._error = self._reader.ending_error()
        except urllib3.exceptions.HTTPError as error:
            kind, message = explain(error)
            self._error = {"type": kind, "stage": "stream", "message": message}
            event, piece = self._reader.failure(kind, message)
            yield piece
            otel_convlog.append_client_event(self._turn, event)
        except Exception as error:  # a mistake of this proxy's
            self._error = {"type": type(error).__name__, "message": str(error)}
            raise
        finally:
            self.close()  # Werkzeug 3.1's server does not, where the client has reset the connection


def explain(error: requests.RequestException | urllib3.exceptions.HTTPError) -> tuple[str, str]:
    """What kind of error it is, and the error in a line."""
    timeout = isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError))
    return "upstream_timeout" if timeout else "upstream_error", f"{type(error).__name__}: {error}"


def _json_response(body: object, status: int) -> flask.Response:
    response = flask.jsonify(body)
    response.status_code = status
    return response


class Server(ThreadedWSGIServer):
    """Werkzeug's server, which here waits for the requests under way when it is closed."""

    daemon_threads = False


def serve(app: flask.Flask, options: ProxyOptions) -> None:
    """Serve until SIGTERM or SIGINT, let the requests under way end, and write what is still to be written."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no line for each request
    provider = start_tracing(options.directory)
    server = Server(HOST, options.port, app)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, at which the server closes
    announce(server.port)
    server.serve_forever()
    provider.shutdown()  # writes what the batch processor still holds


if __name__ == "__main__":
    options = ProxyOptions.from_command_line("A WSGI proxy that logs its conversations.")
    serve(create_app(options), options)
