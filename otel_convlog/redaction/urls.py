"""Masking of credentials in URLs, alone and in text: a password, and parameters that are keys or signatures."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MASK = "***"

# A user's name as long as this is a token: https://ghp_…@github.com, https://sk_live_…:@api.stripe.com.
_SHORTEST_TOKEN = 12
_LONGEST_NAME = 100

_END = r"\s\"'<>`\\"  # what ends a URL in text
_USER = re.compile(rf"(:\\{{0,4}}/\\{{0,4}}/)([^/?#{_END}]{{1,2000}})@")
_PARAMETER = re.compile(rf"(?:[?&;#]|%3[fF]|%26)([\w.\[\]%-]{{1,{_LONGEST_NAME}}}?)(?:=|%3[dD])")
_VALUE = re.compile(rf"[^&;#{_END}]+")

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
# What documentation and templates have there.
_PLACEHOLDER = re.compile(r"pass(?:word|wd)?|pwd|secret|.*[{}\[\]].*", re.IGNORECASE)


def sanitize_url(url: str) -> str:
    """Mask what a URL holds of secrets: a password, and the values of parameters that are keys or signatures.

    The name of a user with a password stays, unless it is long enough to be a token.

    Args:
        url: The URL, whole or a part of one.
    """
    pieces: list[str] = []
    end = 0
    for start, stop in _secrets(url, _is_secret):
        pieces += (url[end:start], MASK)
        end = stop
    return "".join([*pieces, url[end:]]) if pieces else url


def secrets_in_urls(text: str) -> list[tuple[int, int]]:
    """Return where in a text its URLs have secrets; short values of names that any link may have are none."""
    found = _secrets(text, lambda name, value: _is_secret(name, value) and not _is_ordinary(name, value))
    return [(start, end) for start, end in found if not _PLACEHOLDER.fullmatch(text, start, end)]


def _secrets(text: str, is_secret: Callable[[str, str], bool]) -> list[tuple[int, int]]:
    found = [span for user in _USER.finditer(text) for span in _of_user(user)] if "@" in text else []
    if "=" in text or "%3" in text:
        found += _of_parameters(text, is_secret)
    return sorted(found)


def _of_user(found: re.Match[str]) -> Iterator[tuple[int, int]]:
    start, end = found.span(2)
    name, colon, password = found[2].partition(":")
    if password.startswith((MASK, "[REDACTED")):
        return
    if len(name) >= _SHORTEST_TOKEN or (colon and not password and name):
        yield start, start + len(name)
    if password:
        yield end - len(password), end


def _of_parameters(text: str, is_secret: Callable[[str, str], bool]) -> Iterator[tuple[int, int]]:
    """Yield where the values of secret parameters are, also those of a URL that is another one's parameter."""
    position = 0
    while parameter := _PARAMETER.search(text, position):
        position = parameter.end()
        value = _VALUE.match(text, position)
        if value is not None and not value[0].startswith((MASK, "[REDACTED")) and is_secret(parameter[1], value[0]):
            yield value.span()
            position = value.end()


@lru_cache(maxsize=1024)
def _name(name: str) -> str:
    return unquote_plus(name).strip().lower().replace("_", "-")


def is_secret_parameter(name: str) -> bool:
    """Say whether a parameter of that name may be a secret."""
    name = _name(name)
    return name in _WHOLE_NAMES or any(part in name for part in _PARTS)


def _is_secret(name: str, value: str) -> bool:
    # max_tokens=100 is a number of them
    return is_secret_parameter(name) and not (value.isdigit() and _name(name).endswith("tokens"))


def _is_ordinary(name: str, value: str) -> bool:
    return len(value) < _SHORTEST_ORDINARY and _name(name) in _ORDINARY_NAMES
