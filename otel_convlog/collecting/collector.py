"""The thread that exports what has come, many requests at once, and says of each what has become of it."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SpanExportResult

from otel_convlog import readers
from otel_convlog.collecting.intake import received
from otel_convlog.collecting.refusal import RefusedError, come_again

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from otel_convlog.collecting.intake import Body, Received
    from otel_convlog.collecting.received_span import ReceivedSpan
    from otel_convlog.collecting.spool import Spool
    from otel_convlog.exporter import ConversationSpanExporter

_MOST_BYTES = 8 << 20  # of one export, unless one body alone is more: they share what a write to their files costs
_SETTLE_S = 0.5  # how often the spool is cleared of what is written
_UNREADABLE = "a turn could not be read, or written; the log of otel-convlog collect says why"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What has become of a request whose spans were taken.

    Attributes:
        rejected: How many of its spans were not.
        message: Why.
    """

    rejected: int = 0
    message: str = ""


@dataclass(frozen=True)
class _Delivery:
    body: Body
    answer: Future[Answer] = field(default_factory=Future)


@dataclass(frozen=True)
class _Taken:
    """A request that has been read, and waits for its answer."""

    received: Received
    answer: Future[Answer]


class Collector:
    """Takes requests from any thread, and writes their spans on one of its own.

    A request is answered when its turns are in their files; a call of which more may come, when the spool has it.

    Args:
        exporter: Writes the turns.
        spool: Keeps the spans that wait.
    """

    def __init__(self, exporter: ConversationSpanExporter, spool: Spool) -> None:
        exporter.wait_for_senders()
        self._exporter = exporter
        self._spool = spool
        self._queue: SimpleQueue[_Delivery | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="convlog-collector", daemon=True)
        self._next_settling = 0.0

    @property
    def disk_works(self) -> bool:
        """Whether nothing waits because the disk has refused it."""
        return not self._exporter.refused_bytes

    def start(self) -> None:
        """Export what an earlier process has left in the spool, and begin.

        Raises:
            OSError: The spool cannot be read.
        """
        for resource_spans in self._spool.kept():
            request = ExportTraceServiceRequest()
            request.resource_spans.add().ParseFromString(resource_spans)
            self._exporter.export(received(request, len(resource_spans)).spans)
        self._thread.start()

    def deliver(self, body: Body) -> Future[Answer]:
        """Take a request.

        Returns:
            Its answer, or a `RefusedError`, when that is known.
        """
        delivery = _Delivery(body)
        self._queue.put(delivery)
        return delivery.answer

    def stop(self) -> None:
        """Answer what has been delivered, and write all that waits."""
        self._queue.put(None)
        self._thread.join()
        failed = self._exporter.turns_failed
        self._exporter.shutdown()
        try:
            if self._exporter.turns_failed == failed:  # else the next process tries again
                self._spool.settle(())
        except OSError as error:
            _logger.warning("what is written stays in the spool, to be written again: %s", error)
        self._spool.close()

    def _run(self) -> None:
        ended = False
        while not ended:
            batch: list[_Taken] = []
            size = 0
            try:
                delivery = self._queue.get(timeout=_SETTLE_S if self._spool.waits else None)
                while delivery is not None:
                    if (taken := self._read(delivery)) is not None:
                        batch.append(taken)
                        size += taken.received.size
                    if size >= _MOST_BYTES:
                        break
                    delivery = self._queue.get_nowait()
                ended = delivery is None
            except Empty:
                pass
            if batch:
                self._export(batch)
            self._settle()

    def _read(self, delivery: _Delivery) -> _Taken | None:
        """Read a request; answer one that cannot be."""
        answer = delivery.answer
        if not answer.set_running_or_notify_cancel():  # nobody waits for it any more
            return None
        if not self._disk_works_again():
            answer.set_exception(_refused_by_disk())
            return None
        try:
            return _Taken(delivery.body.read(), answer)
        except RefusedError as refusal:
            answer.set_exception(refusal)
        except Exception as error:
            _logger.exception("a request could not be read")
            answer.set_exception(RefusedError(HTTPStatus.BAD_REQUEST, f"it cannot be read: {type(error).__name__}"))
        return None

    def _disk_works_again(self) -> bool:
        if self._exporter.refused_bytes:
            self._exporter.export(())  # it tries now and then
        return self.disk_works

    def _export(self, batch: Sequence[_Taken]) -> None:
        try:
            self._write([span for taken in batch for span in taken.received.spans], batch)
        except OSError as error:
            _logger.error("spans cannot be kept: %s; senders are told to come again", error)  # noqa: TRY400  it says all
            _refuse(batch, _refused_by_disk())
        except Exception:
            _logger.exception("%d requests could not be written", len(batch))
            _refuse(batch, RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, _UNREADABLE))
        else:
            if not self.disk_works:
                _refuse(batch, _refused_by_disk())
                return
            for taken in batch:
                rejected = taken.received.rejected
                why = "; ".join(f"{count}: {reason}" for reason, count in rejected.items())
                taken.answer.set_result(Answer(rejected.total(), why))

    def _write(self, spans: Iterable[ReceivedSpan], batch: Sequence[_Taken]) -> None:
        """Export the spans that have not come before."""
        new: dict[tuple[int, int], ReceivedSpan] = {}
        for span in spans:
            if not (span.may_be_read and self._spool.knows(span.key)):
                new.setdefault(span.key, span)
        turns = [span for span in new.values() if readers.is_turn(span)]
        calls = [span for span in new.values() if span.may_be_read and not readers.is_turn(span)]
        if calls:
            self._spool.keep(calls)
        result = self._exporter.export(list(new.values()))
        if not self.disk_works:
            return
        lost: set[tuple[int, int]] = set()
        if result is not SpanExportResult.SUCCESS:  # which of them cannot be read, or written?
            lost.update(span.key for span in _unreadable(calls))
            lost.update(span.key for span in turns if self._exporter.export([span]) is not SpanExportResult.SUCCESS)
        for taken in batch if lost else ():
            if count := sum(span.key in lost for span in taken.received.spans):
                taken.received.rejected[_UNREADABLE] += count
        self._spool.note(span.key for span in turns if span.key not in lost)

    def _settle(self) -> None:
        """Clear the spool of what has been written, now and then."""
        now = monotonic()
        if not self._spool.waits or now < self._next_settling:
            return
        self._next_settling = now + _SETTLE_S
        try:
            waiting = self._exporter.waiting_spans()
            if waiting is not None:
                self._spool.settle(waiting)
        except OSError as error:
            _logger.warning("the spool is not cleared: %s", error)


def _unreadable(calls: Iterable[ReceivedSpan]) -> Iterator[ReceivedSpan]:
    """Yield the spans of calls that raise where they are read."""
    for span in calls:
        try:
            readers.read_call(span)
        except Exception:  # noqa: BLE001  the exporter has said which
            yield span


def _refused_by_disk() -> RefusedError:
    return come_again("the disk of the log refuses to be written to", after_s=5)


def _refuse(batch: Sequence[_Taken], refusal: RefusedError) -> None:
    for taken in batch:
        taken.answer.set_exception(refusal)
