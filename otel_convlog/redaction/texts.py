"""Finding secrets in text, and knowing fast that there are none in the bytes of a whole turn.

Nearly all turns hold none, so that is what must cost little. A key has a run of `_SHORTEST_RUN` letters and digits that
begins in a way of its own, or has a telling name before it; the few credentials without such a run have a word before
them. `may_hold_secret` looks for these in the bytes; what looks suspicious there is looked at properly, string by
string.
"""

from __future__ import annotations

import re
from string import ascii_letters, digits
from typing import TYPE_CHECKING

from otel_convlog.redaction import rules
from otel_convlog.redaction.found import Found, without_overlap
from otel_convlog.redaction.urls import is_secret_parameter, secrets_in_urls

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHORTEST_RUN = 20
_SHORTEST_SECRET = 8

# Where the rules are looked for around a run: before it, for a beginning or a name; behind it, for a value's end.
_BEFORE = 64
_NAME_BEFORE = 240
_BEHIND = 2100

_RUN_LETTERS = (ascii_letters + digits + "_-").encode()
_IN_RUN = bytes(ord("a") if code in _RUN_LETTERS else ord(" ") for code in range(256))
_RUN = b"a" * _SHORTEST_RUN

# Data, not text: in an image's base64 any three letters stand somewhere.
_BASE64 = (ascii_letters + digits + "+/=_-").encode()
_LONG_DATA = 2048
_DATA_URL = re.compile(r"data:[\w/+.;=-]{0,200};base64,[A-Za-z0-9+/=_-]*")

# A credential in a text that is shorter than a run has one of these with it.
_IN_SHORT = re.compile(r"[@=:%~]|bearer", re.IGNORECASE)

_PATTERNS: dict[str, list[tuple[rules.Token, re.Pattern[str]]]] = {}
for _token in rules.TOKENS:
    for _beginning in _token.beginnings:
        _PATTERNS.setdefault(_beginning, []).append((_token, re.compile(re.escape(_beginning) + _token.rest)))
_LONGEST_FIRST: dict[str, list[str]] = {}  # by their first two letters
for _beginning in sorted(_PATTERNS, key=len, reverse=True):
    _LONGEST_FIRST.setdefault(_beginning[:2], []).append(_beginning)
_BEGINNING = re.compile("|".join(map(re.escape, _PATTERNS)))


def _is_distinct(beginning: str) -> bool:
    """Say whether a beginning is one that no word has within it."""
    return len(beginning) > 3 and beginning[-1] in "-_./" and beginning != "key-"


def _as_bytes(pattern: re.Pattern[str]) -> re.Pattern[bytes]:
    return re.compile(pattern.pattern.encode(), pattern.flags & re.IGNORECASE)


def _in_run(beginning: str, rest: str) -> str:
    """Return what of a key a run and what stands shortly before it show."""
    if _is_distinct(beginning):
        return re.escape(beginning)
    return re.escape(beginning) + (r"[A-Za-z0-9_-]{8}" if beginning in ("eyJ", "SG.") else rest)


# What a part of a key begins with, its letters, and all of it. To look for each beginning whose letters are there is
# many times faster than one pattern for all, which tries every one at every letter: hexadecimal data is one long run.
_SUSPICIOUS: list[tuple[bytes, frozenset[int], re.Pattern[bytes]]] = [
    (beginning.encode(), frozenset(beginning.encode()), re.compile(pattern.encode()))
    for beginning, pattern in (
        *((beginning, _in_run(beginning, token.rest)) for token in rules.TOKENS for beginning in token.beginnings),
        *((word, re.escape(word)) for word in ("PuTTY-User-Key", "T3BlbkFJ", "JQQJ99", ":AA", ".atlasv1.")),
        ("-us", "-us[0-9]"),
        ("pat", r"pat[A-Za-z0-9]{14}\."),
        (".", r"\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{20}"),
    )
]
_SUSPICIOUS_LETTERS = frozenset(letter for _, letters, _ in _SUSPICIOUS for letter in letters)
# How the names of `rules.QUOTED` end, and what may stand between them and a value.
_NAME_ENDINGS = frozenset(
    (b"word", b"sswd", b"rase", b"pwd", b"cret", b"key", b"oken", b"ture", b"ring", b"tion", b"tial", b"okie", b"asic")
)
_AFTER_NAME = b"\"'`\\ \t:=>[]"
_NAME_ENDING = 80
_JOINS = b"./:"  # within keys, but in no run
_IN_BASE64 = b"+/"
_EQUALS = ord("=")
_BASE64_BUT_EQUALS = _BASE64.replace(b"=", b"")
_DATA_GOES_ON = (b"+", b"/")
_NAMED = [_as_bytes(pattern) for pattern in (rules.QUOTED, rules.BARE, rules.COOKIE, rules.AWS_SECRET)]
_LOOSELY_QUOTED = re.compile(
    rb"(?:passw(?:or)?d|secret)s?(?:[_-]?key)?\\*[\"']\s{0,3}:\s{0,3}\\*[\"'](?!\[REDACTED)[^\"\\*]{6}"
)
_BEARER = _as_bytes(rules.BEARER)
_PARAMETERS = [
    (mark, re.compile(re.escape(mark) + rb"(?:3[fF]|26)?(?=([\w.%\[\]-]{1,100}?)(?:=|%3[dD]))"))
    for mark in (b"?", b"#", b"&", b"%")
]
_END_OF_URL = re.compile(rb"[\s\"'<>`\\]")
_LONGEST_USER = 2100


