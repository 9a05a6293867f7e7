"""Masking of secrets in headers (docs/recording.md, "Secrets")."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit, urlunsplit

SECRET_HEADERS = frozenset(
    {
        "api-key",
        "authorization",
        "cookie",
        "proxy-authorization",
        "set-cookie",
        "x-amz-security-token",
        "x-api-key",
        "x-auth-token",
        "x-goog-api-key",
        "x-goog-iam-authorization-token",
    }
)

HEADER_ATTRIBUTES = frozenset({"llm.headers", "gen_ai.headers"})
_HEADER_ATTRIBUTE = re.compile(r"http\.(request|response)\.header\.")
_SECRET_PARAMETER = re.compile(
    r"(api[-_]?)?key|(access[-_]?|auth[-_]?|id[-_]?)?token|secret|password|sig|signature|x-(amz|goog)-(signature|credential)"
    r"|x-amz-security-token|code",
    re.IGNORECASE,
)
_LONGEST_HEADERS = 1 << 14

_SHORTEST_SHOWN = 9  # of more than 8 characters the first and last four are shown


def sanitize_headers(headers: object) -> dict[str, object]:
    """Copy headers with secrets masked. Never raises.

    Args:
        headers: A mapping (also httpx's, Starlette's, Werkzeug's), or a list of ``(name, value)`` pairs as ASGI has
            them, names and values as text or bytes. Anything else has no names to tell secrets by, and gives no
            headers.

    Returns:
        Names as they were given. Values as they were given, masked ones as text; values of a repeated name joined with
        ``", "`` (RFC 9110 section 5.3).
    """
    sanitized: dict[str, object] = {}
    for pair in _pairs(headers):
        try:
            name, value = pair
            text = _header_text(name)
            shown = _masked(value) if text.strip().lower() in SECRET_HEADERS else _decoded(value)
            sanitized[text] = f"{sanitized[text]}, {shown}" if text in sanitized else shown
        except Exception:  # noqa: BLE001, S112  a header without a readable name cannot be told from a secret
            continue
    return sanitized


def sanitize_url(url: str) -> str:
    """Mask what a URL holds of secrets: a password, and the values of parameters that are keys or signatures."""
    if "?" not in url and "@" not in url:
        return url
    try:
        parts = urlsplit(url)
        query = "&".join(_without_secret(pair) for pair in parts.query.split("&"))
        user, at, host = parts.netloc.rpartition("@")
        name, colon, _ = user.partition(":")
        netloc = f"{name}:***@{host}" if colon else f"{user}{at}{host}"
        return urlunsplit(parts._replace(netloc=netloc, query=query))
    except ValueError:  # no URL, so nobody knows what is secret in it
        return url.partition("?")[0]


def _without_secret(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}{equals}***" if equals and _SECRET_PARAMETER.fullmatch(unquote(name)) else pair


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
        secret = name[header.end() :].lower() in SECRET_HEADERS
        return [_masked(item) for item in (value if isinstance(value, (list, tuple)) else [value])] if secret else value
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
    return bytes(value).decode("latin-1") if isinstance(value, (bytes, bytearray, memoryview)) else value


def _header_text(name: object) -> str:
    text = _decoded(name)
    # A member of a text enumeration is sent as its text, whatever its own __str__ says.
    return str.__str__(text) if isinstance(text, str) else str(text)


def _masked(value: object) -> str:
    try:
        text = str(_decoded(value))
    except Exception:  # noqa: BLE001  a secret that cannot be read cannot be shown either
        return "***"
    return f"{text[:4]}***{text[-4:]}" if len(text) >= _SHORTEST_SHOWN else "***"
