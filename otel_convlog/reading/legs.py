"""The four legs of a turn: what the client sent, what went upstream, what came back, and what the client got."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

from otel_convlog.jsontext import to_json
from otel_convlog.reading.messages import answer_of
from otel_convlog.redaction.headers import is_secret_header

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json

Side: TypeAlias = Literal["client", "upstream"]

# Where a turn's file says only which protocol it is.
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}

# What curl says itself, and what belongs to the one connection.
_OWN_HEADERS = frozenset({"accept-encoding", "connection", "content-length", "host", "transfer-encoding"})
_MASK = re.compile(r"\*{3}")
_NO_NAME = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")  # what cannot stand in a header's name (RFC 9110, 5.1)


def legs_of(turn: dict[str, Json]) -> dict[str, Json]:
    """Return what was sent, by the client and by the proxy, and what came back to each; streams put together."""
    return {
        "client request": {"headers": turn.get("request_headers"), "body": turn.get("client_request")},
        "upstream request": turn.get("upstream_request"),
        "client response": answer_of(turn, "client"),
        "upstream response": answer_of(turn, "upstream"),
    }


def request_of(turn: dict[str, Json], side: Side) -> tuple[dict[str, Json], Json]:
    """Return a request's headers and body, as the client sent them, or as they went upstream."""
    if side == "client":
        headers, body = turn.get("request_headers"), turn.get("client_request")
    else:
        sent = turn.get("upstream_request")
        headers, body = (sent.get("headers"), sent.get("body")) if isinstance(sent, dict) else (None, None)
    return headers if isinstance(headers, dict) else {}, body


def url_of(turn: dict[str, Json], side: Side) -> str:
    """Return where a request went; of the client's, what its headers and its protocol tell; else nothing."""
    target = turn.get("target_url")
    if side == "upstream":
        return target if isinstance(target, str) else ""
    headers, _ = request_of(turn, "client")
    host = next((value for name, value in headers.items() if name.lower() == "host"), None)
    path = PATHS.get(str(turn.get("route"))) or urlsplit(str(target)).path
    return f"http://{host}{path}" if isinstance(host, str) and host else ""


def curl_of(turn: dict[str, Json], side: Side) -> str:
    """Return a command that sends a request again, for a POSIX shell.

    What was masked is a variable in it, such as ``$AUTHORIZATION``.
    """
    headers, body = request_of(turn, side)
    words = [f"curl {shlex.quote(url_of(turn, side) or 'http://127.0.0.1/')}"]
    for name, value in headers.items():
        if name.lower() in _OWN_HEADERS or _NO_NAME.search(name) or not name:
            continue
        text = " ".join(str(value).split())
        if is_secret_header(name) or _MASK.search(text):
            variable = re.sub(r"\W", "_", name, flags=re.ASCII).upper()
            words.append(f'-H {shlex.quote(f"{name}: ")}"${variable}"')
        else:
            words.append(f"-H {shlex.quote(f'{name}: {text}')}")
    if not any(name.lower() == "content-type" for name in headers):
        words.append("-H 'content-type: application/json'")
    words.append(f"--data-raw {shlex.quote(to_json(body).decode('utf-8', 'backslashreplace').strip())}")
    return " \\\n  ".join(words) + "\n"