def find_secrets(text: str) -> list[Found]:
    """Return the secrets in a text, in order, none overlapping another."""
    if len(text) < _SHORTEST_RUN and (len(text) < _SHORTEST_SECRET or _IN_SHORT.search(text) is None):
        return []
    if not may_hold_secret(text.encode("utf-8", "surrogatepass")):
        return []
    low = text.lower()
    if len(low) != len(text):  # a letter whose small form is longer: İ
        low = "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)
    found = [*_tokens(text), *_inner(text), *_named(text, low), *_private_keys(text)]
    if "base64," in text:
        data = [match.span() for match in _DATA_URL.finditer(text)]
        found = [one for one in found if not any(start <= one.start < end for start, end in data)]
    found += [Found(start, end, "url") for start, end in secrets_in_urls(text)]
    return without_overlap(found)


def _tokens(text: str) -> Iterator[Found]:
    position = 0
    rejected: dict[rules.Token, int] = {}
    while begun := _BEGINNING.search(text, position):
        position = begun.start() + 1
        token = _token_at(text, begun.start(), rejected)
        if token is not None:
            yield token
            position = token.end


def _token_at(text: str, start: int, rejected: dict[rules.Token, int]) -> Found | None:
    """Return the key that begins here.

    Args:
        text: The text.
        start: Where one may begin.
        rejected: To where there is no key of a kind: what does not look right as a whole does not either in part.
    """
    begins_word = _begins_word(text, start)
    for beginning in _LONGEST_FIRST[text[start : start + 2]]:
        if not text.startswith(beginning, start) or not (begins_word or _is_distinct(beginning)):
            continue
        for token, pattern in _PATTERNS[beginning]:
            match = pattern.match(text, start) if start >= rejected.get(token, 0) else None
            if match is None:
                continue
            if token.looks_right is None or token.looks_right(match[0]):
                return Found(start, match.end(), token.kind)
            rejected[token] = match.end()
    return None


def _begins_word(text: str, start: int) -> bool:
    before = text[start - 1 : start]
    if not (before.isascii() and before.isalnum()):
        return True
    return rules.ESCAPE_BEFORE.search(text, max(0, start - 6), start) is not None


def _inner(text: str) -> Iterator[Found]:
    for has, (kind, pattern) in zip(rules.INNER_MARKS, rules.INNER, strict=True):
        if has in text:
            for match in pattern.finditer(text):
                yield Found(*match.span(), kind)


def _named(text: str, low: str) -> Iterator[Found]:
    """Find what has a telling name before it."""
    for stem in rules.NAME_STEMS:
        start = low.find(stem)
        while start >= 0:
            if match := rules.AWS_SECRET.match(text, start):
                yield Found(*match.span("secret"), "aws-secret-key")
            if (match := rules.COOKIE.match(text, start)) and rules.is_random(match["secret"]):
                yield Found(*match.span("secret"), "cookie")
            match = _named_value(text, start)
            if match is not None:
                yield Found(*match.span("secret"), "credential")
            start = low.find(stem, start + len(stem))
    start = low.find("bearer")
    while start >= 0:
        match = rules.BEARER.match(text, start)
        if match and rules.is_bearer(match["secret"]):
            yield Found(*match.span("secret"), "bearer-token")
        start = low.find("bearer", start + len("bearer"))


def _named_value(text: str, start: int) -> re.Match[str] | None:
    match = rules.QUOTED.match(text, start)
    if match is not None and rules.is_value(match["secret"]):
        return match
    match = rules.BARE.match(text, start)
    return match if match is not None and rules.is_random(match["secret"]) else None


def _private_keys(text: str) -> Iterator[Found]:
    if any(has in text for has in rules.PRIVATE_KEY_MARKS):
        for match in rules.PRIVATE_KEY.finditer(text):
            yield Found(*match.span(), "private-key")


