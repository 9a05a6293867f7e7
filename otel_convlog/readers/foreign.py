"""Headers and URLs of spans that another program may have made: masked, whether that has masked them or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from otel_convlog.redaction.headers import sanitize_headers
from otel_convlog.redaction.urls import sanitize_url

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json


def masked_url(url: Json) -> Json:
    """Return a URL with its secrets masked; what is no text as it is."""
    return sanitize_url(url) if isinstance(url, str) else url


def masked_headers(headers: Json) -> Json:
    """Return headers with their secrets masked; what is no object, and no list of pairs, as it is."""
    return cast("Json", sanitize_headers(headers)) if isinstance(headers, (dict, list)) else headers


def with_masked_headers(request: Json) -> Json:
    """Return a request that was sent, ``{"headers", "body"}``, with its headers masked."""
    if not isinstance(request, dict) or "headers" not in request:
        return request
    return {**request, "headers": masked_headers(request["headers"])}
