"""The writer's process: it exports what it is given, says so, and ends when its proxy has ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from time import perf_counter
from typing import Any

from otel_convlog.exporter import ConversationSpanExporter
from otel_convlog.writer.frames import PassedSpan, Report, packed, unpacked


def main(settings: dict[str, Any]) -> None:
    """Export until no more comes.

    Args:
        settings: The keyword arguments of `ConversationSpanExporter`.
    """
    # A signal that is meant for the proxy may reach all its processes; what it has handed over is written all the same.
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    reports = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever prints something shall not disturb them
    exporter = ConversationSpanExporter(**settings)
    frame: tuple[int, list[tuple[object, ...]] | None] | None = (0, [])  # nothing to do but to say that it is there
    while frame is not None:
        report = packed(tuple(_done(exporter, *frame)))
        with contextlib.suppress(OSError):  # the proxy has ended; what it has handed over is still to be read
            reports.write(report)
        frame = unpacked(sys.stdin.buffer.read)
    exporter.shutdown()


def _done(exporter: ConversationSpanExporter, number: int, spans: list[tuple[object, ...]] | None) -> Report:
    """Do what a frame asks: export its spans; or, where it has none, write all that waits."""
    started = perf_counter()
    flushed = True
    if spans is None:
        flushed = exporter.force_flush()
    else:
        exporter.export([PassedSpan(span) for span in spans])
    return Report(
        number,
        exporter.turns_written,
        exporter.turns_failed,
        exporter.waiting_bytes,
        exporter.bytes_written,
        perf_counter() - started,
        flushed,
    )
