"""The tab Raw: a turn's JSON as a tree that folds and can be searched, however large it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from otel_convlog.jsontext import to_json
from otel_convlog.reading.harmless import harmless
from otel_convlog.viewer.query import whole_number
from otel_convlog.viewer.templates import render

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_convlog.jsontext import Json
    from otel_convlog.viewer.chosen import ChosenTurn

STEP = 200  # children that are shown together
_BUDGET = 300  # nodes of one answer that are written out; the others are fetched when they are opened
_OPEN_LEVELS = 2
_DEEPEST = 40  # levels of one answer; what is deeper is fetched when it is opened
_LONGEST_TEXT = 2_000  # characters of a value in the tree
_MOST_FOUND = 200
_MOST_LOOKED_AT = 2_000_000  # values
_AROUND = 60


@dataclass
class Node:
    """A value in the tree.

    Attributes:
        key: Its name or index in what holds it; None for the root.
        pointer: Where it stands (RFC 6901).
        kind: ``object``, ``array``, ``string``, ``number``, ``boolean`` or ``null``.
        text: A scalar's JSON, its beginning where it is long.
        size: A text's characters, or how many children there are.
        children: Those that are written out; None where they are fetched.
        more_from: The index of the first child that is not; None where all are.
        is_open: Whether it is shown unfolded.
    """

    key: str | int | None
    pointer: str
    kind: str
    text: str
    size: int
    children: list[Node] | None = None
    more_from: int | None = None
    is_open: bool = False


@dataclass(frozen=True)
class Hit:
    """A place where the wanted text was found, in a key or a value."""

    pointer: str
    before: str
    found: str
    behind: str


@dataclass
class _Budget:
    left: int = field(default=_BUDGET)


class NoSuchPlaceError(LookupError):
    """The turn has nothing at that place."""


def panel(chosen: ChosenTurn, query: Mapping[str, str]) -> str:
    """Return the tab's HTML; ``at`` is the place of its root, ``find`` what to look for."""
    turn = chosen.read()
    pointer, wanted = query.get("at", ""), query.get("find", "").strip()
    hits, is_all = find(turn, wanted) if wanted else ([], True)
    return render(
        "inspector/raw.html",
        conversation_id=chosen.conversation.conversation_id,
        place=chosen.place,
        at=pointer,
        parents=_parents(pointer),
        node=_node(_at(turn, pointer), None, pointer, 0, _Budget()),
        find=wanted,
        hits=hits,
        is_all=is_all,
    )


def children(chosen: ChosenTurn, query: Mapping[str, str]) -> str:
    """Return the HTML of what is in the value at ``at``, from the index ``from`` on."""
    pointer = query.get("at", "")
    value = _at(chosen.read(), pointer)
    node = Node(None, pointer, _kind(value), "", 0)
    _fill(node, value, whole_number(query, "from") or 0, _OPEN_LEVELS, _Budget())
    return render(
        "inspector/nodes.html",
        conversation_id=chosen.conversation.conversation_id,
        place=chosen.place,
        node=node,
    )


def value_text(turn: dict[str, Json], pointer: str) -> bytes:
    """Return the JSON of the value at a place.

    Raises:
        NoSuchPlaceError: There is nothing.
    """
    return to_json(_at(turn, pointer))


def find(value: Json, wanted: str) -> tuple[list[Hit], bool]:
    """Find a text in the names and values of JSON, whatever its capitals are.

    Returns:
        Where it is, in order, and whether these are all places.
    """
    hits: list[Hit] = []
    lowered = wanted.lower()
    for number, (pointer, key, item) in enumerate(_walk(value)):
        if len(hits) >= _MOST_FOUND or number >= _MOST_LOOKED_AT:
            return hits, False
        if isinstance(key, str) and lowered in key.lower():
            hits.append(_hit(pointer, key, lowered))
        elif not isinstance(item, (dict, list)):
            text = item if isinstance(item, str) else _json(item)
            if lowered in text.lower():
                hits.append(_hit(pointer, text, lowered))
    return hits, True


