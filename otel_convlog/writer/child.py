"""The writer's process: it exports what it is given, says so, and ends when its proxy has ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from time import perf_counter, sleep
from typing import Any

from otel_convlog.exporter import ConversationSpanExporter
from otel_convlog.writer.frames import FrameReader, PassedSpan, Report, packed

_MOST_SPANS = 512  # of one export
_LINGER_S = 0.02  # turns gather in the pipe meanwhile: to be woken for each costs the proxy's processor, too


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
    frames = FrameReader(sys.stdin.fileno())
    report = _done(exporter, 0, [], flush=False)  # nothing but that it is there
    while True:
        with contextlib.suppress(OSError):  # the proxy has ended; what it has handed over is still to be read
            reports.write(packed(tuple(report)))
        frame = frames.next()
        if frame is None:
            break
        number, spans = frame
        # What has come meanwhile shares what a write costs, and a report.
        together = list(spans or ())
        while spans is not None and len(together) < _MOST_SPANS and frames.has_next():
            number, spans = frames.next()
            together += spans or ()
        report = _done(exporter, number, together, flush=spans is None)
        if spans is not None:
            sleep(_LINGER_S)
    exporter.shutdown()


def _done(exporter: ConversationSpanExporter, number: int, spans: list[tuple[object, ...]], *, flush: bool) -> Report:
    """Export spans, and write all that waits, where that is asked; return what has come of it."""
    started = perf_counter()
    exporter.export([PassedSpan(span) for span in spans])
    flushed = exporter.force_flush() if flush else True
    return Report(
        number,
        exporter.turns_written,
        exporter.turns_failed,
        exporter.waiting_bytes,
        exporter.bytes_written,
        perf_counter() - started,
        flushed,
    )
