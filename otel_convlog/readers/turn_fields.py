"""The attributes of a turn's span, by what they mean."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import SpanLimits

from otel_convlog import attributes as names
from otel_convlog.jsontext import from_json, from_wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_convlog.jsontext import Json


@cache
def _length_limit() -> int | None:
    """Return the number of characters that the SDK leaves of a text, as its variables say."""
    limit = SpanLimits().max_span_attribute_length
    return limit if isinstance(limit, int) and limit > 0 else None


class TurnFields:
    """A span's attributes by their meaning; notes those of which something was cut off.

    Attributes:
        attributes: The attributes themselves.
        truncated: The fields that a limit of the SDK has cut, by their names in the log.
        bounded: The fields of which the capture has kept only the beginning.
    """

    def __init__(self, attributes: Mapping[str, object]) -> None:
        self.attributes = attributes
        self.truncated: list[Json] = []
        self._raw = frozenset(_listed(attributes.get(names.RAW)))
        self.bounded: list[Json] = [*_listed(attributes.get(names.BOUNDED))]
        self._known: dict[str, Json] = {}  # what texts that were decoded say, since several may be the same
        exact = self.json(names.EXACT, {})
        self._exact = exact if isinstance(exact, dict) else {}
        limit = _length_limit()
        texts = [value for value in attributes.values() if isinstance(value, str)] if limit is not None else []
        # Where something is longer, this span's tracer has other limits than the SDK's variables say.
        self._limit = limit if all(len(text) <= (limit or 0) for text in texts) else None

    def plain(self, name: str) -> Json:
        """Return a field that is usually text; what is not stands, exactly, in one attribute beside."""
        value = self._exact.get(name, self.attributes.get(name, ""))
        if isinstance(value, str):
            self._note_cut(value, name)
        return value if value is None or isinstance(value, (str, int, float)) else str(value)

    def json(self, name: str, default: Json = None) -> Json:
        """Return a field that is JSON text; the text itself where it has been cut."""
        text = self.attributes.get(name)
        if name in self._raw and isinstance(text, str):
            return self._body(text, name)
        return self.decoded(text, name, default)

    def decoded(self, text: object, name: str, default: Json) -> Json:
        """Decode JSON text that belongs to the field or event of that name."""
        if not isinstance(text, (str, bytes)):
            return default
        try:
            return from_json(text)
        except ValueError:
            self.truncated.append(name.removeprefix(names.PREFIX))
            return text if isinstance(text, str) else text.decode("utf-8", "replace")

    def _body(self, text: str, name: str) -> Json:
        """Return what a body says that is as it was on the wire."""
        self._note_cut(text, name)
        if text not in self._known:
            self._known[text] = self._with_known_end(text)
        return self._known[text]

    def _with_known_end(self, text: str) -> Json:
        """Decode a body. Where the proxy passes the client's request on, the upstream's ends in it: that is known."""
        request = self.attributes.get(names.CLIENT_REQUEST)
        if isinstance(request, str) and request in self._known and text.endswith(f',"body":{request}}}'):
            holder = from_wire(text[: -len(request) - len(',"body":}')].encode() + b"}")
            if isinstance(holder, dict):
                return {**holder, "body": self._known[request]}
        return from_wire(text.encode())

    def _note_cut(self, text: str, name: str) -> None:
        if len(text) == self._limit:
            self.truncated.append(name.removeprefix(names.PREFIX))


def _listed(value: object) -> list[str]:
    return value.split(",") if isinstance(value, str) and value else []
