"""The warning where limits of the SDK, or of the capture, have cut turns."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json

_logger = logging.getLogger(__name__)

# The variables whose limits lose something of a turn, by the kind of it in otel.lost.
_LIMITS = {
    "messages": "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "attributes": "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT (or OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT, OTEL_ATTRIBUTE_COUNT_LIMIT)",
    "events": "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "truncated": "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT (or OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT)",
    "bounded": "OTEL_EXPORTER_CONVLOG_CAPTURE_BYTES (or most_bytes of the middleware)",
}


class LimitsWarning:
    """Warns once, naming the variables."""

    def __init__(self) -> None:
        self._is_given = False

    def note(self, lost: Json, source: Json) -> None:
        """Note what a turn has lost.

        Args:
            lost: Its ``otel.lost``.
            source: Its ``otel.source``.
        """
        if self._is_given or not isinstance(lost, dict):
            return
        self._is_given = True
        variables = dict.fromkeys(variable for kind, variable in _LIMITS.items() if kind in lost)
        _logger.warning(
            "a limit has cut a turn (%s); %s may raise it%s",
            ", ".join(f"{kind}: {what}" for kind, what in lost.items()),
            " and ".join(variables),
            ", or OTEL_PYTHON_CONFIGURATOR=convlog" if source == "turn" and set(lost) - {"bounded"} else "",
        )
