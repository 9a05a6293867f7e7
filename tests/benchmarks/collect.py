"""What a turn costs by OTLP: ``otel-convlog collect`` against the exporter in the sender's own process, in one run.

Turns of new conversations, in requests of 16, from several senders at once; alternately, the same spans go to an
exporter here. Run it: ``python tests/benchmarks/collect.py``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from collect_process import PROTOBUF, Collecting, collecting, turns_request

from otel_convlog import ConversationSpanExporter
from otel_convlog.collecting.intake import received

_ROUNDS = 7
_TURNS_A_REQUEST = 16
_SENDERS = 4


class _Case(NamedTuple):
    name: str
    requests: int  # of each round
    size_bytes: int


_CASES = (_Case("2 KB", 60, 2_000), _Case("50 KB", 30, 50_000), _Case("300 KB", 8, 300_000))


def _bodies(case: _Case, round_number: int) -> list[bytes]:
    return [
        turns_request(
            [f"{case.name}-{round_number}-{number}-{turn}" for turn in range(_TURNS_A_REQUEST)],
            size_bytes=case.size_bytes,
        ).SerializeToString()
        for number in range(case.requests)
    ]


def _send(collector: Collecting, bodies: list[bytes]) -> float:
    def post(session_bodies: list[bytes]) -> None:
        with requests.Session() as session:
            for body in session_bodies:
                session.post(collector.traces, data=body, headers=PROTOBUF, timeout=60).raise_for_status()

    started = time.perf_counter()
    with ThreadPoolExecutor(_SENDERS) as senders:
        list(senders.map(post, [bodies[sender::_SENDERS] for sender in range(_SENDERS)]))
    return time.perf_counter() - started


def _export(exporter: ConversationSpanExporter, bodies: list[bytes]) -> float:
    batches = [received(ExportTraceServiceRequest.FromString(body), len(body)).spans for body in bodies]
    started = time.perf_counter()
    for batch in batches:
        exporter.export(batch)
    return time.perf_counter() - started


def _measure(case: _Case, collector: Collecting, exporter: ConversationSpanExporter) -> None:
    turns = case.requests * _TURNS_A_REQUEST
    here, there = [], []
    for number in range(_ROUNDS + 1):
        bodies = _bodies(case, number)
        seconds = _send(collector, bodies), _export(exporter, bodies)
        if number:  # the first round warms up
            there.append(turns / seconds[0])
            here.append(turns / seconds[1])
    ratios = sorted(by_otlp / within for by_otlp, within in zip(there, here, strict=True))
    print(
        f"{case.name:8} {median(here):8.0f}/s {median(there):8.0f}/s"
        f"   {median(ratios):5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        flush=True,
    )


def _main() -> None:
    with tempfile.TemporaryDirectory() as directory, collecting(Path(directory) / "there") as collector:
        exporter = ConversationSpanExporter(directory=Path(directory) / "here")
        print(f"{'turns':8} {'exporter':>10} {'collect':>10}   ratio (of each round)")
        for case in _CASES:
            _measure(case, collector, exporter)
        exporter.shutdown()
        print(f"most memory: {collector.most_memory_bytes() >> 20} MB")


if __name__ == "__main__":
    _main()
