"""From a finished span to a turn. One module for each span vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.readers import turn

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_convlog.record import TurnRecord

__all__ = ["is_turn", "read"]


def is_turn(span: ReadableSpan) -> bool:
    """Say whether a span records a turn: whether `read` reads it."""
    return turn.is_turn(span)


def read(span: ReadableSpan) -> TurnRecord | None:
    """Return the turn that a span records, or None where it records none."""
    return turn.read(span)
