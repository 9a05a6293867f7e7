"""``OTEL_PYTHON_CONFIGURATOR=convlog``: the SDK as its variables say; whole turns here, and lean traces elsewhere."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
from opentelemetry.sdk.trace import TracerProvider

from otel_convlog.exporter import ConversationSpanExporter
from otel_convlog.processor import ConversationSpanProcessor
from otel_convlog.sampler import TurnSampler
from otel_convlog.settings import switch
from otel_convlog.tracer import lift_limits
from otel_convlog.without_content import without_turn_content

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

_logger = logging.getLogger(__name__)


class ConversationConfigurator(_OTelSDKConfigurator):
    """Sets the SDK up from the usual variables, or from ``OTEL_CONFIG_FILE``, and then fits it for turns.

    What `fit_for_turns` does can be switched off, each by a variable that is ``false``.
    """

    def _configure(self, **kwargs: object) -> None:
        super()._configure(**kwargs)  # type: ignore[no-untyped-call]  # the SDK's own has no types
        provider = trace.get_tracer_provider()
        if isinstance(provider, TracerProvider):
            fit_for_turns(
                provider,
                own_processor=switch("own_processor"),
                lean_exporters=switch("lean_exporters"),
                lean_genai=switch("lean_genai", default=False),
                keep_unsampled=switch("keep_unsampled"),
                lift_turn_limits=switch("lift_limits"),
            )


def fit_for_turns(  # noqa: PLR0913  a switch for each
    provider: TracerProvider,
    *,
    own_processor: bool = True,
    lean_exporters: bool = True,
    lean_genai: bool = False,
    keep_unsampled: bool = True,
    lift_turn_limits: bool = True,
) -> None:
    """Fit a provider that has its exporters for turns. To be called before the first span starts.

    The SDK offers no way to exchange the processors of a provider, so this reaches into it. Where a release of the SDK
    keeps them elsewhere, a warning says what has not been done; turns are logged all the same.

    Args:
        provider: The provider.
        own_processor: Give each `ConversationSpanExporter` a `ConversationSpanProcessor` in the place of its own.
        lean_exporters: Wrap every other exporter with `without_turn_content`.
        lean_genai: Leave the words out of the spans of GenAI instrumentations too.
        keep_unsampled: Record turns where the sampler would drop them (`TurnSampler`).
        lift_turn_limits: Let no limit of the SDK cut a turn.
    """
    if keep_unsampled and own_processor:
        provider.sampler = TurnSampler(provider.sampler)
    if lift_turn_limits:
        try:
            lift_limits(provider)
        except AttributeError:
            _logger.warning("limits of the SDK may cut turns: this release keeps them elsewhere", exc_info=True)
    try:
        active = provider._active_span_processor  # noqa: SLF001  see above
        before = active._span_processors  # noqa: SLF001  see above
        lock = active._lock  # noqa: SLF001  see above
    except AttributeError:
        _logger.warning("the processors are as they were: this release of the SDK keeps them elsewhere", exc_info=True)
        return
    with lock:
        active._span_processors = tuple(  # noqa: SLF001  see above
            _fitted(processor, own_processor=own_processor, lean=lean_exporters, genai=lean_genai)
            for processor in before
        )


def _fitted(processor: SpanProcessor, *, own_processor: bool, lean: bool, genai: bool) -> SpanProcessor:
    # The simple processor has its exporter itself, the batch processor has it in an object that it shares with logs.
    batch = getattr(processor, "_batch_processor", None)
    holder, name = (processor, "span_exporter") if batch is None else (batch, "_exporter")
    exporter: SpanExporter | None = getattr(holder, name, None)
    if isinstance(exporter, ConversationSpanExporter):
        if not own_processor:
            return processor
        processor.shutdown()  # its thread; the exporter goes on after that
        return ConversationSpanProcessor(exporter)
    if not lean or isinstance(processor, ConversationSpanProcessor):
        return processor
    wrapped = False
    if exporter is not None:
        with suppress(AttributeError):
            setattr(holder, name, without_turn_content(exporter, genai=genai))
            wrapped = True
    if not wrapped:
        kind = type(processor).__qualname__
        _logger.warning("%s gets turns with their content: its exporter cannot be wrapped", kind)
    return processor
