"""Django, with httpx: ``wsgi`` and ``asgi``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import django
import httpx
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import path

from relays.common import PATHS, UPSTREAM, headers_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="for a test", MIDDLEWARE=[])  # noqa: S106
django.setup()


def relay(request: HttpRequest) -> HttpResponseBase:
    client = httpx.Client(base_url=UPSTREAM, timeout=20)
    outgoing = client.build_request(
        "POST",
        request.path.removeprefix("/async"),
        content=request.body,
        headers=headers_upstream(request.headers.items()),
    )
    upstream = client.send(outgoing, stream=True)
    kind = upstream.headers["content-type"]
    if not kind.startswith("text/event-stream"):
        return HttpResponse(upstream.read(), kind, upstream.status_code)

    def pieces() -> Iterator[bytes]:
        yield from upstream.iter_bytes()

    return StreamingHttpResponse(pieces(), status=upstream.status_code, content_type=kind)


async def relay_async(request: HttpRequest) -> HttpResponseBase:
    client = httpx.AsyncClient(base_url=UPSTREAM, timeout=20)
    outgoing = client.build_request(
        "POST",
        request.path.removeprefix("/async"),
        content=request.body,
        headers=headers_upstream(request.headers.items()),
    )
    upstream = await client.send(outgoing, stream=True)
    kind = upstream.headers["content-type"]
    if not kind.startswith("text/event-stream"):
        return HttpResponse(await upstream.aread(), kind, upstream.status_code)

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in upstream.aiter_bytes():
            yield piece

    return StreamingHttpResponse(pieces(), status=upstream.status_code, content_type=kind)


wsgi = get_wsgi_application()
asgi = get_asgi_application()
urlpatterns = [
    *(path(place.lstrip("/"), relay) for place in PATHS),
    *(path("async" + place, relay_async) for place in PATHS),
]
