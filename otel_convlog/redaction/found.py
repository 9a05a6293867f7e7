"""What has been found in a text, and the text without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Found(NamedTuple):
    """A secret in a text: where, and of what kind."""

    start: int
    end: int
    kind: str


def replaced(text: str, secrets: Iterable[Found]) -> str:
    """Return a text with ``[REDACTED:kind]`` in the place of its secrets, which do not overlap and are in order."""
    pieces: list[str] = []
    end = 0
    for secret in secrets:
        pieces += (text[end : secret.start], mark(secret.kind))
        end = secret.end
    pieces.append(text[end:])
    return "".join(pieces)


def mark(kind: str) -> str:
    """Return what stands in the place of a secret."""
    return f"[REDACTED:{kind}]"


def without_overlap(found: Iterable[Found]) -> list[Found]:
    """Return secrets in order, those that overlap as one of the kind of the first."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if kept and one.start < kept[-1].end:
            kept[-1] = kept[-1]._replace(end=max(kept[-1].end, one.end))
        else:
            kept.append(one)
    return kept
