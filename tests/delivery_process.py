"""A process that records turns and ends, one way or another: ``delivery_process.py DIRECTORY PROCESSOR WAY [PAUSE]``.

It prints ``ready`` when its last turn has ended. Its turns are numbered in their metadata.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import otel_convlog
from otel_convlog.writer.parent import TURNS_BEFORE

TURNS = 50
AGAIN = 1_000_000  # the number of the first turn of a process that comes after a killed one


def record(first: int, count: int, conversations: int = 5) -> None:
    for number in range(first, first + count):
        turn = otel_convlog.start_turn(
            route="chat",
            client_model="m",
            backend="b",
            stream=False,
            client_request={
                "conversation_id": f"c{number % conversations}",
                "messages": [{"role": "user", "content": "x" * 5_000}],
            },
            metadata={"number": number},
        )
        otel_convlog.finalize_turn(turn)


def set_up(directory: str, processor: str) -> None:
    exporter = otel_convlog.ConversationSpanExporter(
        directory=directory, writer="process" if processor == "process" else "thread"
    )
    provider = TracerProvider()
    provider.add_span_processor(
        BatchSpanProcessor(exporter) if processor == "batch" else otel_convlog.ConversationSpanProcessor(exporter)
    )
    trace.set_tracer_provider(provider)
    if processor == "process":
        wait_for_writer()


def wait_for_writer() -> None:
    """Let the writer's process begin, with turns that have no number of the test's, and wait until it is there."""
    for _ in range(TURNS_BEFORE):
        record(-1, 1)
    provider: Any = trace.get_tracer_provider()
    (processor,) = provider._active_span_processor._span_processors
    while not processor.exporter._ready:
        time.sleep(0.01)


def main() -> None:
    directory, processor, way, *pause = sys.argv[1:]
    set_up(directory, processor)
    if way == "multiprocessing":
        record(0, 10)
        children = [
            multiprocessing.get_context("fork").Process(target=record, args=(first, 10)) for first in range(10, 50, 10)
        ]
        for child in children:
            child.start()
        for child in children:
            child.join()
        return
    if way == "random":  # until it is killed
        for number in range(AGAIN):
            record(number, 1)
            print(number, flush=True)  # noqa: T201  for the test
            time.sleep(0.002)
    if way == "again":  # a turn for each conversation, after another process has been killed
        record(AGAIN, 5)
        return
    record(0, TURNS)
    print("ready", flush=True)  # noqa: T201  for the test
    if way == "exit":
        sys.exit(3)
    if way == "exception":
        raise RuntimeError("the proxy has a fault")
    if way == "os._exit":
        time.sleep(float(pause[0]))
        os._exit(4)
    time.sleep(60)  # for a signal


if __name__ == "__main__":
    main()