def may_hold_secret(data: bytes | memoryview) -> bool:
    """Say whether UTF-8 text, or JSON, may hold a secret. Takes about 5 ns a byte; errs on the safe side.

    What `find_secrets` finds in a string is suspicious also where the string is part of JSON, whatever stands around.
    """
    data = bytes(data)
    low = data.lower()
    return _has_suspicious_run(data, low) or _has_word(data, low) or _has_url_secret(data)


def _has_suspicious_run(data: bytes, low: bytes) -> bool:
    marked = data.translate(_IN_RUN)
    runs: set[bytes] = set()
    named: dict[bytes, int] = {}
    start = marked.find(_RUN)
    while start >= 0:
        end = marked.find(b" ", start + _SHORTEST_RUN)
        end = end if end >= 0 else len(data)
        last = data[start - 1] if start else 0
        runs.add(data[max(0, start - _BEFORE) : end] if last in _JOINS else data[start:end])
        if last in _AFTER_NAME or last in _IN_BASE64:
            before = low[max(0, start - (_NAME_ENDING if last in _AFTER_NAME else _NAME_BEFORE)) : start]
            name = before.rstrip(_BASE64_BUT_EQUALS if last in _IN_BASE64 else b"").rstrip(_AFTER_NAME)[-4:]
            if name in _NAME_ENDINGS or name[-3:] in _NAME_ENDINGS or (last == _EQUALS and b"cookie" in before):
                named.setdefault(data[max(0, start - _NAME_BEFORE) : end], start)
        if data[end : end + 1] in _DATA_GOES_ON:
            end = _end_of_data(data, end)
        start = marked.find(_RUN, end)
    if _is_suspicious(b" ".join(runs)):
        return True
    return any(_is_named(data, start) for start in named.values())


def _is_suspicious(runs: bytes) -> bool:
    missing = frozenset(letter for letter in _SUSPICIOUS_LETTERS if letter not in runs)
    return any(
        missing.isdisjoint(letters) and _holds(runs, beginning, pattern) for beginning, letters, pattern in _SUSPICIOUS
    )


def _holds(data: bytes, beginning: bytes, pattern: re.Pattern[bytes]) -> bool:
    start = data.find(beginning)
    while start >= 0:
        if pattern.match(data, start):
            return True
        start = data.find(beginning, start + 1)
    return False


def _end_of_data(data: bytes, end: int) -> int:
    """Return where the base64 ends that a run is part of, where it is long, so that no other run of it is looked at."""
    if data[end : end + _LONG_DATA].translate(None, _BASE64):
        return end
    stop = data.find(b'"', end)
    stop = stop if stop >= 0 else len(data)
    return end if data[end:stop].translate(None, _BASE64) else stop


def _is_named(data: bytes, start: int) -> bool:
    """Say whether a name before a run tells that it is a secret."""
    text = data[max(0, start - _NAME_BEFORE) : start + _BEHIND]
    return any(pattern.search(text) for pattern in _NAMED)


def _has_word(data: bytes, low: bytes) -> bool:
    """Say whether a word stands there that makes also a short text behind it a secret."""
    # From behind: there the search skips by a word's first letter, which is rarer than its last in these.
    for word in (b"passw", b"secret"):
        start = low.rfind(word)
        while start >= 0:
            if _LOOSELY_QUOTED.match(low, start) or any(pattern.match(data, start) for pattern in _NAMED):
                return True
            start = low.rfind(word, 0, start)
    start = low.rfind(b"bearer")
    while start >= 0:
        match = _BEARER.match(data, start)
        if match and rules.is_bearer(match["secret"].decode()):
            return True
        start = low.rfind(b"bearer", 0, start)
    if data.rfind(b"PRIVATE KEY") >= 0:
        return True
    start = data.find(b"~")
    while start >= 0:
        if data[start - 1 : start] == b"Q":
            return True
        start = data.find(b"~", start + 1)
    return False


def _has_url_secret(data: bytes) -> bool:
    start = data.find(b"@")
    while start >= 0:
        begin = data.rfind(b"/", max(0, start - _LONGEST_USER), start)
        if (
            begin > 1
            and data[begin - 1 : begin] in (b"/", b"\\")
            and _END_OF_URL.search(data, begin + 1, start) is None
        ):
            return True
        start = data.find(b"@", start + 1)
    for mark, pattern in _PARAMETERS:
        names = {match[1] for match in pattern.finditer(data)} if mark in data else ()
        if any(is_secret_parameter(name.decode()) for name in names):
            return True
    return False
