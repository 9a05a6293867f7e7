"""The proxy's side of a writer in a process of its own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_convlog import own_process, readers
from otel_convlog.forks import after_fork_in_child, held_off
from otel_convlog.metrics import ExporterMetrics
from otel_convlog.reentry import Reentry
from otel_convlog.writer.frames import FrameReader, Report, packed, span_values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import IO

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_convlog.exporter import ConversationSpanExporter

if sys.platform == "linux":
    import fcntl

_logger = logging.getLogger(__name__)

_SHUTDOWN_S = 30.0
TURNS_BEFORE = 16  # that are written here first: a process that ends soon is not worth another one
_MOST_STARTS = 3  # of a process that ends at once, before turns are written in this one
_AT_ONCE_S = 10.0
_LINGER_S = 0.005  # each time that a thread takes the interpreter costs the proxy more than what it does then
_PIPE_BYTES = 1 << 20  # as much as Linux lets anybody have
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_MOST_AT_ONCE_BYTES = 1 << 18  # of a turn that is handed over where it ends

_NOTHING = Report(0, 0, 0, 0, 0, 0.0, flushed=True)


class _Sent(NamedTuple):
    """What the process has been given, and has not reported yet."""

    number: int
    spans: Sequence[ReadableSpan]
    size_bytes: int


class ProcessWriter(SpanExporter):
    """Hands turns to a process that writes them, so that a proxy's own work shares no interpreter lock with it.

    What it has handed over is written even where this process is killed. Until the other one is there, and where it has
    ended, this one writes itself: what has not been reported as done is written again, in the place of what may be
    there. Spans of instrumentations are put together where they are made, so as soon as there are any, all is written
    by this process.

    Args:
        exporter: Writes in this process, and has the settings for both.
    """

    def __init__(self, exporter: ConversationSpanExporter) -> None:
        self._local = exporter
        self._metrics = ExporterMetrics(self, lambda writer: writer.handed_over_bytes)
        self._writes_itself = False
        self._reset()
        after_fork_in_child(self._leave_to_parent)

    def _reset(self) -> None:
        # The same thread may come back while it holds one, from a signal's handler or a destructor.
        self._lock = threading.RLock()  # for what is sent, in order
        self._reported = threading.Condition(threading.RLock())  # for what has been sent, and its reports
        self._process: subprocess.Popen[bytes] | None = None
        self._room_bytes = 0  # of the pipe to the process, where that is known
        self._reentry = Reentry()
        self._ready = False  # whether the process has said that it is there
        self._turns = 0  # that have come
        self._sent: deque[_Sent] = deque()
        self._sent_bytes = 0
        self._number = 0
        self._last = _NOTHING
        self._written_before = self._failed_before = 0  # by processes that have ended
        self._starts: deque[float] = deque(maxlen=_MOST_STARTS)

    @property
    def directory(self) -> Path:
        """Where the day folders go."""
        return self._local.directory

    @property
    def queue_bytes(self) -> int:
        """How many bytes of turns may wait."""
        return self._local.queue_bytes

    @property
    def turns_written(self) -> int:
        """How many turns this process, or its writer, has written."""
        return self._local.turns_written + self._written_before + self._last.written

    @property
    def turns_failed(self) -> int:
        """How many turns are lost: neither written nor kept for another try."""
        return self._local.turns_failed + self._failed_before + self._last.failed

    @property
    def waiting_bytes(self) -> int:
        """How many bytes of turns wait: for the writer's process, for the disk, or for more that is to be known."""
        return self._local.waiting_bytes + self.handed_over_bytes

    @property
    def handed_over_bytes(self) -> int:
        """How many bytes of turns the writer's process has and has not written."""
        return self._sent_bytes + self._last.waiting_bytes

    @property
    def linger_s(self) -> float:
        """How long turns may gather before they are handed over together, in seconds."""
        return _LINGER_S

    @property
    def is_interrupted(self) -> bool:
        """Whether this thread is in the middle of a hand-over, so that it must not wait for another thread's."""
        return self._reentry.is_here or self._local.is_interrupted

    def end_behind(self, end: Callable[[], object]) -> None:
        """Have something called when this thread, which `is_interrupted`, is out of the middle."""
        (self._reentry if self._reentry.is_here else self._local).end_behind(end)

    def wait_for_twins(self) -> None:
        """Expect spans one by one as they end, rather than many at once."""
        self._local.wait_for_twins()

    def concerns(self, span: ReadableSpan) -> bool:
        """Say whether a finished span may have to do with a turn; cheap enough to ask it of every span."""
        return self._local.concerns(span)

    def take_at_once(self, span: ReadableSpan, size_bytes: int) -> bool:
        """Hand a finished turn over within the call, where the pipe surely has room for it. Never waits.

        A thread that did it would take the interpreter from the proxy, at a multiple of what this costs; and what is in
        the pipe is written though the proxy is killed.

        Args:
            span: The turn's.
            size_bytes: About how large it is.

        Returns:
            Whether it is handed over. Where it is not, it is to be exported.
        """
        if not self._ready or self._writes_itself or size_bytes > _MOST_AT_ONCE_BYTES or not readers.is_turn(span):
            return False
        if self._reentry.is_here:  # what it has interrupted is not done yet
            return False
        with self._reentry.middle():
            if not self._lock.acquire(blocking=False):
                return False
            try:
                process = self._process
                if process is None or process.stdin is None:
                    return False
                frame = self._packed([span])
                if not self._has_room(len(frame)):
                    return False
                self._give(process, [span], frame)
                return True
            finally:
                self._lock.release()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand the turns among the spans over, or write them. Never raises.

        Returns:
            SUCCESS when their bytes have been handed to the writer's process; where this one writes itself, what
            `ConversationSpanExporter.export` returns.
        """
        if not self._writes_itself:
            self._writes_itself = not all(map(readers.is_turn, spans))
            if not self._writes_itself and self._send(spans):
                return SpanExportResult.SUCCESS
        return self._local.export(spans)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Write all that waits.

        Returns:
            Whether all turns were with the operating system within the time.
        """
        deadline = monotonic() + timeout_millis / 1e3
        return self._flush(deadline) and self._local.force_flush(max(0, int((deadline - monotonic()) * 1e3)))

    def shutdown(self) -> None:
        """Write all that waits, or try a last time, and let the writer's process end."""
        deadline = monotonic() + _SHUTDOWN_S
        if not self._flush(deadline):
            _logger.warning("the writer's process has not written all turns within %.0f s", _SHUTDOWN_S)
        with self._lock:
            process, self._process, self._ready = self._process, None, False
            self._writes_itself = True
        if process is not None:
            _close(process.stdin)
            try:
                process.wait(max(0.0, deadline - monotonic()))
            except subprocess.TimeoutExpired:  # it goes on by itself, and ends when it can
                _logger.warning("the writer's process %d has not ended yet", process.pid)
        self._local.shutdown()

    def _flush(self, deadline: float) -> bool:
        if not self._send(None):
            return True
        number = self._number
        with self._reported:
            in_time = self._reported.wait_for(
                lambda: self._last.number >= number or not self._ready, max(0.0, deadline - monotonic())
            )
            flushed = in_time and self._last.flushed
        # Where the process has ended meanwhile, this one writes what it has not, as long as it holds the other lock.
        if flushed and self._lock.acquire(timeout=max(0.0, deadline - monotonic())):
            self._lock.release()
            return True
        return False

    def _send(self, spans: Sequence[ReadableSpan] | None) -> bool:
        """Hand spans over, or, without any, ask for all that waits to be written; return whether it has them."""
        if self._reentry.is_here:  # what it has interrupted is not done yet
            return False
        with self._lock, self._reentry.middle():
            process = self._process
            self._turns += len(spans or ())
            if process is None and spans and self._turns >= TURNS_BEFORE:
                self._start()
            if process is None or not self._ready:
                return False
            self._give(process, spans or (), self._packed(spans))
            return True

    def _packed(self, spans: Sequence[ReadableSpan] | None) -> bytes:
        """Return the next frame."""
        return packed((self._number + 1, None if spans is None else [span_values(span) for span in spans]))

    def _give(self, process: subprocess.Popen[bytes], spans: Sequence[ReadableSpan], frame: bytes) -> None:
        """Send the next frame to the process."""
        try:
            with self._reported:
                self._sent.append(_Sent(self._number + 1, spans, len(frame)))
                self._sent_bytes += len(frame)
                self._number += 1
            pipe, left = process.stdin, memoryview(frame)
            while pipe is not None and left:
                left = left[pipe.write(left) :]
        except BaseException as error:
            # It has ended; or a signal's handler has come between, and it cannot be said what it has of the frame. Who
            # reads its reports writes what it has not.
            _close(process.stdin)
            if not isinstance(error, (OSError, ValueError)):
                raise

    def _has_room(self, size_bytes: int) -> bool:
        """Say whether the pipe surely takes a frame without waiting.

        It holds at most what has not been reported; and of each frame a page may be taken that is not full.
        """
        with self._reported:
            held = self._sent_bytes + len(self._sent) * _PAGE_BYTES
        return held + size_bytes + _PAGE_BYTES <= self._room_bytes

    def _start(self) -> None:
        """Start the process, unless it ends again and again; it says when it is there."""
        now = monotonic()
        if len(self._starts) == _MOST_STARTS and now - self._starts[0] < _AT_ONCE_S:
            self._give_up("it ends as soon as it is started")
            return
        self._starts.append(now)
        with held_off():  # a child must know of the pipes, to close them
            try:
                process = own_process.start(
                    "otel_convlog.writer.child",
                    self._local.keywords,
                    stdout=subprocess.PIPE,
                    new_session=True,  # a terminal's signals are for the proxy
                    environment=self._local.environment,
                )
            except (OSError, ValueError, TypeError, RuntimeError) as error:
                self._give_up(str(error))
                return
            self._process = process
        try:
            threading.Thread(target=self._listen, args=(process,), name="convlog-reports", daemon=True).start()
        except RuntimeError as error:  # no more threads; or the interpreter is ending
            self._process = None
            _close(process.stdin)
            _close(process.stdout)
            self._give_up(str(error))
            return
        self._room_bytes = _widened(process.stdin)

    def _give_up(self, why: str) -> None:
        self._writes_itself = True
        _logger.warning("turns are written by the proxy's own process, for there is no other: %s", why)

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Take the reports of a process until it ends, and write what it has not."""
        frames = FrameReader(process.stdout.fileno())  # type: ignore[union-attr]  # it is a pipe
        while (values := frames.next()) is not None:
            report = Report(*values)
            with self._reported:
                while self._sent and self._sent[0].number <= report.number:
                    self._sent_bytes -= self._sent.popleft().size_bytes
                self._count(report)
                self._ready = self._process is process
                self._reported.notify_all()
        self._take_back(process)
        process.wait()
        _close(process.stdin)
        _close(process.stdout)

    def _take_back(self, process: subprocess.Popen[bytes]) -> None:
        """Write here what a process that has ended has not reported as done."""
        with self._lock:
            if self._process is process:
                _logger.warning(
                    "the writer's process %d has ended; what it has not reported is written here", process.pid
                )
                self._process, self._ready = None, False
            elif self._process is not None:  # another one has been started, and what is sent is that one's
                return
            with self._reported:
                unreported = [sent.spans for sent in self._sent if sent.spans]
                self._sent.clear()
                self._sent_bytes = 0
                self._written_before += self._last.written
                self._failed_before += self._last.failed
                self._last = _NOTHING
                self._number = 0
                self._reported.notify_all()
            for spans in unreported:
                self._local.export(spans)

    def _count(self, report: Report) -> None:
        before, self._last = self._last, report
        if report.written > before.written:
            self._metrics.written(report.written - before.written, report.written_bytes - before.written_bytes)
            self._metrics.took(report.took_s)
        if report.failed > before.failed:
            self._metrics.failed(report.failed - before.failed)

    def _leave_to_parent(self) -> None:
        """In a forked child: the process is its parent's, and must see no second one at the other end of its pipe."""
        process = self._process
        if process is not None:
            process.returncode = 0  # not this process's to wait for
            _close(process.stdin)
            _close(process.stdout)
        self._reset()


def _widened(pipe: IO[bytes] | None) -> int:
    """Let a pipe take more before it makes who writes wait; return how many bytes that are, 0 where it is not known."""
    if sys.platform == "linux" and pipe is not None:
        with suppress(OSError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        with suppress(OSError):
            return fcntl.fcntl(pipe.fileno(), fcntl.F_GETPIPE_SZ)
    return 0


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with suppress(OSError):
            pipe.close()
