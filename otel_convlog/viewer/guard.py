"""Who is let in to the page, and what the browser may do with it.

A page on loopback is reachable by every other page that the same browser shows, and by whatever on this machine can be
made to send requests (mitmweb's CVE-2025-23217). So nothing is answered but to a browser that was given the token, that
names this very server, and whose request comes from this server's own pages.
"""

from __future__ import annotations

import secrets
from html import escape
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MARKER_HEADER = "x-convlog-view"  # no form and no other site's page can send it without asking first (CORS)

# What the page is made of is served from here, and nothing else is loaded, run, sent or framed, whatever was logged.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src"
    " 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types convlog"
)
_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), usb=()",
}
_READING = frozenset({"GET", "HEAD"})
_OPENING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>otel-convlog</title><link rel="icon" href="data:,">
<meta http-equiv="refresh" content="0;url={address}"><p><a href="{address}">The conversations</a></p></html>
"""


class Guard:
    """ASGI middleware that refuses whatever does not come from a page of this server.

    Args:
        app: What is guarded.
        hosts: The exact values of ``Host`` under which it is reached, such as ``127.0.0.1:8666``.
        token: What the start-up URL has; whoever shows it once is given a cookie.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], token: str) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no websockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        answer = self._refusal(scope, headers) or self._admission(scope, headers)
        await (answer or self._app)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return _refused("This is no host under which the page is served; see --allow-host.")
        own = {f"{scheme}://{hosts[0].lower()}" for scheme in ("http", "https")}  # a TLS proxy may stand before us
        if any(origin.lower() not in own for origin in headers.getlist("origin")):
            return _refused("The request comes from another site.")
        if scope["method"] not in _READING and not (headers.get("origin") and headers.get(MARKER_HEADER)):
            return _refused("Only the page itself may change anything.")
        return None

    def _admission(self, scope: Scope, headers: Headers) -> Response | None:
        cookie = f"convlog_{headers['host'].rpartition(':')[2]}"  # browsers do not tell a host's ports apart
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if scope["method"] in _READING and any(name == "token" and self._is_token(value) for name, value in query):
            # The address without the token. Not by a redirect: where the first one was followed from another site, such
            # as a terminal in a browser, a redirect is a request of that site, and brings no cookie that is strict.
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            path = "/" + quote(scope["path"].lstrip("/"))  # a second slash at its beginning would name another host
            address = escape(path + (f"?{rest}" if rest else ""))
            answer = HTMLResponse(_OPENING.format(address=address))
            answer.set_cookie(cookie, self._token, httponly=True, samesite="strict", path="/")
            return answer
        if not self._is_token(_cookie(headers, cookie)):
            return PlainTextResponse(
                "Open the address that `otel-convlog view` printed when it was started: it has the token.", 401
            )
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _refused("The request comes from another site.")
        return None

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode("utf-8", "surrogatepass"), self._token.encode())


def _refused(why: str) -> Response:
    return PlainTextResponse(why, 403)


def _cookie(headers: Headers, name: str) -> str:
    for line in headers.getlist("cookie"):
        for piece in line.split(";"):  # one by one: a foreign cookie of odd form must not hide ours
            try:
                found = SimpleCookie(piece.strip())
            except CookieError:
                continue
            if name in found:
                return found[name].value
    return ""


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return send_with_headers
