"""From a finished span to a turn. One module for each span vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.readers import turn

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_convlog.record import TurnRecord

__all__ = ["read"]


def read(span: ReadableSpan) -> TurnRecord | None:
    """Return the turn that a span records, or None where it records none."""
    return turn.read(span)
