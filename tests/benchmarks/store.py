"""What writing a turn costs: at any length of its file, by threads, beside other ways to write it, and in memory.

Run ``python tests/benchmarks/store.py``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import threading
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import orjson
from opentelemetry import trace
from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from payloads import make_request

import otel_convlog
from otel_convlog.store import ConversationStore, render
from otel_convlog.store.document import turn_object

sys.path.insert(0, str(Path(__file__).parents[1]))

from store_helpers import make_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_convlog.record import IdentifiedTurn


def parse_and_rewrite(path: Path, turn: dict[str, Any]) -> None:
    """Add a turn as the other implementation does."""
    document = json.loads(path.read_text("utf-8")) if path.exists() else {"turns": []}
    document["turns"].append(turn)
    with path.open("w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, indent=2)


def print_cost_by_length(directory: Path) -> None:
    """Print the cost of a turn, from its record to the file and the catalog, in files of several lengths, in turn."""
    payload = make_request(44_000)
    store = ConversationStore(directory / "by-length")
    lengths = (20, 300, 1500)
    number = 0

    def next_turn(length: int) -> IdentifiedTurn:
        nonlocal number
        number += 1
        return make_turn(
            number, payload, conversation_id=f"c{length}", upstream_request={"headers": {}, "body": payload}
        )

    for length in lengths:
        for _ in range(length):
            turn = next_turn(length)
            store.write(store.path_of(turn), [render(turn)])
    samples: dict[int, list[float]] = {length: [] for length in lengths}
    floors: list[float] = []
    os.sync()  # the pages written so far are not this measurement's
    with (directory / "floor").open("wb", buffering=0) as floor_file:
        for _ in range(100):
            for length in lengths:
                turn = next_turn(length)
                path = store.path_of(turn)
                started = perf_counter()
                store.write(path, [render(turn)])
                samples[length].append((perf_counter() - started) * 1e6)
            value = turn_object(turn)
            started = perf_counter()
            floor_file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2))
            floors.append((perf_counter() - started) * 1e6)
    floor = median(floors)
    for length in lengths:
        cost = median(samples[length])
        print(
            f"turn of 90 KB at {length:5d} turns: {cost:5.0f} µs, orjson.dumps + one write {floor:5.0f} µs,"
            f" ratio {cost / floor:.2f}"
        )
    print(f"growth from 20 to 1,500 turns: {median(samples[1500]) / median(samples[20]):.2f}")
    for length in lengths[:2]:
        copy = directory / "rewritten.json"
        copy.write_bytes(store.path_of(next_turn(length)).read_bytes())
        started = perf_counter()
        parse_and_rewrite(copy, value)
        print(f"parse and rewrite at {length:5d} turns: {perf_counter() - started:.2f} s")


def recorded_spans(size_bytes: int, count: int) -> Sequence[ReadableSpan]:
    """Return spans of turns with a request of that size."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer_provider = trace.get_tracer_provider()
    payload = make_request(size_bytes)
    if not isinstance(tracer_provider, TracerProvider):
        trace.set_tracer_provider(provider)
    else:
        tracer_provider.add_span_processor(SimpleSpanProcessor(memory))
    for number in range(count):
        with otel_convlog.Turn(
            route="chat",
            client_model="gpt-5",
            backend="openai",
            stream=False,
            client_request={**payload, "conversation_id": f"c{number % 20}"},
        ):
            pass
    return memory.get_finished_spans()


def turns_per_second(spans: Sequence[ReadableSpan], threads: int, write: Callable[[ReadableSpan], object]) -> float:
    """Return how many spans a second are written one by one by so many threads."""

    def work(index: int) -> None:
        for span in spans[index::threads]:
            write(span)

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    started = perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(spans) / (perf_counter() - started)


def print_throughput(directory: Path) -> None:
    """Print turns a second, beside a parse and rewrite of the same documents and the OTLP JSON file exporter."""
    for size in (2_000, 10_000, 50_000):
        spans = recorded_spans(size, 800)
        for threads in (1, 8):
            ours = otel_convlog.ConversationSpanExporter(directory=directory / f"ours-{size}-{threads}")
            lines = FileSpanExporter(str(directory / f"otlp-{size}-{threads}.jsonl"))
            lock = threading.Lock()

            def rewrite(
                span: ReadableSpan, folder: Path = directory / f"rewritten-{size}-{threads}", lock: Any = lock
            ) -> None:
                request = json.loads(str((span.attributes or {})["convlog.client_request"]))
                with lock:
                    folder.mkdir(exist_ok=True)
                    parse_and_rewrite(folder / f"{request['conversation_id']}.json", {"client_request": request})

            def export(span: ReadableSpan, exporter: Any = ours) -> None:
                exporter.export([span])

            def export_lines(span: ReadableSpan, exporter: Any = lines) -> None:
                exporter.export([span])

            rates = {
                "ours": turns_per_second(spans, threads, export),
                "OTLP JSON file": turns_per_second(spans, threads, export_lines),
                "parse and rewrite": turns_per_second(spans[:200], threads, rewrite),
            }
            figures = ", ".join(f"{name} {rate:6.0f}/s" for name, rate in rates.items())
            print(
                f"{size // 1000:3d} KB, {threads} threads: {figures};"
                f" ours / OTLP JSON file = {rates['ours'] / rates['OTLP JSON file']:.2f},"
                f" ours / parse and rewrite = {rates['ours'] / rates['parse and rewrite']:.1f}"
            )


def print_memory(directory: Path) -> None:
    """Print how much memory the process has used at most before and after a conversation has grown to 200 MB."""
    store = ConversationStore(directory / "memory")
    payload = "x" * 1_000_000
    path = None
    for number in range(1, 221):
        turn = make_turn(number, payload)
        path = store.path_of(turn)
        store.write(path, [render(turn)])
        if number == 20:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert path is not None
    print(
        f"conversation of {path.stat().st_size / 1e6:.0f} MB: peak memory {before / 1024:.0f} MB at its first 20 MB,"
        f" {after / 1024:.0f} MB at its end"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print_memory(Path(name))
        print_cost_by_length(Path(name))
        print_throughput(Path(name))
