"""The span exporter: reads turns from spans, identifies their conversations, stores them."""

from __future__ import annotations

import logging
import os
import threading
from math import inf
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from opentelemetry import context as context_api
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_convlog.assembly.assembler import TICK_S, Assembler
from otel_convlog.delivery import TurnDelivery
from otel_convlog.destination import Destination
from otel_convlog.forks import after_fork_in_child
from otel_convlog.identity.identifier import Identifier
from otel_convlog.metrics import ExporterMetrics
from otel_convlog.redaction.logs import keep_secrets_out_of_logs
from otel_convlog.redaction.turns import TurnRedactor
from otel_convlog.reentry import InHand, Reentry, tried_twice
from otel_convlog.rendering import TurnRenderer
from otel_convlog.settings import PREFIX, Settings
from otel_convlog.store.directory_key import DirectoryKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_convlog.record import TurnRecord
    from otel_convlog.store import RenderedTurn

_logger = logging.getLogger(__name__)


class ConversationSpanExporter(SpanExporter):
    """Writes the turns among the spans it is given, one JSON file per conversation per day; ignores all other spans.

    For any span processor, from any number of threads and processes at once. Each argument, where it is absent or
    None, is taken from ``OTEL_EXPORTER_CONVLOG_<ARGUMENT>``, else has its default::

        provider.add_span_processor(BatchSpanProcessor(ConversationSpanExporter(directory="/var/log/conversations")))

    Args:
        directory: Where the day folders go; default ``data/conversations``, from the working directory.
        grouping: How a turn without an id finds its conversation: ``lineage`` (default), it joins the one that it
            continues; ``dialogue``, likewise, and a dialogue that opens like an earlier one is one of its own;
            ``seed``, neither (docs/identity.md).
        scope: Where the values stand that keep tenants apart, e.g. ``header:x-tenant`` or ``body:user``, one or
            several; default: none.
        conversation_keys: Where the conversation's id stands, besides the places that are known, e.g.
            ``header:x-chat``, ``body:extra.chat`` or ``attribute:chat.id``; default: none.
        sources: Which spans become turns: ``turn``, those of this package's calls, ``gen_ai`` and ``openinference``,
            those of instrumentations (docs/sources.md); default: all three.
        stream_events: How many stream events are kept: ``all`` (default), ``none``, or a number, of the first and of
            the last in each direction.
        fsync: ``never`` (default): a turn survives the end of the process; ``always``: the loss of power too.
        max_age_days: Conversations that were written last longer ago than this are removed; default: none.
        max_bytes: The oldest conversations are removed while all together are larger; default: none.
        queue_bytes: How many bytes of turns may wait in memory while they cannot be written; default 256 MiB.
        content: How much of what was said is written: ``full`` (default), ``metadata`` or ``none``, and
            ``route=mode`` for routes of their own, with commas.
        group_access: What the group may do with the files: ``none`` (default), ``read`` or ``write``.
        redact_headers: Names of headers to mask, besides those that are known to carry secrets; default: none.
        redact_patterns: A file of regular expressions, one a line, for what else is to be taken out; default: none.
        redactor: Called with the name of a turn's field and each text in it; returns the text as it may be written
            (docs/privacy.md). There is no variable for it.
        catalog: The URL of a database that several machines share, ``postgresql://…``; then the directory may be the
            URL of an object store (docs/scale.md). Default: none.
        spool: Where turns wait then that are on their way there; default ``data/spool``.
        spool_bytes: How many bytes of them may wait there; default 1 GiB.
        quiet_ms: How long a conversation has been quiet then before its document is made, in milliseconds; default
            60,000.
        evidence_days: How long a turn is recognised there by those that continue it, in days; default 60.
        writer: Where a `ConversationSpanProcessor` has turns written: ``thread`` (default), by a thread of this
            process; ``process``, by a process of its own (docs/delivery.md).

    Raises:
        ValueError: An argument cannot be used. (A variable that cannot be is warned of and ignored.)
    """

    def __init__(  # noqa: PLR0913  an argument for each setting
        self,
        *,
        directory: str | os.PathLike[str] | None = None,
        grouping: str | None = None,
        scope: str | Sequence[str] | None = None,
        conversation_keys: str | Sequence[str] | None = None,
        sources: str | Sequence[str] | None = None,
        stream_events: str | int | None = None,
        fsync: str | None = None,
        max_age_days: int | None = None,
        max_bytes: int | None = None,
        queue_bytes: int | None = None,
        content: str | None = None,
        group_access: str | None = None,
        redact_headers: str | Sequence[str] | None = None,
        redact_patterns: str | os.PathLike[str] | None = None,
        redactor: Callable[[str, str], str] | None = None,
        writer: str | None = None,
        catalog: str | None = None,
        spool: str | os.PathLike[str] | None = None,
        spool_bytes: int | None = None,
        quiet_ms: int | None = None,
        evidence_days: int | None = None,
    ) -> None:
        self._keywords: dict[str, object] = {
            "directory": directory,
            "grouping": grouping,
            "scope": scope,
            "conversation_keys": conversation_keys,
            "sources": sources,
            "stream_events": stream_events,
            "fsync": fsync,
            "max_age_days": max_age_days,
            "max_bytes": max_bytes,
            "queue_bytes": queue_bytes,
            "content": content,
            "group_access": group_access,
            "redact_headers": redact_headers,
            "redact_patterns": redact_patterns and os.path.abspath(redact_patterns),  # noqa: PTH100  it may be a Path or text
            "writer": writer,
            "catalog": catalog,
            "spool": spool,
            "spool_bytes": spool_bytes,
            "quiet_ms": quiet_ms,
            "evidence_days": evidence_days,
        }
        keep_secrets_out_of_logs()
        self._settings = Settings.resolve(**self._keywords)
        self._redactor = TurnRedactor(
            headers=self._settings.redact_headers, patterns=self._settings.redact_patterns, hook=redactor
        )
        self._has_hook = redactor is not None
        if self._has_hook and self._settings.own_process:
            _logger.warning("a redactor is a function of this process, so turns are written by a thread of it")
        self._destination = Destination(self._settings, self.keywords, self.environment)
        self._store = self._destination.store
        identifier = Identifier(
            self._store.evidence,
            grouping=self._settings.grouping,
            scope=self._settings.scope,
            conversation_keys=self._settings.conversation_keys,
            shown=self._redactor.clean_text,
        )
        self._assembler = Assembler(self._settings.sources, most_bytes=self._settings.queue_bytes)
        self._timer: threading.Timer | None = None
        key = DirectoryKey(self._settings.directory, access=self._store.access)
        self._renderer = TurnRenderer(self._settings, identifier, self._redactor, self._destination, key)
        self._metrics = ExporterMetrics(self, lambda exporter: exporter.waiting_bytes)
        self._delivery = TurnDelivery(self._store, self._settings.queue_bytes, self._metrics)
        self._reentry = Reentry()
        after_fork_in_child(self._leave_to_parent)

    @property
    def directory(self) -> Path:
        """Where the day folders go."""
        return self._settings.directory

    @property
    def queue_bytes(self) -> int:
        """How many bytes of turns may wait."""
        return self._settings.queue_bytes

    @property
    def writes_elsewhere(self) -> bool:
        """Whether a processor is to have its turns written by a process of its own."""
        return self._settings.own_process and not self._has_hook

    @property
    def linger_s(self) -> float:
        """How long turns may gather before they are exported together, in seconds."""
        return 0.0

    @property
    def keywords(self) -> dict[str, object]:
        """The arguments that make another one like this, in another process."""
        given = {name: value for name, value in self._keywords.items() if value is not None}
        keywords = {**given, **self._settings.place}
        keywords.pop("catalog", None)  # it stands in `environment`
        return keywords

    @property
    def environment(self) -> dict[str, str]:
        """The variables that it needs there besides: what only the same user may see of a process."""
        return {f"{PREFIX}CATALOG": self._settings.shared.database} if self._settings.shared else {}

    @property
    def bytes_written(self) -> int:
        """How many bytes of turns this process has written."""
        return self._delivery.bytes_written

    @property
    def turns_written(self) -> int:
        """How many turns this process has written."""
        return self._delivery.turns_written

    @property
    def redaction_failures(self) -> Mapping[str, int]:
        """How often a field of a turn was blanked because a rule or the hook has failed in it, by the field's name."""
        return dict(self._redactor.failures)

    @property
    def turns_failed(self) -> int:
        """How many turns this process has lost: neither written nor kept for another try."""
        return self._delivery.turns_failed

    @property
    def waiting_bytes(self) -> int:
        """How many bytes of turns wait: for the disk to work again, or for more that is to be known of them."""
        return self._delivery.waiting_bytes + self._assembler.waiting_bytes

    @property
    def is_interrupted(self) -> bool:
        """Whether this thread is in the middle of an export, so that it must not wait for another thread to do one."""
        return self._reentry.is_here

    def end_behind(self, end: Callable[[], object]) -> None:
        """Have something called when this thread, which `is_interrupted`, is out of the middle."""
        self._reentry.end_behind(end)

    def wait_for_twins(self) -> None:
        """Expect spans one by one as they end, rather than many at once; to be called before the first."""
        self._assembler.wait_for_twins()

    def wait_for_senders(self) -> None:
        """Expect spans that other processes send, in whatever pieces; to be called before the first."""
        self._assembler.wait_for_senders()

    @property
    def refused_bytes(self) -> int:
        """How many bytes of turns wait because the disk has refused them."""
        return self._delivery.waiting_bytes

    def waiting_spans(self) -> set[tuple[int, int]] | None:
        """Return the trace and span ids of what has been taken, and is not written.

        Returns:
            They are for what more may come of their calls. None where that cannot be said now: something is being
            written, or the disk refuses it.
        """
        waiting = self._assembler.waiting_spans()
        # In this order: what has left the assembler since is written, or somebody is at it.
        return None if self._reentry.is_anywhere or self._delivery.waiting_bytes else waiting

    def take_at_once(self, span: ReadableSpan, size_bytes: int) -> bool:  # noqa: ARG002  as `ProcessWriter` has it
        """Say that a turn is to be exported: to write it takes too long for who ends it."""
        return False

    def concerns(self, span: ReadableSpan) -> bool:
        """Say whether a finished span may have to do with a turn; cheap enough to ask it of every span."""
        return self._assembler.concerns(span)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the turns among the spans. Never raises.

        Returns:
            SUCCESS when the bytes of all turns have been handed to the operating system, or wait in memory because it
            has refused them; FAILURE where a turn is lost, which the log says.
        """
        if self._reentry.is_here:
            self._reentry.set_aside(spans)
            return SpanExportResult.SUCCESS
        try:
            with self._reentry.middle(in_hand := InHand(spans)):
                self._write_kept()
                lost = self._write(in_hand)
        except Exception:
            _logger.exception("spans could not be exported")
            return SpanExportResult.FAILURE
        self._write_kept()
        self._look_again()
        self._destination.look_after()
        return SpanExportResult.FAILURE if lost else SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Write what waits for spans around it, and try again to write what the disk has refused.

        Args:
            timeout_millis: After that no further file is tried that has been refused before.

        Returns:
            Whether all turns are with the operating system.
        """
        if self._reentry.is_here:
            return False
        return self._flush(last=False, deadline=monotonic() + timeout_millis / 1e3)

    def shutdown(self) -> None:
        """Write all that waits, or try a last time. What is exported afterwards is written all the same."""
        if self._reentry.is_here:
            self._reentry.end_behind(self.shutdown)
            return
        self._flush(last=True)
        with self._reentry.middle():
            self._delivery.give_up()
        self._write_kept()
        self._destination.close()

    def _write_kept(self) -> None:
        """Write what has come into the middle of something, or was in hand where a handler has raised."""
        while self._reentry.holds_any:
            try:
                with self._reentry.middle() as middle:
                    if (in_hand := middle.take()) is not None:
                        self._write(in_hand)
            except Exception:
                _logger.exception("spans could not be exported")

    def _flush(self, *, last: bool, deadline: float = inf) -> bool:
        try:
            while True:
                self._write_kept()
                with self._reentry.middle(in_hand := InHand()):
                    in_hand.records = self._assembler.flush(last=last)
                    self._write(in_hand, at_once=True, deadline=deadline)
                if not self._reentry.holds_any or monotonic() >= deadline:
                    break
        except Exception:
            _logger.exception("turns could not be written")
        return not self._delivery.waiting_bytes

    def _look_again(self) -> None:
        """Come back in a moment where calls wait for more that is to be known of them."""
        if self._timer is not None or not self._assembler.holds_any:
            return
        timer = threading.Timer(TICK_S, self._write_due)
        timer.name, timer.daemon = "convlog-calls", True
        self._timer = timer
        try:
            timer.start()
        except RuntimeError:  # no more threads, or the interpreter is ending: `shutdown` is still to come
            self._timer = None

    def _write_due(self) -> None:
        if threading.current_thread() is not self._timer:
            return  # another thread has started one at the same moment, and that one comes back
        self._timer = None
        # As the SDK's processors do around an export: an instrumented sqlite3 shall record nothing there.
        token = context_api.attach(context_api.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            with self._reentry.middle(in_hand := InHand()):
                in_hand.records = self._assembler.due()
                self._write(in_hand)
            self._write_kept()
        except Exception:
            _logger.exception("turns could not be written")
        finally:
            context_api.detach(token)
        self._look_again()

    def _write(self, in_hand: InHand, *, at_once: bool = False, deadline: float = inf) -> int:
        """Read turns from what is in hand, find their conversations, and write them; return how many are lost."""
        started = perf_counter()
        lost = 0
        if in_hand.records is None:
            in_hand.records, lost = self._assembler.add(in_hand.spans)
            self._delivery.lose(lost)
        if in_hand.files is None:
            in_hand.files, unreadable = self._by_file(in_hand.records)
            self._delivery.lose(unreadable)
            lost += unreadable
        lost += self._delivery.deliver(in_hand.files, at_once=at_once, deadline=deadline)
        if in_hand.records:
            self._metrics.took(perf_counter() - started)
        return lost

    def _place(self, record: TurnRecord, by_file: dict[Path, list[RenderedTurn]]) -> None:
        path, rendered = self._renderer.rendered(record)
        by_file.setdefault(path, []).append(rendered)

    def _by_file(self, records: Sequence[TurnRecord]) -> tuple[dict[Path, list[RenderedTurn]], int]:
        """Return turns as they are to be written, by their files, and how many cannot be."""
        by_file: dict[Path, list[RenderedTurn]] = {}
        unreadable = 0
        for record in records:
            try:
                tried_twice(self._place, record, by_file)
            except Exception:
                unreadable += 1
                _logger.exception("a turn is lost: its span could not be read")
        return by_file, unreadable

    def _leave_to_parent(self) -> None:
        """In a forked child: what is in hand, and what waits, is its parent's."""
        self._delivery.reset()
        self._reentry.reset()
        self._assembler.reset()
        self._timer = None
