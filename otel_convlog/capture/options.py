"""What is recorded off the wire: arguments of the middleware, else environment variables, else defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.capture.routes import Routes
from otel_convlog.settings import from_environment
from otel_convlog.wire import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class CaptureOptions:
    """What is recorded.

    Attributes:
        routes: Which requests are turns.
        most_bytes: How much of each body is kept.
    """

    routes: Routes
    most_bytes: int

    @classmethod
    def resolve(cls, paths: Mapping[str, str] | None = None, most_bytes: int | None = None) -> CaptureOptions:
        """Settle them.

        Args:
            paths: A path, or its end, and its route's name; by default ``OTEL_EXPORTER_CONVLOG_CAPTURE_PATHS``
                (``/my/llm=chat,/other=mine``).
            most_bytes: By default ``OTEL_EXPORTER_CONVLOG_CAPTURE_BYTES``.

        Raises:
            ValueError: An argument cannot be used. (A variable that cannot be is warned of and ignored.)
        """
        if paths is None:
            paths = from_environment("capture_paths", _paths, "")
        if most_bytes is None:
            most_bytes = from_environment("capture_bytes", _bytes, str(MOST_BYTES))
        elif most_bytes <= 0:
            raise ValueError(f"most_bytes must be a number of bytes, 1 or more, not {most_bytes!r}")
        return cls(Routes(paths), most_bytes)


def _paths(text: str) -> dict[str, str]:
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    if any(not (path.strip() and equals and name.strip()) for path, equals, name in pairs):
        raise ValueError("must be paths with their routes, as in /my/llm=chat")
    return {path.strip(): name.strip() for path, _, name in pairs}


def _bytes(text: str) -> int:
    if not (text.strip().isdecimal() and text.isascii() and int(text) > 0):
        raise ValueError("must be a number of bytes, 1 or more")
    return int(text)
