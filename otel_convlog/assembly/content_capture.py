"""Says, once, that instrumentations record no content, and which variable switches it on."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_convlog.readers.call_span import CallSpan

_logger = logging.getLogger(__name__)

_PATIENCE_S = 60.0

# By the beginning of the instrumentation's name; the first that fits counts. The sources: docs/sources.md.
_SWITCHES = (
    (
        "opentelemetry.instrumentation.openai_v2",
        (
            "OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental and"
            " OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only, with its newest release; older ones write"
            " log records, which no span exporter sees"
        ),
    ),
    ("opentelemetry.instrumentation.genai", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only"),
    ("opentelemetry.util.genai", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only"),
    ("opentelemetry.instrumentation.google_genai", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only"),
    ("opentelemetry.instrumentation.vertexai", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only"),
    ("opentelemetry.instrumentation.", "TRACELOOP_TRACE_CONTENT=true"),
    ("com.anthropic.sdk", "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE=content"),
    ("litellm", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY"),
    ("openinference.", "OPENINFERENCE_HIDE_INPUTS=false and OPENINFERENCE_HIDE_OUTPUTS=false"),
    ("azure.", "AZURE_TRACING_GEN_AI_CONTENT_RECORDING_ENABLED=true"),
    ("agent_framework", "ENABLE_SENSITIVE_DATA=true"),
    ("", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only"),
)


class ContentCapture:
    """Watches whether any call has content."""

    def __init__(self) -> None:
        self._first_without: tuple[float, str] | None = None
        self._done = False

    def saw(self, span: CallSpan) -> None:
        """Note a span of a call."""
        if self._done:
            return
        if span.has_content:
            self._done = True
        elif self._first_without is None:
            self._first_without = (monotonic(), span.source)
        elif monotonic() > self._first_without[0] + _PATIENCE_S:
            self.warn()

    def warn(self) -> None:
        """Say it, where calls without content are all there was."""
        if self._done or self._first_without is None:
            return
        self._done = True
        source = self._first_without[1]
        _logger.warning(
            "calls of models are traced by %s without what was said, so there are no conversations; to have it: %s",
            source,
            switch_of(source),
        )


def switch_of(source: str) -> str:
    """Return how the content is switched on.

    Args:
        source: The vocabulary and the instrumentation, as in `CallSpan`.
    """
    scope = source.partition(":")[2]
    return next(switch for prefix, switch in _SWITCHES if scope.startswith(prefix))
