"""Places in a request, as settings name them: ``header:x-tenant``, ``body:metadata.user``, ``attribute:a.b``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACES = ("header", "body", "attribute")
_LARGEST = 1 << 63


@dataclass(frozen=True)
class RequestField:
    """A place in a request where an operator's value stands.

    Attributes:
        place: ``header``, ``body``, or ``attribute`` (of the span).
        name: The header's name in small letters, the path of keys in the body, or the attribute's name.
    """

    place: str
    name: str

    @classmethod
    def parse(cls, text: str) -> RequestField:
        """Read one from a setting.

        Raises:
            ValueError: It names no place.
        """
        place, colon, name = text.strip().partition(":")
        place, name = place.strip().lower(), name.strip()
        if not (colon and name and place in _PLACES):
            raise ValueError(f"{text!r} is none of header:…, body:…, attribute:…")
        return cls(place, name.lower() if place == "header" else name)

    def value(self, request: object, headers: object, attributes: Mapping[str, str]) -> object:
        """Return what stands there; None where there is nothing.

        Args:
            request: The request's body.
            headers: Its headers. The value is a list where the name stands several times, in other letters.
            attributes: The span's.
        """
        if self.place == "attribute":
            return attributes.get(self.name)
        if self.place == "header":
            pairs = headers.items() if isinstance(headers, dict) else ()
            values = [value for name, value in pairs if name.lower() == self.name]
            return values[0] if len(values) == 1 else values or None
        value, rest = request, self.name
        while isinstance(value, dict) and rest:
            if rest in value:  # a key may have dots itself
                return value[rest]
            key, _, rest = rest.partition(".")
            value = value.get(key)
        return None if rest else value


def text_of(value: object) -> str | None:
    """Return text that is not blank, stripped, and a whole number as its text; None for all else."""
    if isinstance(value, str):
        return value.strip() or None
    # Python refuses to write integers of thousands of digits, and takes long for those that it does not refuse.
    return str(value) if type(value) is int and abs(value) < _LARGEST else None


def lowered(headers: object) -> dict[str, object]:
    """Return headers by their names in small letters; of a name that stands twice the first."""
    names: dict[str, object] = {}
    for name, value in headers.items() if isinstance(headers, dict) else ():
        names.setdefault(name.lower(), value)
    return names
