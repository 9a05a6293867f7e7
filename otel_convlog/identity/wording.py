"""What of a text stays the same when a client sends it again."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import normalize

if TYPE_CHECKING:
    from collections.abc import Iterable

# Whole blocks that clients put into what the user or a tool says, and take out again.
_PASSING_TAGS = ("system-reminder", "environment_details")
_THOUGHTS = ("<think>", "</think>")

# The first bytes, in UTF-8, of accents behind their letters and of the parts of Korean syllables, which Unicode's
# composed form has as one. Single bytes: a search for several costs ten times as much.
_DECOMPOSED = (b"\xcc", b"\xcd", b"\xe1")


def lasting(text: str, *, assistant: bool) -> bytes:
    """Return what of a text stays the same, as bytes that compare.

    Args:
        text: All that one side says without a break.
        assistant: Whether the model says it.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if not assistant:
        if "<" in text:
            text = _without_blocks(text, _PASSING_TAGS)
    elif "<" in text:
        text = _without_thoughts(text)
    text = text.strip()
    said = text.encode("utf-8", "surrogatepass")
    if not text.isascii() and any(mark in said for mark in _DECOMPOSED):
        return normalize("NFC", text).encode("utf-8", "surrogatepass")
    return said


def _without_thoughts(text: str) -> str:
    """Return an answer without what was thought before it, unless it is all that there is.

    Some chat templates have the opening tag in the prompt, so that the answer has the closing one alone.
    """
    thought, _, said = text.partition(_THOUGHTS[1])
    begins = _THOUGHTS[0] not in thought or thought.lstrip().startswith(_THOUGHTS[0])
    return said if said and begins else text


def _without_blocks(text: str, tags: Iterable[str]) -> str:
    """Return text without the blocks of these tags, and without the white space that came with them. Linear."""
    for tag in tags:
        start_tag, end_tag = f"<{tag}>", f"</{tag}>"
        start = text.find(start_tag)
        if start < 0:
            continue
        kept: list[str] = []
        position = 0
        while start >= 0 and (end := text.find(end_tag, start)) >= 0:
            before, position = text[position:start], end + len(end_tag)
            start = text.find(start_tag, position)
            after = text[position : start if start >= 0 else len(text)]
            # Of the white space on both sides one was there before.
            if len(before) - len(before.rstrip()) < len(after) - len(after.lstrip()):
                before = before.rstrip()
            else:
                position += len(after) - len(after.lstrip())
            kept.append(before)
        kept.append(text[position:])
        text = "".join(kept)
    return text
