"""Which items of two sequences belong together, at a cost that is bounded whatever they are."""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


# Pairs of equal items that difflib may have to look at, again and again: a thousand lines of two kinds have half a
# million, and take it eight seconds. Texts and JSON that people and programs write have few.
_MOST_PAIRS = 50_000


def opcodes(left: Sequence[Hashable], right: Sequence[Hashable]) -> list[tuple[str, int, int, int, int]]:
    """Return how to make the right sequence of the left one, as `difflib.SequenceMatcher.get_opcodes` has it.

    Items that are the same at both ends belong together. Where those between have too many equals among one another,
    they are not looked at: all of them are replaced.
    """
    start = common_length(left, right)
    end = common_length(left[start:][::-1], right[start:][::-1])
    last_left, last_right = len(left) - end, len(right) - end
    between = _between(left[start:last_left], right[start:last_right])
    found = [(tag, start + a, start + b, start + c, start + d) for tag, a, b, c, d in between]
    before = [("equal", 0, start, 0, start)] if start else []
    return before + found + ([("equal", last_left, len(left), last_right, len(right))] if end else [])


def common_length(left: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """Return how many items, or characters, two sequences begin with that are the same."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _between(left: Sequence[Hashable], right: Sequence[Hashable]) -> list[tuple[str, int, int, int, int]]:
    if not left and not right:
        return []
    counts = Counter(right)
    if sum(counts[item] for item in left) <= _MOST_PAIRS:
        return list(SequenceMatcher(None, left, right, autojunk=False).get_opcodes())
    return [("replace", 0, len(left), 0, len(right))]
