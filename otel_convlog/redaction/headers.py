"""Masking of secrets in headers (docs/privacy.md, "Headers")."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Hashable, Iterable, Mapping
from functools import lru_cache

from otel_convlog.redaction.urls import sanitize_url

# SPEC.md section 6: shown are the first and last four characters of more than 8.
_SPECIFIED = frozenset({"api-key", "authorization", "x-api-key", "x-goog-api-key"})
_SHORTEST_SPECIFIED = 9

# Of the credential in any other header that much is shown only where it is as long as a random key.
_SHORTEST_SHOWN = 20

SECRET_HEADERS = _SPECIFIED | {
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-amz-security-token",
    "x-auth-token",
    "x-goog-iam-authorization-token",
}
SECRET_PARTS = ("api-key", "apikey", "password", "secret", "session-key", "token")

# What providers say of their limits: x-ratelimit-remaining-tokens: 149984, x-ratelimit-reset-tokens: 6m0s,
# anthropic-ratelimit-tokens-reset: 2026-11-23T08:06:10Z. Shown only where the value is a number, a time or a duration.
_LIMIT_NAME = re.compile(r"(?:.*-)?tokens(?:-.*)?")
_LIMIT_VALUE = re.compile(
    r"\d{1,12}|(?:\d{1,6}(?:\.\d{1,9})?(?:ms|[dhms])){1,4}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"
)

_SCHEME = re.compile(r"(bearer|basic|digest|token|apikey|negotiate|aws4-hmac-sha256)\s+", re.IGNORECASE)

# What is masked already, as a file that is gone through again has it.
_MASKED = re.compile(r"(?:.{4}\*{3}.{4}|\*{3})(?:, (?:.{4}\*{3}.{4}|\*{3}))*", re.DOTALL)

HEADER_ATTRIBUTES = frozenset({"llm.headers", "gen_ai.headers"})
_HEADER_ATTRIBUTE = re.compile(r"http\.(request|response)\.header\.")
_LONGEST_HEADERS = 1 << 14
_LONGEST_KNOWN = 256  # bytes of a value that is remembered

_VARIABLE = "OTEL_EXPORTER_CONVLOG_REDACT_HEADERS"


def sanitize_headers(headers: object, *, names: Iterable[str] = ()) -> dict[str, object]:
    """Copy headers with secrets masked. Never raises.

    Args:
        headers: A mapping (also httpx's, Starlette's, Werkzeug's), or a list of ``(name, value)`` pairs as ASGI has
            them, names and values as text or bytes. Anything else has no names to tell secrets by, and gives no
            headers.
        names: More names to mask than those that are known to carry secrets and those of
            ``OTEL_EXPORTER_CONVLOG_REDACT_HEADERS``.

    Returns:
        Names as they were given. Values as they were given, masked ones as text; values of a repeated name joined with
        ``", "`` (RFC 9110 section 5.3). Credentials in URLs, as ``Referer`` may have them, are masked too.
    """
    more = configured_names()
    if names:
        more = more.union(map(header_name, names))
    sanitized: dict[str, object] = {}
    for pair in _pairs(headers):
        try:
            name, value = pair
            text, known = _known(bytes(name) if type(name) is bytearray else name, more)
            is_often_seen = known.is_plain and type(value) is bytes and len(value) <= _LONGEST_KNOWN
            shown = _shown_plain(value) if is_often_seen else known.shown(value)
            sanitized[text] = f"{sanitized[text]}, {shown}" if text in sanitized else shown
        except Exception:  # noqa: BLE001, S112  a header without a readable name cannot be told from a secret
            continue
    return sanitized


def is_secret_header(name: str, more: frozenset[str] = frozenset()) -> bool:
    """Say whether a header's value is masked, whatever it is.

    Args:
        name: Its name, from `header_name`.
        more: More such names.
    """
    return name in SECRET_HEADERS or name in more or (_has_secret_part(name) and not _LIMIT_NAME.fullmatch(name))


def header_name(name: str) -> str:
    """Return a header's name as names are compared."""
    return name.strip().lower().replace("_", "-")


def configured_names() -> frozenset[str]:
    """Return the names of ``OTEL_EXPORTER_CONVLOG_REDACT_HEADERS``, as names are compared.

    Read here, and not among the exporter's settings: headers are masked where a turn is recorded.
    """
    return _names_in(os.environ.get(_VARIABLE, ""))


@lru_cache(maxsize=8)
def _names_in(text: str) -> frozenset[str]:
    return frozenset(header_name(name) for name in text.split(",") if name.strip())


def _has_secret_part(name: str) -> bool:
    return any(part in name for part in SECRET_PARTS)


class _Header:
    """How the values of a header are shown.

    Args:
        name: Its name, from `header_name`.
        more: Names that are masked beside those that are known.
    """

    def __init__(self, name: str, more: frozenset[str]) -> None:
        self._is_specified = name in _SPECIFIED
        self._is_secret = is_secret_header(name, more)
        self._may_be_limit = _has_secret_part(name)
        self.is_plain = not (self._is_secret or self._may_be_limit)  # it may hold URLs with secrets, and nothing else

    def shown(self, value: object) -> object:
        """Return a value as it may be seen."""
        if self._is_specified:
            return _masked(value, _SHORTEST_SPECIFIED)
        if self._is_secret:
            return _masked_credential(value)
        value = _decoded(value)
        if self._may_be_limit and not _LIMIT_VALUE.fullmatch(_text(value).strip()):
            return _masked_credential(value)
        return sanitize_url(value) if isinstance(value, str) and ("@" in value or "=" in value) else value


# The same names come with each request; what is kept is bounded, since a client may send any.
@lru_cache(maxsize=1024, typed=True)
def _known(name: Hashable, more: frozenset[str]) -> tuple[str, _Header]:
    """Return a header's name as text, and how its values are shown."""
    text = _header_text(name)
    return text, _Header(header_name(text), more)


@lru_cache(maxsize=1024)  # the same values come with each request, too
def _shown_plain(value: bytes) -> str:
    """Return the value of a header that is none of a secret's, as it may be seen."""
    text = value.decode("latin-1")
    return sanitize_url(text) if "@" in text or "=" in text else text


def sanitize_header_attribute(name: str, value: object) -> object:
    """Mask what a span's attribute holds of headers.

    Args:
        name: The attribute: ``http.request.header.<name>`` and its like, or one that holds several.
        value: Its value; several stand as text, of JSON or of a Python dict (OpenLLMetry).

    Returns:
        The value, masked where it is a secret's; headers that cannot be read are masked whole.
    """
    header = _HEADER_ATTRIBUTE.match(name)
    if header is not None:
        _, known = _known(name[header.end() :], configured_names())
        return [known.shown(item) for item in value] if isinstance(value, (list, tuple)) else known.shown(value)
    if not isinstance(value, str) or value in ("", "None", "{}"):
        return value
    try:
        headers = ast.literal_eval(value) if len(value) <= _LONGEST_HEADERS else None
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        headers = None
    return sanitize_headers(headers) if isinstance(headers, dict) else "***"


def _pairs(headers: object) -> Iterable[tuple[object, object]]:
    try:
        if isinstance(headers, (list, tuple)):
            return [pair for pair in headers if isinstance(pair, (list, tuple)) and len(pair) == 2]  # type: ignore[misc]  # pairs
        return list(headers.items() if isinstance(headers, Mapping) else getattr(headers, "items", tuple)())
    except Exception:  # noqa: BLE001  a user's own mapping may raise anything
        return []


def _decoded(value: object) -> object:
    if type(value) is str:
        return value
    return bytes(value).decode("latin-1") if isinstance(value, (bytes, bytearray, memoryview)) else value


def _header_text(name: object) -> str:
    text = _decoded(name)
    # A member of a text enumeration is sent as its text, whatever its own __str__ says.
    return str.__str__(text) if isinstance(text, str) else str(text)


def _masked_credential(value: object) -> str:
    """Mask a credential; of one with a scheme before it the scheme stays."""
    text = _text(value)
    scheme = _SCHEME.match(text)
    return f"{scheme[0]}{_masked(text[scheme.end() :], _SHORTEST_SHOWN)}" if scheme else _masked(text, _SHORTEST_SHOWN)


def _masked(value: object, shortest: int) -> str:
    text = _text(value)
    if _MASKED.fullmatch(text):
        return text
    return f"{text[:4]}***{text[-4:]}" if len(text) >= shortest else "***"


def _text(value: object) -> str:
    try:
        return str(_decoded(value))
    except Exception:  # noqa: BLE001  a secret that cannot be read cannot be shown either
        return ""
