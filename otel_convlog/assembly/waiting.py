"""The calls that wait for more to be known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from otel_convlog.assembly.call import Call, Key, overlap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_convlog.readers.call_span import CallSpan

_FOR_PARENT_S = 1.0

_K = TypeVar("_K")


class WaitingCalls:
    """Calls in the order in which they came, and where to find the one that a span belongs to."""

    def __init__(self) -> None:
        self._held: dict[Call, None] = {}
        self._by_key: dict[Key, Call] = {}
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
            call.until = now + _FOR_PARENT_S

    def awaits(self, span_id: int) -> bool:
        """Say whether any call waits for this span."""
        return span_id in self._by_parent

    def take_inner(self, span_id: int) -> list[Call]:
        """Return the calls that waited for a span, which is here; they wait for none then."""
        calls = self._by_parent.pop(span_id, [])
        for call in calls:
            call.parent_id = None
        return calls

    def same(self, span: CallSpan, asked: bytes) -> Call | None:
        """Return the call that a span says more of: by its answer's id, by what it asked, or as its parent."""
        call = self._by_key.get(("response", span.response_id)) if span.response_id else None
        if call is not None and any(overlap(span, (known.started_ns, known.ended_ns)) for known in call.spans):
            return call
        if span.answers and (begun := self._by_asked.get(asked)):
            return begun[0]
        return self._by_key.get(("span", span.parent_id)) if span.parent_id is not None else None

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
        for key in call.keys:
            if self._by_key.get(key) is call:
                del self._by_key[key]
        if call.parent_id is not None:
            _remove(self._by_parent, call.parent_id, call)
        _remove(self._by_asked, call.asked, call)

    def _index(self, call: Call) -> None:
        for key in call.keys:
            self._by_key[key] = call


def _remove(index: dict[_K, list[Call]], key: _K, call: Call) -> None:
    calls = index.get(key)
    if calls and call in calls:
        calls.remove(call)
        if not calls:
            del index[key]
