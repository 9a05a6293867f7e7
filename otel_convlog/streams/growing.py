"""Values that a stream gives in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json

# What names something is said again, not continued.
_NAMES = frozenset({"format", "id", "index", "object", "role", "type"})


class Growing:
    """A value of which pieces come: texts are joined, lists continued, objects filled; anything else is replaced.

    Items of lists that have an ``index`` are continued by those of the same one. These are the rules of OpenAI's client
    library (``openai.lib.streaming._deltas``).
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._entries: dict[str, Growing] = {}
        self._items: dict[int, Growing] = {}
        self._places: dict[int, int] = {}  # of items that have an index
        self._last: Json = None

    def add(self, piece: Json, name: str = "") -> None:
        """Take the next piece; of a null nothing changes.

        Args:
            piece: The piece.
            name: What the value is called.
        """
        if isinstance(piece, str):
            self._texts = [piece] if name in _NAMES else self._texts
            if name not in _NAMES:
                self._texts.append(piece)
        elif isinstance(piece, dict):
            for key, value in piece.items():
                self._entries.setdefault(key, Growing()).add(value, key)
        elif isinstance(piece, list):
            for item in piece:
                self._items.setdefault(self._place_of(item), Growing()).add(item)
        if piece is not None:
            self._last = piece

    def value(self) -> Json:
        """Return what has come of it."""
        if isinstance(self._last, str):
            return "".join(self._texts)
        if isinstance(self._last, dict):
            return {name: entry.value() for name, entry in self._entries.items()}
        if isinstance(self._last, list):
            return [item.value() for _, item in sorted(self._items.items())]
        return self._last

    def _place_of(self, item: Json) -> int:
        end = len(self._items)
        index = item.get("index") if isinstance(item, dict) else None
        return self._places.setdefault(index, end) if isinstance(index, int) else end
