"""The proxy of `app.py` in the other style: it records no turn itself, the middleware and the hook see what passes.

Two lines know of the log, in `create_app`. `opentelemetry-instrument` can do without them: docs/capture.md.

Run it::

    python examples/wsgi_proxy/captured.py --upstream http://127.0.0.1:8001 --port 8000 --directory data/conversations
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import flask
import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.serving import ProxyOptions
from examples.wire import ROUTES, error_body, headers_through, headers_upstream, parse_request, rewrite_model
from examples.wsgi_proxy.app import serve
from otel_convlog.capture import ConvlogWSGIMiddleware, instrument_requests


def create_app(options: ProxyOptions) -> flask.Flask:
    """Make the proxy."""
    app = flask.Flask(__name__)
    for path in ROUTES:
        app.add_url_rule(path, path, lambda: relay(options), methods=["POST"])
    instrument_requests()
    app.wsgi_app = ConvlogWSGIMiddleware(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's documentation has it
    return app


def relay(options: ProxyOptions) -> flask.Response:
    """Pass one request on and its answer back."""
    request = flask.request
    route, body = ROUTES[request.path], request.get_data()
    try:
        _, upstream_body = rewrite_model(parse_request(body), body, options.models)
    except ValueError as error:
        return _refusal(error_body(route, "invalid_request_error", str(error)), 400)
    query = request.query_string.decode()
    url = f"{options.upstream}{request.path}{'?' if query else ''}{query}"
    headers = headers_upstream(request.headers.items())
    try:
        upstream = requests.post(
            url, upstream_body, headers=headers, timeout=options.timeout_s, stream=True, allow_redirects=False
        )
    except requests.RequestException as error:
        status = 504 if isinstance(error, requests.Timeout) else 502
        return _refusal(error_body(route, "upstream_error", f"{type(error).__name__}: {error}"), status)
    return flask.Response(pieces(upstream), upstream.status_code, headers_through(upstream.headers.items()))


def pieces(upstream: requests.Response) -> Iterator[bytes]:
    """The pieces of an answer as they arrive; `iter_content` waits for the end of one that is not chunked."""
    with upstream:
        while piece := upstream.raw.read1(decode_content=True):
            yield piece


def _refusal(body: object, status: int) -> flask.Response:
    response = flask.jsonify(body)
    response.status_code = status
    return response


if __name__ == "__main__":
    options = ProxyOptions.from_command_line("A WSGI proxy whose conversations are logged.")
    serve(create_app(options), options)
