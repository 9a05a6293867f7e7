"""What the processor costs who ends a span: a foreign one, and a turn, for a thread and for a process to write.

Run ``python tests/benchmarks/processor.py``.
"""

from __future__ import annotations

import tempfile
import time
from statistics import median
from typing import TYPE_CHECKING

from measure import medians_us
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from payloads import make_request

import otel_convlog
from otel_convlog.writer.parent import TURNS_BEFORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan


class _Discard(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002  the interface's signature
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


class _Recording:
    """A provider that keeps its spans."""

    def __init__(self) -> None:
        self._memory = InMemorySpanExporter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(self._memory))
        trace.set_tracer_provider(self._provider)

    def turn(self, size_bytes: int) -> ReadableSpan:
        with otel_convlog.Turn(
            route="chat", client_model="m", backend="b", stream=False, client_request=make_request(size_bytes)
        ) as turn:
            turn.attach_upstream_response({"choices": []})
        return self._memory.get_finished_spans()[-1]

    def foreign(self) -> ReadableSpan:
        with self._provider.get_tracer("other").start_as_current_span("GET /") as span:
            span.set_attributes({f"attribute.{number}": "value" for number in range(20)})
        return self._memory.get_finished_spans()[-1]


def by_process(turn: ReadableSpan) -> float:
    """Return what it costs to hand a turn to the writer's process, one now and then, in µs."""
    with tempfile.TemporaryDirectory() as directory:
        processor = otel_convlog.ConversationSpanProcessor(directory=directory, writer="process")
        for _ in range(TURNS_BEFORE):
            processor.on_end(turn)
        processor.force_flush()
        costs = []
        for _ in range(100):
            while processor.queue_bytes or processor.exporter.waiting_bytes:
                time.sleep(0.001)
            started = time.perf_counter_ns()
            processor.on_end(turn)
            costs.append((time.perf_counter_ns() - started) / 1e3)
        processor.shutdown()
        return median(costs)


def main() -> None:
    recording = _Recording()
    foreign, turn = recording.foreign(), recording.turn(300_000)
    with tempfile.TemporaryDirectory() as directory:
        ours = otel_convlog.ConversationSpanProcessor(directory=directory, queue_bytes=1 << 30)
        batch = BatchSpanProcessor(_Discard())
        figures = medians_us(
            {
                "a foreign span": lambda: ours.on_end(foreign),
                "a turn of 300 KB": lambda: ours.on_end(turn),
                "either, with the batch processor": lambda: batch.on_end(turn),
            },
            rounds=50,
            repeat=5,
        )
        for name, cost in figures.items():
            print(f"on_end of {name}: {cost:.2f} µs")
        ours.shutdown()
        batch.shutdown()  # type: ignore[no-untyped-call]  # the SDK's own
    for size_kb in (2, 50, 200, 300):
        print(f"on_end of a turn of {size_kb} KB, for a process: {by_process(recording.turn(size_kb * 1000)):.0f} µs")


if __name__ == "__main__":
    main()
