"""The span processor that loses no turn on the way to the exporter."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import TYPE_CHECKING

from opentelemetry import context as context_api
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.sdk.trace import SpanProcessor

from otel_convlog.exporter import ConversationSpanExporter
from otel_convlog.forks import after_fork_in_child
from otel_convlog.metrics import ProcessorMetrics
from otel_convlog.reentry import Reentry
from otel_convlog.writer import ProcessWriter

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

_logger = logging.getLogger(__name__)

_MOST_SPANS = 512  # of one export: they share what a write to their file costs
_MOST_BYTES = 16 << 20
_SHUTDOWN_S = 30.0  # the time that the SDK's own processors take at most
_LOOK_S = 0.1
_MOMENT_S = 0.001


class _Mark:
    """Stands in the queue for the moment when all before it has been handed to the exporter, which is then flushed.

    Args:
        deadline: Until when, by `monotonic`, somebody waits for that; none for the last one, at which the writer ends,
            and the exporter.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline
        self.reached = False
        self.flushed = False
        # Not an event, whose own lock a handler may find held by the thread that it has interrupted.
        self._gate = threading.Lock()
        self._gate.acquire()

    @property
    def last(self) -> bool:
        """Whether the writer ends there."""
        return self.deadline is None

    def reach(self, exporter: ConversationSpanExporter | ProcessWriter) -> None:
        """Flush the exporter, or shut it down; once is enough."""
        if self.reached:
            return
        try:
            if self.deadline is None:
                exporter.shutdown()
            else:
                self.flushed = exporter.force_flush(max(0, int((self.deadline - monotonic()) * 1e3)))
        except Exception:
            _logger.exception("turns could not be written")
        self.reached = True
        with suppress(RuntimeError):  # somebody else has, at the same moment
            self._gate.release()

    def wait(self, deadline: float) -> bool:
        """Wait until it is reached, or a time by `monotonic`; return whether it is."""
        while not self.reached and (left := deadline - monotonic()) > 0:
            # Not at one go: who has had it may not come to give it on.
            if self._gate.acquire(timeout=min(left, _LOOK_S)):
                self._gate.release()
        return self.reached


