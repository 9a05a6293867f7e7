"""Brings together what several spans say of the same call of a model.

Instrumentations nest and repeat: a client library's own span stands beside the instrumentation's, a framework's span
around both, an agent's around them all; a streamed call may be two spans in two traces; and a proxy that records its
turns may make instrumented calls within them. Each of these is one turn here, with the union of what is known.

A call waits until nothing more can come: until the span at the root of its trace in this process has ended, for a
second at most; until its stream has ended; until the turn of the proxy's in which it may stand has. A span without
parent waits for nothing.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from otel_convlog import open_turns, readers
from otel_convlog.assembly.call import Call, Key, Recent, Written, asked, begins_before_end, nested, overlap, twice
from otel_convlog.assembly.content_capture import ContentCapture
from otel_convlog.assembly.waiting import FOR_SENDERS_S, FOR_TWIN_S, WaitingCalls
from otel_convlog.readers.call_record import record_of, with_call_spans
from otel_convlog.readers.call_span import CallSpan, Kind
from otel_convlog.readers.nesting import TurnWords
from otel_convlog.readers.words import contradict, digest_of
from otel_convlog.reentry import tried_twice

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    from otel_convlog.record import TurnRecord

TICK_S = 0.25  # how often to look for calls that wait no longer
_MOST_BYTES = 64 << 20
_MOST_OF_A_TRACE = 64
_MOST_TURNS = 64
_REMEMBERED_BYTES = 256 << 10  # how large a turn is kept for calls of which none has been seen yet
_MOST_BEGUN = 64
_MOST_BARE = 16

_logger = logging.getLogger(__name__)


class Assembler:
    """Gives the turns among finished spans. For any number of threads.

    Args:
        sources: The vocabularies that become turns.
        most_bytes: How much may wait; beyond it, the oldest call waits no longer.

    """

    def __init__(self, sources: Collection[str] = readers.SOURCES, *, most_bytes: int = _MOST_BYTES) -> None:
        self._at_least_s = 0.0
        self._reads_turns = readers.TURN in sources
        self._vocabularies = frozenset(sources) - {readers.TURN}
        self._most_bytes = min(most_bytes, _MOST_BYTES)
        self._closed = False
        self._content = ContentCapture()
        self.reset()

    def reset(self) -> None:
        """Forget what waits; in a forked child it is the parent's to write."""
        self._lock = threading.Lock()
        self._waiting = WaitingCalls(self._at_least_s)
        self._bare: Recent[Key, list[CallSpan]] = Recent()  # spans without content whose call has not been seen
        self._done: Recent[Key, Written] = Recent()
        self._begun: Recent[bytes, CallSpan] = Recent(_MOST_BEGUN)  # written before their streams ended
        self._traces: Recent[int, deque[int]] = Recent()  # when the last calls of a trace began
        self._seen_turns: Recent[int, None] = Recent()
        self._last_turns: deque[TurnWords] = deque(maxlen=_MOST_TURNS)

    def wait_for_twins(self) -> None:
        """Let calls without parent wait too: spans come one by one, and the next may be of the same call."""
        self._at_least_s = FOR_TWIN_S
        self.reset()

    def wait_for_senders(self) -> None:
        """Let all calls wait as long as other processes take to send what belongs to them."""
        self._at_least_s = FOR_SENDERS_S
        self.reset()

    @property
    def waiting_bytes(self) -> int:
        """About how many bytes wait."""
        return self._waiting.bytes

    @property
    def holds_any(self) -> bool:
        """Whether anything waits, so that `due` is to be called every `TICK_S` seconds."""
        return bool(self._waiting)

    def waiting_spans(self) -> set[tuple[int, int]]:
        """Return the trace and span ids of what waits: of the calls, and of what is known to stand around them."""
        with self._lock:
            return {(span.trace_id, span.span_id) for call in self._waiting for span in (*call.spans, *call.around)}

    def concerns(self, span: ReadableSpan) -> bool:
        """Say whether a span is to be handed to `add`; cheap, for it is asked of every span."""
        if readers.may_read(span.name, span.attributes or ()):
            if readers.is_turn(span):
                return self._reads_turns
            if self._vocabularies and readers.is_call(span):
                return True
        return span.context is not None and self._waiting.awaits(span.context.span_id)

    def add(self, spans: Sequence[ReadableSpan]) -> tuple[list[TurnRecord], int]:
        """Take finished spans.

        Returns:
            The turns to write now, in the order in which they began, and how many spans could not be read.
        """
        turns: list[tuple[ReadableSpan, TurnRecord]] = []
        others: list[tuple[ReadableSpan, CallSpan | None]] = []
        unreadable = 0
        for span in spans:
            try:
                if readers.is_turn(span):
                    record = tried_twice(readers.read, span) if self._reads_turns else None
                    if record is not None:
                        turns.append((span, record))
                elif self._vocabularies and span.context is not None:
                    call = tried_twice(readers.read_call, span, self._vocabularies) if readers.is_call(span) else None
                    others.append((span, call))
            except Exception:
                unreadable += 1
                _logger.exception("a turn is lost: its span could not be read")
        with self._lock:
            now = monotonic()
            for span, call in others:
                try:
                    self._place(call, now) if call is not None else self._pass(span, now)
                except Exception:
                    unreadable += 1
                    _logger.exception("a turn is lost: its span could not be read")
            records = [self._with_calls(span, record) for span, record in turns]
            calls = self._waiting.take_touched(self._is_ready(now)) + self._waiting.take_beyond(self._most_bytes)
            self._note_done(calls)
        records += _records(calls)
        records.sort(key=lambda record: record.started_at)
        return records, unreadable

    def due(self) -> list[TurnRecord]:
        """Return the turns that wait no longer."""
        with self._lock:
            under_way = self._under_way()
            for call in self._waiting:
                call.turns.intersection_update(under_way)
            calls = self._waiting.take(self._is_ready(monotonic()))
            self._note_done(calls)
        return _records(calls)

    def flush(self, *, last: bool = False) -> list[TurnRecord]:
        """Return the turns that wait for spans around them.

        Args:
            last: Return all of them, also those whose stream, or whose turn of the proxy's, has not ended; from now on
                nothing waits.
        """
        with self._lock:
            self._closed = self._closed or last
            if last:
                self._content.warn()
            calls = self._waiting.take(lambda call: last or not (call.turns or call.waits_for_stream))
            self._note_done(calls)
        return _records(calls)

    def _is_ready(self, now: float) -> Callable[[Call], bool]:
        if self._closed:
            return lambda _: True
        if not self._waiting:
            return lambda _: False
        # A turn that had ended before the oldest call began is about none of them.
        under_way = self._under_way(self._waiting.since_ns)
        first = min((turn.number for turn in under_way.values()), default=sys.maxsize)
        return lambda call: not call.waits(now, first)

    def _pass(self, span: ReadableSpan, now: float) -> None:
        """Take a span that is of no call: those that waited for it wait for the one around it."""
        if span.context is not None:
            around = span.parent.span_id if span.parent and not span.parent.is_remote else None
            for call in self._waiting.take_inner(span.context.span_id):
                self._waiting.wait_for(call, around, now)

    def _place(self, span: CallSpan, now: float) -> None:
        """Take a span of a call to the call that it belongs to."""
        if span.kind is Kind.CALL:
            self._content.saw(span)
        inner = self._waiting.take_inner(span.span_id)
        for call in inner:
            self._waiting.wait_for(call, span.parent_id, now)
        if span.kind is Kind.CALL:  # what is within it and says otherwise is a call of its own
            inner = [
                call
                for call in inner
                if begins_before_end(call.times, span.times) and not contradict(span, call.spans[0])
            ]
        if span.kind is not Kind.CALL or sum(call.answered for call in inner) > 1:
            for call in inner:
                call.around.append(span.without_content())
            # An agent of which no call can be seen is the turn itself.
            if not inner and span.kind is Kind.AGENT and span.said.asks and not self._holds_calls(span):
                self._open(span, now)
            return
        self._place_call(span, inner, now)

    def _place_call(self, span: CallSpan, inner: Sequence[Call], now: float) -> None:
        words = digest_of(span) if span.has_content else b""
        if span.has_content:  # also where the call has been seen in another trace: an agent around this one is no turn
            self._note_start(span)
        same = self._join(inner) if inner else self._waiting.same(span, asked(span), words)
        if same is not None:
            self._waiting.add(same, [span])
            self._waiting.add(same, self._bare_of_response(span, same.makers))
        elif self._is_known(span, words):
            if span.parent_id is not None:
                self._done.note(
                    ("around", span.parent_id), Written(span.times, {span.maker}, {words} if words else set())
                )
        elif span.has_content:
            self._open(span, now)
        else:
            self._keep_bare(span)

    def _open(self, span: CallSpan, now: float) -> None:
        """Begin a call with the first span that has content."""
        self._content.saw(span)
        begun = self._begun.pop(asked(span), None) if span.answers else None
        # One that was written before its answer came is written again.
        spans = [span] if begun is None else [begun, span]
        spans += self._bare.pop(("around", span.span_id), [])
        spans += self._bare_of_response(span, {known.maker for known in spans})
        under_way = self._under_way(span.started_ns)
        turns = {span_id for span_id, turn in under_way.items() if turn.trace_id == span.trace_id}
        before = max((turn.number for turn in under_way.values()), default=0) if not turns else 0
        call = Call(list(dict.fromkeys(spans)), turns, before, asked(spans[0]), now, now)
        self._waiting.hold(call, span.parent_id, now)

    def _note_start(self, span: CallSpan) -> None:
        starts = self._traces.get(span.trace_id) or deque(maxlen=_MOST_OF_A_TRACE)
        starts.append(span.started_ns)
        self._traces.note(span.trace_id, starts)

    def _join(self, calls: Sequence[Call]) -> Call:
        """Make one of calls that turn out to be the same: tries, of which the last may have succeeded."""
        same = next((call for call in calls if call.answered), calls[0])
        for call in calls:
            if call is not same:
                self._waiting.let_go(call)
                self._waiting.add(same, call.spans)
                same.turns |= call.turns
                same.before = max(same.before, call.before)
        return same

    def _keep_bare(self, span: CallSpan) -> None:
        keys: list[Key] = [("response", span.response_id)] if span.response_id else []
        if span.parent_id is not None:
            keys.append(("around", span.parent_id))
        for key in keys:
            known = self._bare.get(key, [])
            if len(known) < _MOST_BARE:
                known.append(span)
            self._bare.note(key, known)

    def _bare_of_response(self, span: CallSpan, makers: Collection[tuple[str, str]]) -> list[CallSpan]:
        """Return the spans without content of the same answer, one of each maker that is not there yet."""
        key: Key = ("response", span.response_id)
        found: dict[tuple[str, str], CallSpan] = {}
        for bare in self._bare.get(key, []) if span.response_id else []:
            if bare.maker not in makers and overlap(span, bare.times):
                found.setdefault(bare.maker, bare)
        if found:
            self._bare[key] = [bare for bare in self._bare[key] if found.get(bare.maker) is not bare]
        return list(found.values())

    def _is_known(self, span: CallSpan, words: bytes) -> bool:
        """Say whether the call of a span has been written."""
        if span.answers and asked(span) in self._begun:
            return False
        written = self._done.get(("response", span.response_id)) if span.response_id else None
        if written is not None and span.maker not in written.makers and overlap(span, written.times):
            return written.agrees(words)
        said = self._done.get(("words", words)) if words else None
        if said is not None and span.maker not in said.makers and nested(span, said.times):
            return True
        if any(twice(span, known.makers, known.times) for known in (written, said) if known is not None):
            return True
        if ("span", span.span_id) in self._done:
            return True
        return self._is_related(span, words) or any(turn.holds([span]) for turn in self._last_turns)

    def _is_related(self, span: CallSpan, words: bytes) -> bool:
        """Say whether a call has been written that stands in this span, or around it."""
        inner = self._done.get(("around", span.span_id))
        if inner is not None and begins_before_end(inner.times, span.times) and inner.agrees(words):
            return True
        outer = self._done.get(("span", span.parent_id)) if span.parent_id is not None else None
        return outer is not None and begins_before_end(span.times, outer.times) and outer.agrees(words)

    def _note_done(self, calls: Iterable[Call]) -> None:
        for call in calls:
            written = Written(call.times, call.makers, call.words)
            for key in call.keys:
                self._done.note(key, written)
            if call.parent_id is not None:
                self._done.note(("around", call.parent_id), written)
            if call.waits_for_stream:
                self._begun.note(call.asked, call.spans[0])

    def _holds_calls(self, around: CallSpan) -> bool:
        """Say whether a call has been seen within a span that is around calls."""
        starts = self._traces.get(around.trace_id, ())
        return any(around.started_ns <= started_ns <= around.ended_ns for started_ns in starts)

    def _under_way(self, since_ns: int = 0) -> dict[int, open_turns.OpenTurn]:
        """Return the proxy's turns that have not come yet, by their spans' ids."""
        if not self._reads_turns:
            return {}
        under_way = open_turns.under_way(since_ns)
        return {span_id: turn for span_id, turn in under_way.items() if span_id not in self._seen_turns}

    def _with_calls(self, span: ReadableSpan, record: TurnRecord) -> TurnRecord:
        """Add to a turn of the proxy's what the calls that stand in it say."""
        if span.context is None or not self._vocabularies:
            return record
        try:
            inner = self._take_calls_of(span, span.context)
            return with_call_spans(record, inner) if inner else record
        except Exception:
            _logger.exception("the calls of %s could not be read", record.turn_id)
            return record

    def _take_calls_of(self, span: ReadableSpan, context: SpanContext) -> list[CallSpan]:
        """Return what the calls that stand in a turn of the proxy's say; they are no turns of their own."""
        self._seen_turns.note(context.span_id, None)
        self._waiting.take_inner(context.span_id)
        inner: list[CallSpan] = []
        words = TurnWords(span)
        if self._waiting:
            for call in self._waiting.that_may_stand_in(context.trace_id, words.response_ids):
                call.turns.discard(context.span_id)
                self._waiting.touch(call)
                # Of calls in other traces that are alike, each belongs to a turn of its own.
                alike = call.makers & {known.maker for known in inner} and not words.shares_trace(call.spans)
                if not alike and words.holds(call.spans):
                    inner += call.spans
                    self._waiting.let_go(call)
                    self._note_done([call])
        inner += self._bare.pop(("around", context.span_id), [])
        if self._traces or inner or words.size <= _REMEMBERED_BYTES:  # the first calls may come late, as LiteLLM's do
            self._last_turns.append(words)
        return inner


def _records(calls: Iterable[Call]) -> list[TurnRecord]:
    records = []
    for call in calls:
        try:
            records.append(record_of(call.spans, call.around))
        except Exception:
            _logger.exception("a turn is lost: its spans could not be read")
    return records
