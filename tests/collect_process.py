"""`otel-convlog collect` as a process of its own, and what is sent to it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
from command_process import STOP_S, most_memory, serving
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_convlog.store import read_document

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


@dataclass
class Collecting:
    """A running collector.

    Attributes:
        url: Where it listens.
        process: Its process.
    """

    url: str
    process: subprocess.Popen[str]

    @property
    def traces(self) -> str:
        return f"{self.url}/v1/traces"

    def send(self, spans: Sequence[ReadableSpan]) -> None:
        """Send spans as the Python SDK does, and be sure that they are taken."""
        assert OTLPSpanExporter(endpoint=self.traces).export(spans).name == "SUCCESS"

    def post(self, body: Any, headers: Mapping[str, str] = PROTOBUF, timeout_s: float = 60) -> requests.Response:
        return requests.post(self.traces, data=body, headers=dict(headers), timeout=timeout_s)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def most_memory_bytes(self) -> int:
        """Return the largest amount of memory that it has had."""
        return most_memory(self.process.pid)


@contextmanager
def collecting(directory: Path, *options: str, **variables: str) -> Iterator[Collecting]:
    """Run a collector for the length of a `with` block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | variables
    with serving("collect", directory, *options, environment=environment) as (address, process):
        yield Collecting(address, process)


def body_of(spans: Sequence[ReadableSpan]) -> bytes:
    """Return the body of the request that the Python SDK sends."""
    return encode_spans(spans).SerializeToString()


def turns_request(conversations: Sequence[str], *, size_bytes: int = 100) -> ExportTraceServiceRequest:
    """Return a request with a turn of each conversation."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for conversation_id in conversations:
        body = {"session_id": conversation_id, "messages": [{"role": "user", "content": "x" * size_bytes}]}
        span = scope.spans.add(
            trace_id=secrets.token_bytes(16),
            span_id=secrets.token_bytes(8),
            name="convlog.turn",
            start_time_unix_nano=time.time_ns(),
            end_time_unix_nano=time.time_ns(),
        )
        for name, value in (("convlog.route", "chat"), ("convlog.client_request", json.dumps(body))):
            span.attributes.add(key=name).value.string_value = value
    return request


def ids_in(request: ExportTraceServiceRequest) -> list[str]:
    """Return the ids of a request's turns."""
    spans = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
    return [f"turn_{span.trace_id[-4:].hex()}{span.span_id.hex()}" for span in spans]


def recorded(resource: Mapping[str, str] | None = None) -> tuple[TracerProvider, InMemorySpanExporter]:
    """Return a provider that keeps its spans."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "proxy", **(resource or {})}))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return provider, memory


def answer_of(response: requests.Response) -> ExportTraceServiceResponse:
    assert response.status_code == 200, response.text
    return ExportTraceServiceResponse.FromString(response.content)


def documents(directory: Path) -> dict[str, dict[str, Any]]:
    """Return the documents of a log by their files' names in it."""
    found = sorted(directory.glob("*/*.json"))
    return {str(path.relative_to(directory)): read_document(path) for path in found}


def turn_ids(directory: Path) -> list[str]:
    return [turn["turn_id"] for document in documents(directory).values() for turn in document["turns"]]