class ConversationSpanProcessor(SpanProcessor):
    """Hands finished turns to the exporter at once, on a thread of its own.

    Beyond the SDK's batch processor it is bounded by bytes, not by a number of spans; waits for nothing; takes turns of
    traces that are not sampled (spans that are recorded only); and writes everything at `force_flush` and `shutdown`.
    All other spans cost it next to nothing. It never blocks who ends a span::

        provider.add_span_processor(ConversationSpanProcessor(directory="/var/log/conversations"))

    Args:
        exporter: Where the turns go; by default a `ConversationSpanExporter` with the settings.
        settings: The keyword arguments of `ConversationSpanExporter`, where there is no exporter.

    Raises:
        TypeError: There are both.
        ValueError: A setting cannot be used.
    """

    def __init__(self, exporter: ConversationSpanExporter | None = None, **settings: object) -> None:
        if exporter is not None and settings:
            raise TypeError(f"the exporter has its own settings: {', '.join(settings)}")
        exporter = exporter or ConversationSpanExporter(**settings)  # type: ignore[arg-type]  # it checks them
        self.exporter: ConversationSpanExporter | ProcessWriter = (
            ProcessWriter(exporter) if exporter.writes_elsewhere else exporter
        )
        self.exporter.wait_for_twins()
        self._most_bytes = self.exporter.queue_bytes
        self._closed = False
        self._metrics = ProcessorMetrics(self)
        self._reset()
        after_fork_in_child(self._reset)

    def _reset(self) -> None:
        """Begin anew; in a forked child what waits in the parent is the parent's to write."""
        # The same thread may come back while it holds it, from a signal's handler or a destructor.
        self._lock = threading.RLock()
        self._starting = Reentry()
        self._last = _Mark()  # of all shutdowns: one that comes to another waits for the same
        self._queue: SimpleQueue[tuple[ReadableSpan, int] | _Mark] = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._seat = threading.Lock()  # the writer's: a thread may begin though a handler has raised in its start
        self._taken_bytes = 0
        self._dropped = 0
        self._dropped_lately = 0
        # The writer does not need the lock above for this: a handler that waits for the writer may hold that.
        self._written_lock = threading.RLock()
        self._written_bytes = 0

    @property
    def queue_bytes(self) -> int:
        """How many bytes of turns wait for the exporter."""
        return max(0, self._taken_bytes - self._written_bytes)

    @property
    def turns_dropped(self) -> int:
        """How many turns this process has dropped because too many bytes waited."""
        return self._dropped

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take a turn, whether its trace is sampled or not. Never raises, never waits."""
        size = 0
        try:
            if self.exporter.concerns(span):
                size = _size(span)
                self._take(span, size)
        except Exception:
            _logger.exception("a turn could not be taken, and is left for the next flush")
            self._queue.put((span, size))
        except BaseException:  # a signal's handler: it is not said whether the turn has been taken
            self._queue.put((span, size))
            raise

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Write all turns that have ended, also those that the disk has refused before.

        Returns:
            Whether all of them were with the operating system within the time. Never in a signal's handler, or a
            destructor, that has come into the middle of what the writer would have to wait for.
        """
        if self.exporter.is_interrupted:
            return False
        deadline = monotonic() + timeout_millis / 1e3
        mark = _Mark(deadline)
        return self._pass_mark(mark, deadline) and mark.flushed

    def shutdown(self) -> None:
        """Write all turns that have ended, and stop. A turn that ends afterwards is written within its `on_end`.

        A second one waits for the first, or, where an exception has come into that one, goes on where it was.
        """
        if self.exporter.is_interrupted:
            self.exporter.end_behind(self.shutdown)
            return
        self._closed = True
        deadline = monotonic() + _SHUTDOWN_S
        if not self._pass_mark(self._last, deadline):
            _logger.warning(
                "%d bytes of turns could not be written within %.0f s",
                self.queue_bytes + self.exporter.waiting_bytes,
                _SHUTDOWN_S,
            )
            return
        while self._seat.locked() and monotonic() < deadline:  # the writer is about to leave it
            sleep(_MOMENT_S)
        self._write_rest()

    def _take(self, span: ReadableSpan, size: int) -> None:
        if self._closed:
            self.exporter.export([span])
            return
        is_next = not self.queue_bytes and self.exporter.waiting_bytes + size <= self._most_bytes
        if is_next and self.exporter.take_at_once(span, size):
            self._metrics.processed(1)
            return
        with self._lock:
            full = self.queue_bytes + self.exporter.waiting_bytes + size > self._most_bytes
            if full:
                self._dropped += 1
                self._dropped_lately += 1
                begins = self._dropped_lately == 1
            else:
                self._taken_bytes += size
                self._queue.put((span, size))
                if not self._writes():
                    self._start()
        if not full:
            if not self._writes():
                self._write_if_closed()  # meanwhile, and nobody may come to take it
            return
        self._metrics.dropped()
        if begins:
            _logger.warning(
                "turns are dropped: %d bytes of them wait to be written, and OTEL_EXPORTER_CONVLOG_QUEUE_BYTES is %d",
                self.queue_bytes + self.exporter.waiting_bytes,
                self._most_bytes,
            )

    def _start(self) -> None:
        """Start the writer; a signal's handler that interrupts just this starts no other. The caller holds the lock."""
        if self._starting.is_here or self._closed:
            return
        with self._starting.middle():
            writer = threading.Thread(target=self._write, args=(self._queue,), name="convlog-writer", daemon=True)
            self._writer = writer  # before it begins: whatever comes between, nobody starts another beside it
            try:
                writer.start()
            except RuntimeError:  # the interpreter is ending; `shutdown` is still to come, and writes what waits
                return
            _flush_at_exit_of_child(self)

    def _writes(self) -> bool:
        """Say whether there is a writer."""
        return self._seat.locked() or (self._writer is not None and self._writer.is_alive())

    def _pass_mark(self, mark: _Mark, deadline: float) -> bool:
        """Wait until what was taken before has been written; return whether it was tried in time."""
        if not self._writes():
            self._write_rest()
            mark.reach(self.exporter)
            return True
        self._queue.put(mark)  # the writer does it, since a disk may hang, and who waits wants to go on
        return mark.wait(deadline)

    def _write(self, queue: SimpleQueue[tuple[ReadableSpan, int] | _Mark]) -> None:
        """Write until the last mark: the writer thread, unless there is one."""
        if not self._seat.acquire(blocking=False):
            return
        try:
            self._write_on(queue)
        finally:
            self._seat.release()

    def _write_on(self, queue: SimpleQueue[tuple[ReadableSpan, int] | _Mark]) -> None:
        # As the SDK's processors do around an export: an instrumented sqlite3 shall record nothing there.
        context_api.attach(context_api.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        linger_s = self.exporter.linger_s
        while True:
            item = queue.get()
            if linger_s and not isinstance(item, _Mark):
                sleep(linger_s)
            spans: list[ReadableSpan] = []
            size = 0
            while not isinstance(item, _Mark):
                spans.append(item[0])
                size += item[1]
                if len(spans) == _MOST_SPANS or size >= _MOST_BYTES:
                    break
                try:
                    item = queue.get_nowait()
                except Empty:
                    break
            self._export(spans, size)
            if isinstance(item, _Mark):
                item.reach(self.exporter)
                if item.last:
                    return

    def _write_if_closed(self) -> None:
        if self._closed:
            self._write_rest()

    def _write_rest(self) -> None:
        """Write what no writer takes any more."""
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                return
            if isinstance(item, _Mark):
                item.reach(self.exporter)
            else:
                self._export([item[0]], item[1])

    def _export(self, spans: list[ReadableSpan], size: int) -> None:
        try:
            if spans:
                self._metrics.processed(len(spans))
                self.exporter.export(spans)
        except Exception:
            _logger.exception("%d turns are lost", len(spans))
        with self._written_lock:
            self._written_bytes += size
        # The next time, where that lock is held: by who may wait for this, as said above.
        if self._queue.empty() and self._lock.acquire(blocking=False):
            ended = 0
            try:
                if self._queue.empty() and not self._closed:
                    self._taken_bytes = self._written_bytes  # a handler that raised may have come between the two
                    ended, self._dropped_lately = self._dropped_lately, 0
            finally:
                self._lock.release()
            if ended:
                _logger.warning("turns are written again; %d were dropped", ended)


def _size(span: ReadableSpan) -> int:
    """Return about how many bytes of memory a span keeps."""
    size = sum(map(sys.getsizeof, (span.attributes or {}).values()))
    for event in span.events:
        size += sum(map(sys.getsizeof, (event.attributes or {}).values()))
    return size


def _flush_at_exit_of_child(processor: ConversationSpanProcessor) -> None:
    """Let a child of multiprocessing write what waits before it ends: it runs finalizers of its own, no exit hooks."""
    for module in ("multiprocessing", "billiard"):  # Celery's own form of it
        util, process = sys.modules.get(f"{module}.util"), sys.modules.get(f"{module}.process")
        if util is not None and process is not None and process.current_process().name != "MainProcess":
            util.Finalize(processor, processor.force_flush, exitpriority=100)
