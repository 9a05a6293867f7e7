"""Spans that come by OTLP give the documents that the exporter gives in their own process, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from collect_process import collecting, recorded
from opentelemetry import trace
from recorded_spans import SPANS, load
from replay import replay
from simulated_clients import plain_growth, streamed

from otel_convlog import ConversationSpanExporter

if TYPE_CHECKING:
    from pathlib import Path


def written(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.glob("*/*.json"))}


@pytest.mark.parametrize("family", ["genai", "logfire", "openinference", "traceloop"])
def test_recorded_instrumentation_spans_give_the_same_documents(family: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    exporter = ConversationSpanExporter(directory=here)
    with collecting(there) as collector:
        for path in sorted((SPANS / family).glob("*.jsonl")):
            spans = load(path)
            exporter.export(spans)
            collector.send(spans)
        exporter.shutdown()
        assert collector.stop() == 0
    assert written(there)
    assert written(there) == written(here)


def test_turns_give_the_same_documents(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    provider, memory = recorded()
    trace.set_tracer_provider(provider)
    for turn in (*plain_growth(1), *streamed(2)):
        replay([turn])
    spans = memory.get_finished_spans()
    exporter = ConversationSpanExporter(directory=tmp_path / "here")
    exporter.export(spans)
    with collecting(tmp_path / "there") as collector:
        collector.send(spans)
        assert written(tmp_path / "there") == written(tmp_path / "here")
    assert written(tmp_path / "here")
