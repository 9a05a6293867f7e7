"""The turn that a context is in, for the hooks of HTTP clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from opentelemetry import context as context_api
from opentelemetry import trace

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from otel_convlog.turn import Turn

_KEY = context_api.create_key("convlog-turn")


def within(turn: Turn, span: Span, context: Context | None = None) -> Context:
    """Return a context, by default the current one, with a turn, and its span, as the current ones."""
    return context_api.set_value(_KEY, turn, trace.set_span_in_context(span, context))


def current_turn() -> Turn | None:
    """Return the turn of the innermost ``with`` block, or of the request that is being captured."""
    turn = cast("Turn | None", context_api.get_value(_KEY))
    return turn.in_charge if turn is not None else None
