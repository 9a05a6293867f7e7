"""A sampler that keeps the turns of traces which are not sampled, for the conversation log alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

from otel_convlog.attributes import SPAN_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanKind
    from opentelemetry.trace.span import TraceState
    from opentelemetry.util.types import Attributes


class TurnSampler(Sampler):
    """Decides as another sampler does, but has a turn recorded where that one would drop it.

    Such a span is not sampled: `ConversationSpanProcessor` takes it, the SDK's own processors leave it alone, and what
    nests in it is decided as before.

    Args:
        sampler: The other one.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(  # noqa: PLR0913, PLR0917  the interface's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide on a span that is about to start."""
        result = self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is Decision.DROP and name == SPAN_NAME:
            return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)
        return result

    def get_description(self) -> str:
        """Return a text for people."""
        return f"TurnSampler{{{self._sampler.get_description()}}}"
