"""Masking of credentials in URLs, alone and in text: a password, and parameters that are keys or signatures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Callable

MASK = "***"

# A user's name as long as this is a token: https://ghp_…@github.com, https://sk_live_…:@api.stripe.com.
_SHORTEST_TOKEN = 12
_LONGEST_NAME = 100

_END = r"\s\"'<>`\\"  # what ends a URL in text
_USER = re.compile(rf"(:\\{{0,4}}/\\{{0,4}}/)([^/?#{_END}]{{1,2000}})@")
_PARAMETER = re.compile(rf"([?&;#]|%3[fF]|%26)([\w.\[\]%-]{{1,{_LONGEST_NAME}}}?)(=|%3[dD])([^&;#{_END}]+)")

_WHOLE_NAMES = frozenset(
    {
        "access-key",
        "access-key-id",
        "auth",
        "authorization",
        "awsaccesskeyid",
        "client-assertion",
        "code",
        "googleaccessid",
        "hmac",
        "jwt",
        "key",
        "pass",
        "passwd",
        "pwd",
        "session-key",
        "sig",
        "sign",
        "subscription-key",
    }
)
_PARTS = ("apikey", "api-key", "credential", "password", "secret", "signature", "token")
# Names that ordinary links have too: in text their values count from this length on.
_ORDINARY_NAMES = frozenset({"auth", "code", "key", "pass", "sign"})
_SHORTEST_ORDINARY = 8


def sanitize_url(url: str, *, mask: str = MASK) -> str:
    """Mask what a URL holds of secrets: user and password, and the values of parameters that are keys or signatures.

    The name of a user with a password stays, unless it is long enough to be a token.

    Args:
        url: The URL, whole or a part of one.
        mask: What stands in the place of a secret.
    """
    return _masked(url, mask, _is_secret)


def sanitize_urls_in_text(text: str, mask: str) -> str:
    """Mask what URLs in a text hold of secrets; short values of names that any link may have stay."""
    return _masked(text, mask, lambda name, value: _is_secret(name, value) and not _is_ordinary(name, value))


def may_hold_url_secret(text: str) -> bool:
    """Say, cheaply, whether a text may hold a URL with a secret."""
    return "@" in text or "=" in text or "%3" in text


def _masked(url: str, mask: str, is_secret: Callable[[str, str], bool]) -> str:
    if "@" in url:
        url = _USER.sub(lambda found: f"{found[1]}{_shown_user(found[2], mask)}@", url)
    if "=" not in url and "%3" not in url:
        return url

    def shown(found: re.Match[str]) -> str:
        before, name, equals, value = found.groups()
        if is_secret(name, value):
            return f"{before}{name}{equals}{mask}"
        return f"{before}{name}{equals}{_PARAMETER.sub(shown, value)}" if "%3" in value else found[0]

    return _PARAMETER.sub(shown, url)


def _shown_user(user: str, mask: str) -> str:
    name, colon, password = user.partition(":")
    if len(name) >= _SHORTEST_TOKEN or (colon and not password and name):
        return f"{mask}{colon}{password and mask}"
    return f"{name}:{mask}" if password else user


def _name(name: str) -> str:
    return unquote_plus(name).strip().lower().replace("_", "-")


def _is_secret(name: str, value: str) -> bool:
    name = _name(name)
    if name in _WHOLE_NAMES:
        return True
    # max_tokens=100 is a number of them
    return any(part in name for part in _PARTS) and not (name.endswith("tokens") and value.isdigit())


def _is_ordinary(name: str, value: str) -> bool:
    return len(value) < _SHORTEST_ORDINARY and _name(name) in _ORDINARY_NAMES
