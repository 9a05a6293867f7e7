"""Values of a span's attributes, whatever form they have there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from otel_convlog.jsontext import json_or_none
from otel_convlog.readers.parts import as_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.parts import Object


def plain(value: object) -> Json:
    """Return an attribute's value as JSON: sequences as lists, bytes as text."""
    if isinstance(value, (str, int, float)) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return str(value)


def nested(value: object) -> Json:
    """Return a value that stands as nested attribute values, or as the text of its JSON; other text is None."""
    if isinstance(value, str):
        return json_or_none(value)
    return plain(value)


def text(attributes: Mapping[str, object], *names: str) -> str:
    """Return the first of these attributes that is text and not empty."""
    for name in names:
        if isinstance(value := attributes.get(name), str) and value:
            return value
    return ""


def texts(value: object) -> list[str]:
    """Return a list of text: an attribute that is one, the JSON of one, or one text."""
    if isinstance(value, str):
        read = json_or_none(value) if value[:1] == "[" else value
        value = read if isinstance(read, list) else [value]
    return [as_text(plain(item)) for item in value if item is not None] if isinstance(value, (list, tuple)) else []


def unflattened(attributes: Mapping[str, object], prefix: str) -> Json:
    """Return the attributes under a prefix as the tree that their dotted names describe, numbers as a list's places.

    Returns:
        A list or an object; None where there is none.
    """
    root: Object = {}
    length = len(prefix)
    for name, value in attributes.items():
        if not name.startswith(prefix):
            continue
        *path, last = name[length:].split(".")
        node = root
        for step in path:
            inner = node.get(step)
            if not isinstance(inner, dict):
                inner = node[step] = {} if inner is None else {"": inner}
            node = inner
        node[last] = plain(value)
    return _lists(root) if root else None


def _lists(node: Json) -> Json:
    if not isinstance(node, dict):
        return node
    if all(name.isdecimal() for name in node):
        return [_lists(node[name]) for name in sorted(node, key=int)]
    return {name: _lists(value) for name, value in node.items()}


def first_index(attributes: Iterable[str], prefix: str) -> int:
    """Return the lowest of the numbers that follow a prefix; 0 where there is none."""
    length = len(prefix)
    numbers = [
        int(number)
        for name in attributes
        if name.startswith(prefix) and (number := name[length:].partition(".")[0]).isdecimal()
    ]
    return min(numbers, default=0)
