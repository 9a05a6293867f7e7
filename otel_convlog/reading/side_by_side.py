"""Two values of JSON as lines beside one another, with what differs.

They are compared by their structure, not line by line: what stands at the same place is compared, whatever moved around
it, and the cost grows with their size alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal, TypeAlias

from otel_convlog.jsontext import to_json
from otel_convlog.reading.matching import common_length, opcodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_convlog.jsontext import Json

Kind: TypeAlias = Literal["same", "changed", "added", "removed"]

_DEEPEST = 100  # levels that are compared; what is deeper is compared as a whole


@dataclass(frozen=True)
class Line:
    """A line of one value, or of both.

    Attributes:
        kind: What has become of it.
        left: As the earlier value has it; None where it has no such line.
        right: As the later one has it.
        same_start: How many characters of a changed line are the same in both at its beginning; `same_end` at its end.
    """

    kind: Kind
    left: str | None
    right: str | None
    same_start: int = 0
    same_end: int = 0


def side_by_side(left: Json, right: Json) -> Iterator[Line]:
    """Yield the lines of two values, indented as JSON is.

    Its commas are left out, which would differ where nothing else does. A text of several lines has as many here,
    between three quotation marks.
    """
    return _pair("", left, right, 0)


def one_side(value: Json, kind: Kind) -> Iterator[Line]:
    """Yield the lines of a value to which there is no other."""
    return _one("", value, 0, kind)


def text_lines(left: str, right: str) -> Iterator[Line]:
    """Yield the lines of two texts."""
    before, after = left.split("\n"), right.split("\n")
    for tag, a, b, c, d in opcodes(before, after):
        for old, new in zip_longest(before[a:b], after[c:d]):
            if tag == "equal" or (old is not None and new is not None):
                yield _line(old or "", new or "")
            else:
                yield Line("added" if old is None else "removed", old, new)


def _pair(key: str, left: Json, right: Json, depth: int) -> Iterator[Line]:
    indent = "  " * depth
    if _same(left, right):
        yield from (Line("same", line, line) for line in _lines(key, left, depth))
    elif depth < _DEEPEST and isinstance(left, dict) and isinstance(right, dict) and left and right:
        yield _line(f"{indent}{key}{{", f"{indent}{key}{{")
        for name in (*left, *(name for name in right if name not in left)):
            yield from _entry(left, right, name, depth + 1)
        yield _line(f"{indent}}}", f"{indent}}}")
    elif depth < _DEEPEST and isinstance(left, list) and isinstance(right, list) and left and right:
        yield _line(f"{indent}{key}[", f"{indent}{key}[")
        for a, c in _matched(left, right):
            if a is None or c is None:
                yield from _one(
                    "", right[c or 0] if a is None else left[a], depth + 1, "added" if a is None else "removed"
                )
            else:
                yield from _pair("", left[a], right[c], depth + 1)
        yield _line(f"{indent}]", f"{indent}]")
    elif isinstance(left, str) and isinstance(right, str) and ("\n" in left or "\n" in right):
        yield _line(f'{indent}{key}"""', f'{indent}{key}"""')
        for line in text_lines(left, right):
            yield _indented(line, indent + "  ")
        yield _line(f'{indent}"""', f'{indent}"""')
    elif _is_one_line(left) and _is_one_line(right):
        yield _line(f"{indent}{key}{_text(left)}", f"{indent}{key}{_text(right)}")
    else:
        yield from _one(key, left, depth, "removed")
        yield from _one(key, right, depth, "added")


def _entry(left: dict[str, Json], right: dict[str, Json], name: str, depth: int) -> Iterator[Line]:
    key = f"{_text(name)}: "
    if name not in right:
        yield from _one(key, left[name], depth, "removed")
    elif name not in left:
        yield from _one(key, right[name], depth, "added")
    else:
        yield from _pair(key, left[name], right[name], depth)


def _matched(left: Sequence[Json], right: Sequence[Json]) -> Iterator[tuple[int | None, int | None]]:
    """Yield the indexes of items that belong together."""
    for _, a, b, c, d in opcodes([to_json(item) for item in left], [to_json(item) for item in right]):
        yield from zip_longest(range(a, b), range(c, d))


def _line(left: str, right: str) -> Line:
    if left == right:
        return Line("same", left, right)
    start = common_length(left, right)
    end = common_length(left[start:][::-1], right[start:][::-1])
    return Line("changed", left, right, start, end)


def _indented(line: Line, indent: str) -> Line:
    left = None if line.left is None else indent + line.left
    right = None if line.right is None else indent + line.right
    start = line.same_start + len(indent) if line.kind == "changed" else 0
    return Line(line.kind, left, right, start, line.same_end)


def _one(key: str, value: Json, depth: int, kind: Kind) -> Iterator[Line]:
    for line in _lines(key, value, depth):
        yield Line(kind, None if kind == "added" else line, None if kind == "removed" else line)


def _lines(key: str, value: Json, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, str) and "\n" in value:
        yield f'{indent}{key}"""'
        yield from (f"{indent}  {line}" for line in value.split("\n"))
        yield f'{indent}"""'
    elif isinstance(value, dict) and value and depth < _DEEPEST:
        yield f"{indent}{key}{{"
        for name, item in value.items():
            yield from _lines(f"{_text(name)}: ", item, depth + 1)
        yield f"{indent}}}"
    elif isinstance(value, list) and value and depth < _DEEPEST:
        yield f"{indent}{key}["
        for item in value:
            yield from _lines("", item, depth + 1)
        yield f"{indent}]"
    else:
        yield f"{indent}{key}{_text(value)}"


def _text(value: Json) -> str:
    return to_json(value).decode("utf-8", "replace").strip()


def _is_one_line(value: Json) -> bool:
    return "\n" not in value if isinstance(value, str) else not value or not isinstance(value, (dict, list))


def _same(left: Json, right: Json) -> bool:
    # Python holds 1, 1.0 and true to be equal; their JSON differs.
    return left == right and to_json(left) == to_json(right)
