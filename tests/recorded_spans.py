"""Spans that were captured from real instrumentation packages (``tests/spans``), read back."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

SPANS = Path(__file__).parent / "spans"


def load(path: Path) -> list[ReadableSpan]:
    """Read a file with a span a line, as `ReadableSpan.to_json` writes it (some with ``scope`` beside)."""
    return [_span(json.loads(line)) for line in path.read_text().splitlines() if line.strip()]


def _span(line: dict[str, Any]) -> ReadableSpan:
    trace_id = int(line["context"]["trace_id"], 16)
    parent_id, scope, status = line["parent_id"], line.get("scope"), line["status"]
    return ReadableSpan(
        line["name"],
        context=_context(trace_id, line["context"]["span_id"]),
        parent=_context(trace_id, parent_id) if parent_id else None,
        attributes={
            name: tuple(value) if isinstance(value, list) else value
            for name, value in (line["attributes"] or {}).items()
        },
        events=[Event(event["name"], event["attributes"], _ns(event["timestamp"])) for event in line["events"]],
        kind=SpanKind[line["kind"].rpartition(".")[2]],
        status=Status(StatusCode[status["status_code"]], status.get("description")),
        start_time=_ns(line["start_time"]),
        end_time=_ns(line["end_time"]),
        resource=Resource(line["resource"]["attributes"]),
        instrumentation_scope=InstrumentationScope(scope["name"], scope.get("version")) if scope else None,
    )


def _context(trace_id: int, span_id: str) -> SpanContext:
    return SpanContext(trace_id, int(span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _ns(time: str) -> int:
    parsed = datetime.fromisoformat(time.replace("Z", "+00:00"))
    return int(parsed.timestamp()) * 10**9 + parsed.microsecond * 1000
