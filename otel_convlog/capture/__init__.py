"""Recording turns without changing the proxy's code: middleware for what clients send, hooks for what goes upstream."""

from __future__ import annotations

from otel_convlog.capture.asgi import ConvlogMiddleware
from otel_convlog.capture.httpx_client import instrument_httpx, uninstrument_httpx

__all__ = ["ConvlogMiddleware", "instrument_httpx", "uninstrument_httpx"]
