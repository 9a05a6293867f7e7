"""The calls that wait for more to be known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from otel_convlog.assembly.call import Call, begins_before_end, nested, overlap, twice
from otel_convlog.readers.words import contradict, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from otel_convlog.readers.call_span import CallSpan

_FOR_PARENT_S = 1.0
FOR_TWIN_S = 0.1
FOR_SENDERS_S = 10.0  # for either, where other processes send it: a batch processor takes five, and may try again
_MOST = 4096

_K = TypeVar("_K")


class WaitingCalls:
    """Calls in the order in which they came, and where to find the one that a span belongs to.

    Args:
        at_least_s: How long any call waits, also one without parent: in another trace, another instrumentation's span
            may end that stands around it.
    """

    def __init__(self, at_least_s: float = 0.0) -> None:
        self._at_least_s = at_least_s
        self._held: dict[Call, None] = {}
        # Indexes have dicts for sets: they keep the order, and thousands may wait for one parent.
        self._by_span: dict[int, Call] = {}
        self._by_trace: dict[int, dict[Call, None]] = {}
        self._by_response: dict[str, dict[Call, None]] = {}
        self._by_words: dict[bytes, dict[Call, None]] = {}
        self._by_parent: dict[int, dict[Call, None]] = {}
        self._by_asked: dict[bytes, dict[Call, None]] = {}
        self._without_id: dict[Call, None] = {}
        self._touched: dict[Call, None] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._held))

    @property
    def since_ns(self) -> int:
        """When the first of them began, in nanoseconds."""
        return next((call.spans[0].started_ns for call in self._held), 0)

    def hold(self, call: Call, parent_id: int | None, now: float) -> None:
        """Take a call in, which waits for a parent, where there is one."""
        self._held[call] = None
        self._index(call, call.spans)
        self.wait_for(call, parent_id, now)
        if call.waits_for_stream:
            self._by_asked.setdefault(call.asked, {})[call] = None

    def wait_for(self, call: Call, parent_id: int | None, now: float) -> None:
        """Let a call wait for a span around it; for none where it is None."""
        call.parent_id = parent_id
        if parent_id is not None:
            self._by_parent.setdefault(parent_id, {})[call] = None
        for_inner_s = FOR_TWIN_S if call.awaits_inner else 0.0
        call.until = now + max(self._at_least_s, for_inner_s if parent_id is None else _FOR_PARENT_S)
        self._touched[call] = None

    def awaits(self, span_id: int) -> bool:
        """Say whether any call waits for this span."""
        return span_id in self._by_parent

    def take_inner(self, span_id: int) -> list[Call]:
        """Return the calls that waited for a span, which is here; they wait for none then."""
        calls = list(self._by_parent.pop(span_id, ()))
        for call in calls:
            call.parent_id = None
            self._touched[call] = None
        return calls

    def same(self, span: CallSpan, asked: bytes, words: bytes) -> Call | None:
        """Return the call that a span says more of.

        Args:
            span: It is known by its answer's id, as the parent, or by what was said.
            asked: A digest of what was asked, where the span says what was answered to another one.
            words: A digest of what was said last.
        """
        for call in self._by_response.get(span.response_id, ()) if span.response_id else ():
            other_maker = span.maker not in call.makers and any(overlap(span, known.times) for known in call.spans)
            if (other_maker or _tells_again(span, call)) and not contradict(span, call.spans[0]):
                return call
        for call in self._by_asked.get(asked, ()) if span.answers else ():
            return call
        parent = self._by_span.get(span.parent_id) if span.parent_id is not None else None
        if parent is not None and begins_before_end(span.times, parent.times) and not contradict(span, parent.spans[0]):
            return parent
        for call in self._by_words.get(words, ()) if words else ():
            other_maker = span.maker not in call.makers and any(nested(span, known.times) for known in call.spans)
            if other_maker or _tells_again(span, call):
                return call
        return None

    def that_may_stand_in(self, trace_id: int, response_ids: Collection[str]) -> list[Call]:
        """Return the calls that a turn of the proxy's may be about: of its trace, with its ids, or without any."""
        found = dict(self._by_trace.get(trace_id, {}))
        for response_id in response_ids:
            found.update(self._by_response.get(response_id, {}))
        found.update(self._without_id)
        return list(found)

    def add(self, call: Call, spans: Iterable[CallSpan]) -> None:
        """Add what more is known of a call."""
        new = [span for span in spans if span not in call.spans]
        call.spans += new
        self._index(call, new)
        self._touched[call] = None

    def touch(self, call: Call) -> None:
        """Have a call looked at by the next `take_touched`."""
        self._touched[call] = None

    def take_touched(self, ready: Callable[[Call], bool]) -> list[Call]:
        """Return those of the calls that something has happened to which are ready, and let them go."""
        touched, self._touched = self._touched, {}
        return self._take([call for call in touched if call in self._held and ready(call)])

    def take(self, ready: Callable[[Call], bool]) -> list[Call]:
        """Return the calls that are ready, and let them go."""
        self._touched = {}
        return self._take([call for call in self._held if ready(call)])

    def take_beyond(self, most_bytes: int) -> list[Call]:
        """Return the oldest calls while too much waits, and let them go."""
        calls: list[Call] = []
        while self._held and (self.bytes > most_bytes or len(self._held) > _MOST):
            calls.append(oldest := next(iter(self._held)))
            self.let_go(oldest)
        return calls

    def let_go(self, call: Call) -> None:
        """Forget a call."""
        del self._held[call]
        self._without_id.pop(call, None)
        for span in call.spans:
            self.bytes -= span.size
            if self._by_span.get(span.span_id) is call:
                del self._by_span[span.span_id]
            _remove(self._by_trace, span.trace_id, call)
            _remove(self._by_response, span.response_id, call)
        for digest in call.words:
            _remove(self._by_words, digest, call)
        if call.parent_id is not None:
            _remove(self._by_parent, call.parent_id, call)
        _remove(self._by_asked, call.asked, call)

    def _take(self, calls: list[Call]) -> list[Call]:
        for call in calls:
            self.let_go(call)
        return calls

    def _index(self, call: Call, spans: Iterable[CallSpan]) -> None:
        for span in spans:
            self.bytes += span.size
            self._by_span[span.span_id] = call
            self._by_trace.setdefault(span.trace_id, {})[call] = None
            if span.response_id:
                self._by_response.setdefault(span.response_id, {})[call] = None
            if span.has_content and (digest := digest_of(span)):
                call.words.add(digest)
                self._by_words.setdefault(digest, {})[call] = None
        if call.answered:
            _remove(self._by_asked, call.asked, call)
        if any(span.response_id for span in call.spans):
            self._without_id.pop(call, None)
        else:
            self._without_id[call] = None


def _tells_again(span: CallSpan, call: Call) -> bool:
    return any(twice(span, {known.maker}, known.times) for known in call.spans)


def _remove(index: dict[_K, dict[Call, None]], key: _K, call: Call) -> None:
    calls = index.get(key)
    if calls is not None:
        calls.pop(call, None)
        if not calls:
            del index[key]