def _walk(value: Json) -> Iterator[tuple[str, str | int | None, Json]]:
    waiting: list[tuple[str, str | int | None, Json]] = [("", None, value)]
    while waiting:
        pointer, key, item = waiting.pop()
        yield pointer, key, item
        if isinstance(item, dict):
            waiting += [(_inner(pointer, name), name, inner) for name, inner in reversed(item.items())]
        elif isinstance(item, list):
            waiting += [(f"{pointer}/{index}", index, item[index]) for index in range(len(item) - 1, -1, -1)]


def _hit(pointer: str, text: str, lowered: str) -> Hit:
    start = text.lower().find(lowered)
    end = start + len(lowered)  # near enough where a letter's small form is longer
    before = ("…" if start > _AROUND else "") + text[max(0, start - _AROUND) : start]
    behind = text[end : end + _AROUND] + ("…" if len(text) > end + _AROUND else "")
    return Hit(pointer, harmless(before), harmless(text[start:end]), harmless(behind))


def _node(value: Json, key: str | int | None, pointer: str, depth: int, budget: _Budget) -> Node:
    budget.left -= 1
    kind = _kind(value)
    if isinstance(value, (dict, list)):
        node = Node(key, pointer, kind, "", len(value), is_open=depth < _OPEN_LEVELS)
        if not value:
            node.children = []
        elif node.is_open or (depth < _DEEPEST and len(value) <= budget.left // 4):
            _fill(node, value, 0, depth, budget)
        return node
    if not isinstance(value, str):
        return Node(key, pointer, kind, _json(value)[:_LONGEST_TEXT], 0)
    text = _json(value) if len(value) <= _LONGEST_TEXT else _json(value[:_LONGEST_TEXT])[:-1]  # no closing mark
    return Node(key, pointer, kind, harmless(text), len(value))


def _fill(node: Node, value: Json, start: int, depth: int, budget: _Budget) -> None:
    """Write out the children of a node, as many as go in one step."""
    found: list[tuple[str | int, str, Json]] = []
    if isinstance(value, dict):
        names = list(value)[start : start + STEP]
        found += [(name, _inner(node.pointer, name), value[name]) for name in names]
    elif isinstance(value, list):
        items = enumerate(value[start : start + STEP], start)
        found += [(index, f"{node.pointer}/{index}", item) for index, item in items]
    count = len(value) if isinstance(value, (dict, list)) else 0
    node.children = [_node(item, key, pointer, depth + 1, budget) for key, pointer, item in found]
    node.more_from = start + len(found) if start + len(found) < count else None
    node.size = count


def _at(value: Json, pointer: str) -> Json:
    """Return the value at a place.

    Raises:
        NoSuchPlaceError: There is nothing.
    """
    for token in pointer.split("/")[1:]:
        name = _name(token)
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name[:12]) < len(value):
            value = value[int(name[:12])]
        else:
            raise NoSuchPlaceError(pointer)
    return value


def _inner(pointer: str, name: str) -> str:
    # Quoted besides what RFC 6901 asks for, so that it can stand in an address and in an attribute whatever it holds.
    return f"{pointer}/{quote(name.replace('~', '~0').replace('/', '~1'), safe='~', errors='surrogatepass')}"


def _name(token: str) -> str:
    return unquote(token, errors="surrogatepass").replace("~1", "/").replace("~0", "~")


def _parents(pointer: str) -> list[tuple[str, str]]:
    """Return the places above a place, and itself: of each what it is called, and where it is."""
    tokens = pointer.split("/")[1:]
    names = [_name(token) for token in tokens]
    return [("turn", "")] + [(name, "/" + "/".join(tokens[:end])) for end, name in enumerate(names, 1)]


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    for kinds, name in ((bool, "boolean"), ((int, float), "number"), (str, "string"), (dict, "object")):
        if isinstance(value, kinds):
            return name
    return "array"


def _json(value: Json) -> str:
    return to_json(value).decode("utf-8", "replace").strip()
