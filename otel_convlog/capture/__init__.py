"""Recording turns without changing the proxy's code: middleware for what clients send, hooks for what goes upstream.

Each server interface and each HTTP client has a module of its own. `ConvlogMiddleware` here is ASGI's; WSGI's is
`otel_convlog.capture.wsgi.ConvlogMiddleware`.
"""

from __future__ import annotations

from otel_convlog.capture.aiohttp_client import instrument_aiohttp, uninstrument_aiohttp
from otel_convlog.capture.asgi import ConvlogMiddleware
from otel_convlog.capture.frameworks import instrument_framework, uninstrument_framework
from otel_convlog.capture.httpx_client import instrument_httpx, uninstrument_httpx
from otel_convlog.capture.requests_client import instrument_requests, uninstrument_requests
from otel_convlog.capture.wsgi import ConvlogMiddleware as ConvlogWSGIMiddleware

__all__ = [
    "ConvlogMiddleware",
    "ConvlogWSGIMiddleware",
    "instrument_aiohttp",
    "instrument_framework",
    "instrument_httpx",
    "instrument_requests",
    "uninstrument_aiohttp",
    "uninstrument_framework",
    "uninstrument_httpx",
    "uninstrument_requests",
]
