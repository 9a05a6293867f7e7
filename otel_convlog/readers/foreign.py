"""Headers and URLs of spans that another program may have made: masked, whether that has masked them or not."""

from __future__ import annotations

import re
from json import JSONDecoder
from typing import TYPE_CHECKING, cast

from otel_convlog.jsontext import to_json
from otel_convlog.redaction.headers import sanitize_headers
from otel_convlog.redaction.urls import MASK, sanitize_url

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json

_HEADERS = re.compile(r'\s*\{\s*"headers"\s*:\s*')
_DECODER = JSONDecoder()


def masked_url(url: Json) -> Json:
    """Return a URL with its secrets masked; what is no text as it is."""
    return sanitize_url(url) if isinstance(url, str) else url


def masked_headers(headers: Json) -> Json:
    """Return headers with their secrets masked; what is left of text that a limit has cut, masked whole."""
    if isinstance(headers, (dict, list)):
        return cast("Json", sanitize_headers(headers))
    return MASK if isinstance(headers, str) and headers else headers


def with_masked_headers(request: Json) -> Json:
    """Return a request that was sent, ``{"headers", "body"}``, with its headers masked, also one that is cut."""
    if isinstance(request, str):
        return _cut_request(request)
    if not isinstance(request, dict) or "headers" not in request:
        return request
    return {**request, "headers": masked_headers(request["headers"])}


def _cut_request(text: str) -> str:
    """Return what is left of a request's text, its headers masked; nothing where they cannot be told from the rest."""
    if '"headers"' not in text:
        return text
    begin = _HEADERS.match(text)
    if begin is None:
        return MASK
    try:
        headers, end = _DECODER.raw_decode(text, begin.end())
    except (ValueError, RecursionError):
        return MASK
    return f"{begin[0]}{to_json(masked_headers(headers)).decode()}{text[end:]}"
