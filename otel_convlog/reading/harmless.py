"""Logged text, made harmless for whoever reads it on a terminal or a page.

What clients and models have said may hold escape sequences that move the cursor, set the clipboard or rewrite what
stands above, and characters that reverse or hide what follows. They are shown by their numbers.
"""

from __future__ import annotations

import re

# Control characters but for tab and line feed (C0, DEL, C1); marks of direction and invisible ones, but for the joiners
# that Persian and emoji are written with; line and paragraph separators; tags; halves of surrogate pairs.
_HARMFUL = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def harmless(text: str) -> str:
    r"""Return text with such characters as ``\x1b`` or ``\u202e``; carriage returns before line feeds go."""
    return _HARMFUL.sub(_by_number, text.replace("\r\n", "\n"))


def harmless_line(text: str, width: int | None = None) -> str:
    """Return text as one line, cut to a width where one is given."""
    if width is not None:
        text = text[: 2 * width + 200]
    line = " ".join(harmless(text).split())
    return line if width is None or len(line) <= width else line[: max(0, width - 1)] + "…"


def harmless_json(text: str) -> str:
    r"""Return JSON text that says the same, with such characters as their ``\uXXXX``."""
    return _HARMFUL.sub(_json_escape, text)


def _by_number(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _json_escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 0x10000:
        return f"\\u{number:04x}"
    number -= 0x10000
    return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"
