"""Masking of secrets in headers (docs/recording.md, "Secrets")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
    try:
        for name, value in _pairs(headers):
            text = _header_text(name)
            shown = _masked(value) if text.strip().lower() in SECRET_HEADERS else _decoded(value)
            sanitized[text] = f"{sanitized[text]}, {shown}" if text in sanitized else shown
    except Exception:  # noqa: BLE001  what was read so far is masked and can be kept
        return sanitized
    return sanitized


def _pairs(headers: object) -> Iterable[tuple[object, object]]:
    if isinstance(headers, Mapping):
        return headers.items()
    if isinstance(headers, (list, tuple)):
        return [pair for pair in headers if isinstance(pair, (list, tuple)) and len(pair) == 2]  # type: ignore[misc]
    items = getattr(headers, "items", None)
    return items() if callable(items) else ()


def _decoded(value: object) -> object:
    return value.decode("latin-1") if isinstance(value, (bytes, bytearray)) else value


def _header_text(name: object) -> str:
    return str(_decoded(name))


def _masked(value: object) -> str:
    try:
        text = str(_decoded(value))
    except Exception:  # noqa: BLE001  a secret that cannot be read cannot be shown either
        return "***"
    return f"{text[:4]}***{text[-4:]}" if len(text) >= _SHORTEST_SHOWN else "***"
