"""Records turns as a proxy's process would: ``replay.py DIRECTORY GROUPING``, a JSON value a line on standard input.

A line is ``{"start": {...}, "calls": [[name, argument, ...], ...]}``: the arguments of the calls. The turns of a line
``[turn, turn, ...]`` are under way at the same time; they start in the order of the line, and end in the order of their
``ends``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import otel_convlog


def replay(turns: list[dict[str, Any]]) -> None:
    """Record turns that are under way at the same time."""
    started = [otel_convlog.start_turn(**turn["start"]) for turn in turns]
    for turn, spec in sorted(zip(started, turns, strict=True), key=lambda pair: pair[1].get("ends", 0)):
        for name, *arguments in spec["calls"]:
            getattr(otel_convlog, name)(turn, *arguments)
        otel_convlog.finalize_turn(turn)


def main() -> None:
    directory, grouping = sys.argv[1:3]
    provider = TracerProvider()
    exporter = otel_convlog.ConversationSpanExporter(directory=directory, grouping=grouping)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    for line in sys.stdin:
        turns = json.loads(line)
        replay(turns if isinstance(turns, list) else [turns])
    provider.shutdown()


if __name__ == "__main__":
    main()
