"""What the processor costs who ends a span: a foreign one, and a turn.

Run ``python tests/benchmarks/processor.py``.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from measure import medians_us
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from payloads import make_request

import otel_convlog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan


class _Discard(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002  the interface's signature
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


def recorded(size_bytes: int) -> ReadableSpan:
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    with otel_convlog.Turn(
        route="chat", client_model="m", backend="b", stream=False, client_request=make_request(size_bytes)
    ) as turn:
        turn.attach_upstream_response({"choices": []})
    with provider.get_tracer("other").start_as_current_span("GET /") as span:
        span.set_attributes({f"attribute.{number}": "value" for number in range(20)})
    turn_span, other = memory.get_finished_spans()
    foreign.append(other)
    return turn_span


foreign: list[ReadableSpan] = []


def main() -> None:
    turn = recorded(300_000)
    with tempfile.TemporaryDirectory() as directory:
        ours = otel_convlog.ConversationSpanProcessor(directory=directory, queue_bytes=1 << 30)
        batch = BatchSpanProcessor(_Discard())
        figures = medians_us(
            {
                "a foreign span": lambda: ours.on_end(foreign[0]),
                "a turn of 300 KB": lambda: ours.on_end(turn),
                "either, with the batch processor": lambda: batch.on_end(turn),
            },
            rounds=100,
            repeat=20,
        )
        for name, cost in figures.items():
            print(f"on_end of {name}: {cost:.2f} µs")
        ours.force_flush()
        batch.shutdown()  # type: ignore[no-untyped-call]  # the SDK's own


if __name__ == "__main__":
    main()
