"""The span exporter: reads turns from spans, identifies their conversations, stores them."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_convlog import readers
from otel_convlog.identity import identify
from otel_convlog.record import IdentifiedTurn
from otel_convlog.settings import Settings
from otel_convlog.store import ConversationStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

_logger = logging.getLogger(__name__)


class ConversationSpanExporter(SpanExporter):
    """Writes the turns among the spans it is given, one JSON file per conversation per day; ignores all other spans.

    For any span processor, from any number of threads and processes at once. Each argument, where it is absent or
    None, is taken from ``OTEL_EXPORTER_CONVLOG_<ARGUMENT>``, else has its default::

        provider.add_span_processor(BatchSpanProcessor(ConversationSpanExporter(directory="/var/log/conversations")))

    Args:
        directory: Where the day folders go; default ``data/conversations``, from the working directory.
        stream_events: How many stream events are kept: ``all`` (default), ``none``, or a number, of the first and of
            the last in each direction.

    Raises:
        ValueError: An argument cannot be used. (A variable that cannot be is warned of and ignored.)
    """

    def __init__(
        self, *, directory: str | os.PathLike[str] | None = None, stream_events: str | int | None = None
    ) -> None:
        self._settings = Settings.resolve(directory=directory, stream_events=stream_events)
        self._store = ConversationStore(self._settings.directory)
        self._written = 0
        self._failed = 0
        self._count_lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            unlock = weakref.WeakMethod(self._unlock_in_child)
            os.register_at_fork(after_in_child=lambda: (method := unlock()) and method())

    @property
    def directory(self) -> Path:
        """Where the day folders go."""
        return self._settings.directory

    @property
    def turns_written(self) -> int:
        """How many turns this process has written."""
        return self._written

    @property
    def turns_failed(self) -> int:
        """How many turns this process could not write."""
        return self._failed

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the turns among the spans. Never raises.

        Returns:
            SUCCESS when the bytes of all turns have been handed to the operating system; FAILURE where a turn could
            not be written, which the log names.
        """
        written = failed = 0
        by_file: dict[Path, list[IdentifiedTurn]] = {}
        for span in spans:
            try:
                turn = self._identified(span)
                if turn is not None:
                    by_file.setdefault(self._store.path_of(turn), []).append(turn)
            except Exception:
                failed += 1
                _logger.exception("a turn is lost: its span could not be read")
        for path, turns in by_file.items():
            try:
                self._store.write(path, turns)
                written += len(turns)
            except Exception as error:
                failed += len(turns)
                # A full disk needs no stack trace, a fault of ours does.
                _logger.error(  # noqa: TRY400
                    "%d turns of %s are lost: %s", len(turns), path, error, exc_info=not isinstance(error, OSError)
                )
        with self._count_lock:
            self._written += written
            self._failed += failed
        return SpanExportResult.FAILURE if failed else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Do nothing: what was exported is with the operating system, and no file is kept open."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002  the interface's signature
        """Return True: what was exported is with the operating system."""
        return True

    def _identified(self, span: ReadableSpan) -> IdentifiedTurn | None:
        record = readers.read(span)
        if record is None:
            return None
        return IdentifiedTurn(record.with_stream_events(self._settings.stream_events), identify(record))

    def _unlock_in_child(self) -> None:
        # Another thread of the parent may have held it when the child was forked.
        self._count_lock = threading.Lock()
