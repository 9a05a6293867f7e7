"""Flask, with requests."""

from __future__ import annotations

import requests
from flask import Flask, Response, request

from relays.common import PATHS, UPSTREAM, headers_upstream

app = Flask(__name__)


def relay() -> Response:
    upstream = requests.post(
        UPSTREAM + request.path,
        data=request.get_data(),
        headers=headers_upstream(request.headers.items()),
        stream=True,
        timeout=20,
    )
    kind = upstream.headers["content-type"]
    if not kind.startswith("text/event-stream"):
        return Response(upstream.content, upstream.status_code, content_type=kind)
    return Response(upstream.iter_content(None), upstream.status_code, content_type=kind)


for number, path in enumerate(PATHS):
    app.add_url_rule(path, f"relay-{number}", relay, methods=["POST"])
