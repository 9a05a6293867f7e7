"""A user's own patterns (``OTEL_EXPORTER_CONVLOG_REDACT_PATTERNS``): a file of regular expressions.

Python's own ``re`` cannot be interrupted, and a pattern like ``(a+)+b`` may keep it, and every thread of the process,
busy for years. So they are run by the package ``regex``, which has a time limit (``otel-convlog[patterns]``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from otel_convlog.redaction.found import Found

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,63}):[ \t]+(.+)")
_TEXT_S = 0.1
TURN_S = 2.0
_MOST_BYTES = 1 << 20


class PatternError(ValueError):
    """A file of patterns cannot be used."""


class PatternTimeoutError(Exception):
    """A pattern takes too long."""


@dataclass(frozen=True)
class UserPatterns:
    """Patterns that have been read from a file.

    Attributes:
        patterns: What ``[REDACTED:…]`` says, and the compiled expression.
    """

    patterns: Sequence[tuple[str, Any]] = ()

    def find(self, text: str, deadline: float) -> Iterator[Found]:
        """Yield what the patterns match in a text.

        Args:
            text: The text.
            deadline: When the turn's time is over, by `monotonic`.

        Raises:
            PatternTimeoutError: One of them takes too long for it, or the turn's time is over.
        """
        for kind, pattern in self.patterns:
            if (left := min(deadline - monotonic(), _TEXT_S)) <= 0:
                raise PatternTimeoutError(f"pattern {kind}: the time for one turn is over")
            try:
                for match in pattern.finditer(text, timeout=left, concurrent=True):
                    if match.end() > match.start():
                        yield Found(match.start(), match.end(), kind)
            except TimeoutError:
                raise PatternTimeoutError(f"pattern {kind}: no end within {left:.1f} s") from None


def read_patterns(path: Path) -> UserPatterns:
    """Read a file of patterns: one a line, with its kind before it (``kind: pattern``) or none; ``#`` begins a comment.

    Raises:
        PatternError: It cannot be read, one of its lines is no regular expression, or there is no package to run them.
    """
    try:
        import regex  # noqa: PLC0415  an extra, needed only for this
    except ImportError:
        raise PatternError("needs the package regex: pip install 'otel-convlog[patterns]'") from None
    try:
        with path.open("rb") as file:
            lines = file.read(_MOST_BYTES + 1).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PatternError(f"cannot be read ({error})") from error
    patterns: list[tuple[str, Any]] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        named = _NAMED.fullmatch(text)
        kind, expression = (named[1], named[2]) if named else (f"pattern-{number}", text)
        try:
            patterns.append((kind, regex.compile(expression)))
        except regex.error as error:
            raise PatternError(f"has no regular expression in line {number} ({error})") from error
    return UserPatterns(tuple(patterns))
