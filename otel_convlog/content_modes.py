"""Which of the three ways to treat content holds for a turn (docs/privacy.md, "Content")."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from otel_convlog.record import TurnRecord

FULL: Final = "full"
METADATA: Final = "metadata"
NONE: Final = "none"
_MODES = (NONE, METADATA, FULL)  # from the least to the most

HEADER: Final = "x-convlog-content"


@dataclass(frozen=True)
class ContentModes:
    """How much content is written, by route.

    Attributes:
        default: ``full``, ``metadata`` or ``none``, for routes that are not named.
        routes: The same for each that is.
    """

    default: str = FULL
    routes: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def parse(cls, text: str) -> ContentModes:
        """Read them from a setting: a mode, and ``route=mode`` for routes of their own, with commas.

        Raises:
            ValueError: It names another mode.
        """
        default, routes = FULL, {}
        for part in filter(None, map(str.strip, text.split(","))):
            route, equals, mode = part.rpartition("=")
            if (mode := mode.strip().lower()) not in _MODES:
                raise ValueError(f"must be {FULL}, {METADATA} or {NONE}, or route={METADATA}, with commas")
            if equals:
                routes[route.strip()] = mode
            else:
                default = mode
        return cls(default, tuple(routes.items()))

    def at_most(self, mode: str) -> ContentModes:
        """Return the modes with none that allows more than this one."""
        routes = tuple((route, min(given, mode, key=_MODES.index)) for route, given in self.routes)
        return ContentModes(min(self.default, mode, key=_MODES.index), routes)

    def mode(self, record: TurnRecord) -> str:
        """Return a turn's mode: its route's, or a smaller one that its client has asked for by a header.

        A client that asks for something that is no mode gets the least: it did not want all to be written.
        """
        mode = dict(self.routes).get(str(record.route), self.default)
        headers = record.request_headers
        for name, value in headers.items() if isinstance(headers, dict) else ():
            if name.strip().lower() == HEADER:
                wishes = [wish.strip().lower() for wish in str(value).split(",")]
                mode = min(mode, *(wish if wish in _MODES else NONE for wish in wishes), key=_MODES.index)
        return mode
