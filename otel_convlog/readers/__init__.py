"""From a finished span to a turn, or to what it says of a call. One module for each span vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.readers import gen_ai, openinference, turn
from otel_convlog.readers.call_span import Kind

if TYPE_CHECKING:
    from collections.abc import Collection

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_convlog.readers.call_span import CallSpan
    from otel_convlog.record import TurnRecord

__all__ = ["SOURCES", "TURN", "is_call", "is_turn", "read", "read_call"]

TURN = turn.NAME
SOURCES = (turn.NAME, gen_ai.NAME, openinference.NAME)

_MARKS = gen_ai.MARKS | openinference.MARKS


def is_turn(span: ReadableSpan) -> bool:
    """Say whether a span is a turn that the proxy has recorded: whether `read` reads it."""
    return turn.is_turn(span)


def is_call(span: ReadableSpan) -> bool:
    """Say whether a span may say something of a call: whether it is of a vocabulary that `read_call` knows."""
    attributes = span.attributes
    return attributes is not None and span.context is not None and not _MARKS.isdisjoint(attributes)


def read(span: ReadableSpan) -> TurnRecord | None:
    """Return the turn that a proxy has recorded as this span, or None where it is none."""
    return turn.read(span)


def read_call(span: ReadableSpan, sources: Collection[str] = SOURCES) -> CallSpan | None:
    """Return what a span of an instrumentation says of a call, or None where it says nothing of one.

    Args:
        span: The span; `is_call` says whether it is worth the while.
        sources: The vocabularies to read. Where a span has the words of both, those count that have the content.
    """
    attributes = dict(span.attributes or {})
    found: CallSpan | None = None
    for reader in (gen_ai, openinference):
        if reader.NAME not in sources or reader.MARKS.isdisjoint(attributes):
            continue
        call = reader.read(span, attributes)
        if call is not None and (found is None or _says_more(call, found)):
            found = call
    return found


def _says_more(call: CallSpan, than: CallSpan) -> bool:
    return (call.kind is Kind.CALL, call.has_content) > (than.kind is Kind.CALL, than.has_content)
