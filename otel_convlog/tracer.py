"""The tracer whose spans are turns, and when there is none."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import ProxyTracerProvider, SpanKind

from otel_convlog import attributes as names
from otel_convlog._version import __version__
from otel_convlog.settings import switched_off

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer, TracerProvider
    from opentelemetry.util.types import AttributeValue

_logger = logging.getLogger(__name__)

_resolved: tuple[TracerProvider | None, Tracer | None] = (None, None)


def current_tracer() -> Tracer | None:
    """Return the current provider's tracer, or None where nothing can record."""
    global _resolved  # noqa: PLW0603  one tuple, replaced whole, so that threads see a provider with its own tracer
    try:
        provider = trace.get_tracer_provider()
        if isinstance(provider, ProxyTracerProvider):  # no SDK is set up (yet)
            return None
        known, tracer = _resolved
        if provider is not known:
            tracer = None if switched_off() else provider.get_tracer("otel_convlog", __version__)
            _resolved = (provider, tracer)
    except Exception:
        _logger.warning("there is no tracer, so turns are not recorded", exc_info=True)
        return None
    return tracer


def lift_limits(provider: TracerProvider) -> None:
    """Let no limit of the SDK cut the spans of turns of this provider; other spans keep their limits.

    Raises:
        AttributeError: This release of the SDK keeps the limits of a tracer elsewhere.
    """
    global _resolved  # noqa: PLW0603  as above
    from opentelemetry.sdk.trace import SpanLimits  # noqa: PLC0415  who calls this has an SDK; instrumented code may not

    tracer = provider.get_tracer("otel_convlog", __version__)
    tracer._span_limits  # type: ignore[attr-defined]  # noqa: B018, SLF001  the SDK offers limits for all tracers only
    unset = SpanLimits.UNSET
    tracer._span_limits = SpanLimits(  # type: ignore[attr-defined]  # noqa: SLF001
        max_attributes=unset,
        max_events=unset,
        max_span_attributes=unset,
        max_event_attributes=unset,
        max_attribute_length=unset,
        max_span_attribute_length=unset,
    )
    _resolved = (provider, None if switched_off() else tracer)


def can_record() -> bool:
    """Say whether a turn that is started now may be recorded; cheaper than to start one and see."""
    return current_tracer() is not None


def start_span(tracer: Tracer, head: dict[str, AttributeValue], context: Context | None = None) -> Span | None:
    """Start a turn's span with the attributes that samplers may want to see; None where it is not recording."""
    span = tracer.start_span(names.SPAN_NAME, context, kind=SpanKind.INTERNAL, attributes=head)
    return span if span.is_recording() else None
