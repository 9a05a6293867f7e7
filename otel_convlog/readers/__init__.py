"""From a finished span to a turn, or to what it says of a call. One module for each span vocabulary."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from otel_convlog.attributes import SPAN_NAME, TURN_ID
from otel_convlog.readers import gen_ai, litellm_raw, openinference, turn
from otel_convlog.readers.call_span import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_convlog.readers.call_span import CallSpan
    from otel_convlog.record import TurnRecord

__all__ = ["SOURCES", "TURN", "is_call", "is_turn", "may_read", "read", "read_call"]

TURN = turn.NAME
SOURCES = (turn.NAME, gen_ai.NAME, openinference.NAME)

_MARKS = gen_ai.MARKS | openinference.MARKS
_ANY_MARKS = _MARKS | {TURN_ID}
_SPAN_NAMES = (SPAN_NAME, litellm_raw.SPAN_NAME)


def may_read(name: str, attributes: Iterable[str]) -> bool:
    """Say whether `is_turn` or `is_call` may be true of a span: one look, since most spans are neither.

    Args:
        name: The span's.
        attributes: The names of its attributes.
    """
    return name in _SPAN_NAMES or not _ANY_MARKS.isdisjoint(attributes)


def is_turn(span: ReadableSpan) -> bool:
    """Say whether a span is a turn that the proxy has recorded: whether `read` reads it."""
    return turn.is_turn(span)


def is_call(span: ReadableSpan) -> bool:
    """Say whether a span may say something of a call: whether it is of a vocabulary that `read_call` knows."""
    attributes = span.attributes
    if attributes is None or span.context is None:
        return False
    return not _MARKS.isdisjoint(attributes) or litellm_raw.is_raw(span)


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
        if reader.NAME not in sources or not reader.reads(span, attributes):
            continue
        call = reader.read(span, attributes)
        if call is not None:
            found = call if found is None else _both(found, call)
    return found


def _both(first: CallSpan, second: CallSpan) -> CallSpan:
    """Return what both vocabularies of a span say: one of them may have the words, and the other the model."""
    main, other = (second, first) if _says_more(second, first) else (first, second)
    return replace(
        main,
        route=main.route or other.route,
        client_model=main.client_model or other.client_model,
        backend=main.backend or other.backend,
        stream=main.stream or other.stream,
        response_id=main.response_id or other.response_id,
        response_model=main.response_model or other.response_model,
        finish_reasons=main.finish_reasons or other.finish_reasons,
        usage={**other.usage, **main.usage},
    )


def _says_more(call: CallSpan, than: CallSpan) -> bool:
    return (call.kind is Kind.CALL, call.has_content) > (than.kind is Kind.CALL, than.has_content)
