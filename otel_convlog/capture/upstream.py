"""What the hooks of all HTTP clients do: they record a request that leaves within a turn, and its answer."""

from __future__ import annotations

import logging
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry import context as context_api
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from otel_convlog.attempts import Attempt, Target
from otel_convlog.capture.options import CaptureOptions
from otel_convlog.current import current_turn
from otel_convlog.redaction.urls import sanitize_url
from otel_convlog.span_fields import attribute_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_logger = logging.getLogger(__name__)


def begin_attempt(method: object, url: object, headers: Mapping[str, object]) -> Attempt | None:
    """Begin to record a request. Never raises.

    Args:
        method: Its method; only a POST asks a model something.
        url: Where it goes; its ``str()`` counts.
        headers: Its headers; their names are asked for in small letters, so they must not care.

    Returns:
        What takes its body and its answer; None where it is none of a turn's, or has a body of another kind than JSON.
    """
    try:
        turn = current_turn()
        if turn is None or method != "POST" or context_api.get_value(_SUPPRESS_INSTRUMENTATION_KEY):
            return None
        content_type, encoding = of_body(headers)
        if not _is_json(content_type):
            return None
        raw = getattr(headers, "raw", None)
        attempt = Attempt(_target(_text(url)), headers if raw is None else raw, encoding, _options().most_bytes)
        return attempt if turn.add_attempt(attempt) else None
    except Exception:  # the request goes on, whatever it holds
        _logger.warning("a request could not be recorded", exc_info=True)
        return None


def of_body(headers: Mapping[str, object]) -> tuple[str, str]:
    """Return what headers say of the body: its ``Content-Type`` and its ``Content-Encoding``, empty where they do not.

    Args:
        headers: Those of a request or an answer. httpx's own look-up goes through all of them each time; what it is
            made of is read once.
    """
    raw = getattr(headers, "raw", None)
    if raw is None:
        return _text(headers.get("content-type", "")), _text(headers.get("content-encoding", ""))
    named = {name.lower(): value for name, value in raw}
    return _text(named.get(b"content-type", "")), _text(named.get(b"content-encoding", ""))


@lru_cache(maxsize=256)  # a proxy has few upstreams
def _target(url: str) -> Target:
    """Return where a request goes."""
    matched = _options().routes.match(urlsplit(url).path)
    shown = attribute_text(sanitize_url(url))
    if matched is None:
        return Target(shown)
    return Target(shown, matched.route.backend, matched.model, matched.route.unnamed_event)


@cache
def _options() -> CaptureOptions:
    return CaptureOptions.resolve()


def _text(value: object) -> str:
    """Return text; requests takes bytes for it too."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return not media_type or media_type.endswith(("/json", "+json")) or media_type == "text/plain"
