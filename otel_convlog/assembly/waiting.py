"""The calls that wait for more to be known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from otel_convlog.assembly.call import Call, nested, overlap
from otel_convlog.readers.words import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_convlog.readers.call_span import CallSpan

_FOR_PARENT_S = 1.0

_K = TypeVar("_K")


class WaitingCalls:
    """Calls in the order in which they came, and where to find the one that a span belongs to.

    Args:
        for_twin_s: How long a call without parent waits: in another trace, another instrumentation's span may end that
            stands around it.
    """

    def __init__(self, for_twin_s: float = 0.0) -> None:
        self._for_twin_s = for_twin_s
        self._held: dict[Call, None] = {}
        self._by_span: dict[int, Call] = {}
        self._by_response: dict[str, list[Call]] = {}
        self._by_words: dict[bytes, list[Call]] = {}
        self._by_parent: dict[int, list[Call]] = {}
        self._by_asked: dict[bytes, list[Call]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._held))

    def hold(self, call: Call, now: float) -> None:
        """Take a call in; its first span says which parent it waits for."""
        self._held[call] = None
        self.bytes += sum(span.size for span in call.spans)
        self._index(call)
        self.wait_for(call, call.spans[-1 if call.spans[0].awaits_answer else 0].parent_id, now)
        if call.waits_for_stream:
            self._by_asked.setdefault(call.asked, []).append(call)

    def wait_for(self, call: Call, parent_id: int | None, now: float) -> None:
        """Let a call wait for a span around it; for none where it is None."""
        call.parent_id = parent_id
        if parent_id is not None:
            self._by_parent.setdefault(parent_id, []).append(call)
        call.until = now + (self._for_twin_s if parent_id is None else _FOR_PARENT_S)

    def awaits(self, span_id: int) -> bool:
        """Say whether any call waits for this span."""
        return span_id in self._by_parent

    def take_inner(self, span_id: int) -> list[Call]:
        """Return the calls that waited for a span, which is here; they wait for none then."""
        calls = self._by_parent.pop(span_id, [])
        for call in calls:
            call.parent_id = None
        return calls

    def same(self, span: CallSpan, asked: bytes, words: bytes) -> Call | None:
        """Return the call that a span says more of.

        Args:
            span: It is known by its answer's id, as the parent, or by what was said.
            asked: A digest of what was asked, where the span says what was answered to another one.
            words: A digest of what was said last.
        """
        if span.response_id:
            for call in self._by_response.get(span.response_id, ()):
                if span.maker not in call.makers and any(overlap(span, known.times) for known in call.spans):
                    return call
        if span.answers and (begun := self._by_asked.get(asked)):
            return begun[0]
        parent = self._by_span.get(span.parent_id) if span.parent_id is not None else None
        if parent is not None:
            return parent
        for call in self._by_words.get(words, ()) if words else ():
            if span.maker not in call.makers and any(nested(span, known.times) for known in call.spans):
                return call
        return None

    def add(self, call: Call, spans: list[CallSpan]) -> None:
        """Add what more is known of a call."""
        new = [span for span in spans if span not in call.spans]
        call.spans += new
        self.bytes += sum(span.size for span in new)
        self._index(call)

    def take(self, ready: Callable[[Call], bool]) -> list[Call]:
        """Return the calls that are ready, and let them go."""
        calls = [call for call in self._held if ready(call)]
        for call in calls:
            self.let_go(call)
        return calls

    def take_beyond(self, most_bytes: int) -> list[Call]:
        """Return the oldest calls while too much waits, and let them go."""
        calls: list[Call] = []
        while self.bytes > most_bytes and self._held:
            calls.append(oldest := next(iter(self._held)))
            self.let_go(oldest)
        return calls

    def let_go(self, call: Call) -> None:
        """Forget a call."""
        del self._held[call]
        self.bytes -= sum(span.size for span in call.spans)
        for span in call.spans:
            if self._by_span.get(span.span_id) is call:
                del self._by_span[span.span_id]
            _remove(self._by_response, span.response_id, call)
        for digest in call.words:
            _remove(self._by_words, digest, call)
        if call.parent_id is not None:
            _remove(self._by_parent, call.parent_id, call)
        _remove(self._by_asked, call.asked, call)

    def _index(self, call: Call) -> None:
        for span in call.spans:
            self._by_span[span.span_id] = call
            if span.response_id and call not in (known := self._by_response.setdefault(span.response_id, [])):
                known.append(call)
            if span.has_content and (digest := digest_of(span)) and digest not in call.words:
                call.words.add(digest)
                self._by_words.setdefault(digest, []).append(call)


def _remove(index: dict[_K, list[Call]], key: _K, call: Call) -> None:
    calls = index.get(key)
    if calls and call in calls:
        calls.remove(call)
        if not calls:
            del index[key]
