"""What the log says of itself, through OpenTelemetry's metrics API; without a meter provider it costs next to nothing.

Names are those of the semantic conventions for SDK components
(https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/) where they have one.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Protocol, TypeVar

from opentelemetry import metrics

from otel_convlog._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Observation

EXPORTED = "otel.sdk.exporter.span.exported"  # {span}; error.type where it was lost
DURATION = "otel.sdk.exporter.operation.duration"  # s
PROCESSED = "otel.sdk.processor.span.processed"  # {span}; error.type queue_full where it was dropped
WRITTEN_BYTES = "convlog.written"  # By
WAITING_BYTES = "convlog.waiting"  # By, for the exporter, and for the disk

_EXPORTER = {"otel.component.type": "otel_convlog.ConversationSpanExporter"}
_PROCESSOR = {"otel.component.type": "otel_convlog.ConversationSpanProcessor"}


_T = TypeVar("_T")


class _HasQueueBytes(Protocol):
    @property
    def queue_bytes(self) -> int: ...


class ExporterMetrics:
    """Counts what an exporter does.

    Args:
        exporter: It is observed for as long as it lives.
        waiting_bytes: Returns how many bytes of turns wait in it.
    """

    def __init__(self, exporter: _T, waiting_bytes: Callable[[_T], int]) -> None:
        meter = metrics.get_meter("otel_convlog", __version__)
        self._exported = meter.create_counter(EXPORTED, "{span}", "turns that were written, or lost")
        self._written = meter.create_counter(WRITTEN_BYTES, "By", "bytes of turns that were written")
        self._duration = meter.create_histogram(DURATION, "s", "how long the writes of one export took")
        _observe_waiting(meter, exporter, waiting_bytes, _EXPORTER)

    def written(self, turns: int, size_bytes: int) -> None:
        """Count turns that were written."""
        self._exported.add(turns, _EXPORTER)
        self._written.add(size_bytes, _EXPORTER)

    def failed(self, turns: int) -> None:
        """Count turns that are lost."""
        self._exported.add(turns, {**_EXPORTER, "error.type": "lost"})

    def took(self, seconds: float) -> None:
        """Note how long an export took."""
        self._duration.record(seconds, _EXPORTER)


class ProcessorMetrics:
    """Counts what a processor does.

    Args:
        processor: Its waiting bytes are observed for as long as it lives.
    """

    def __init__(self, processor: _HasQueueBytes) -> None:
        meter = metrics.get_meter("otel_convlog", __version__)
        self._processed = meter.create_counter(PROCESSED, "{span}", "spans that were taken to the exporter, or dropped")
        _observe_waiting(meter, processor, lambda it: it.queue_bytes, _PROCESSOR)

    def processed(self, spans: int) -> None:
        """Count spans that were handed to the exporter."""
        self._processed.add(spans, _PROCESSOR)

    def dropped(self) -> None:
        """Count a turn that was dropped."""
        self._processed.add(1, {**_PROCESSOR, "error.type": "queue_full"})


def _observe_waiting(
    meter: metrics.Meter, component: _T, value: Callable[[_T], int], attributes: dict[str, str]
) -> None:
    alive = weakref.ref(component)

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        seen = alive()
        return [] if seen is None else [metrics.Observation(value(seen), attributes)]

    description = "bytes of turns that wait: for the disk to work again, or for the writer"
    meter.create_observable_up_down_counter(WAITING_BYTES, [observe], "By", description)
