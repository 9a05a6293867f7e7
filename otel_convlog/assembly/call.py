"""A call of which some spans have been seen, and memory of what has been."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from otel_convlog.jsontext import to_json

if TYPE_CHECKING:
    from collections.abc import Collection

    from otel_convlog.readers.call_span import CallSpan

_AT_MOST_S = 600.0  # for a stream, or the turn of the same trace, that does not end
_FOR_OTHER_TRACES_S = 10.0  # from the end of a call to that of the turn in which it stands
_MOST_REMEMBERED = 4096

# What a span may be met by again: ("span", its id), ("response", the answer's id), ("around", the id of its parent),
# ("words", a digest of what was said last).
Key: TypeAlias = "tuple[str, int | str | bytes]"

_K = TypeVar("_K")
_V = TypeVar("_V")


class Recent(OrderedDict[_K, _V]):
    """What has been seen lately; the oldest is forgotten.

    Args:
        most: How much is remembered.
    """

    def __init__(self, most: int = _MOST_REMEMBERED) -> None:
        super().__init__()
        self._most = most

    def note(self, key: _K, value: _V) -> None:
        """Remember a value, as the newest."""
        self[key] = value
        self.move_to_end(key)
        while len(self) > self._most:
            self.popitem(last=False)


@dataclass(eq=False, slots=True)
class Call:
    """A call of which something has been seen.

    Attributes:
        spans: What is known of it; the one whose turn it is first.
        around: Spans of agents and chains around it.
        turns: The proxy's turns of its trace, that it may stand in.
        before: The number of the last of all the turns that had begun before it ended, of any trace.
        asked: A digest of what was asked, where another span says what was answered; else empty.
        since: When it came, by `monotonic`.
        until: When it waits for what may stand around it no longer.
        words: Digests of what was asked and answered last.
        parent_id: The span that must end before nothing more can come; None where there is none.
    """

    spans: list[CallSpan]
    turns: set[int]
    before: int
    asked: bytes
    since: float
    until: float
    words: set[bytes] = field(default_factory=set)
    parent_id: int | None = None
    around: list[CallSpan] = field(default_factory=list)

    @property
    def answered(self) -> bool:
        """Whether its answer is known."""
        return any(span.said.answers_it for span in self.spans)

    @property
    def awaits_inner(self) -> bool:
        """Whether a span in the one that is known of it may come after that, and say more."""
        return any(span.awaits_inner for span in self.spans)

    @property
    def waits_for_stream(self) -> bool:
        """Whether another span is still to say what was answered."""
        return any(span.awaits_answer for span in self.spans) and not (
            self.answered or any(span.error is not None for span in self.spans)
        )

    @property
    def times(self) -> tuple[int, int]:
        """When it began and ended, in nanoseconds."""
        return min(span.started_ns for span in self.spans), max(span.ended_ns for span in self.spans)

    @property
    def makers(self) -> set[tuple[str, str]]:
        """What made its spans."""
        return {span.maker for span in self.spans}

    @property
    def keys(self) -> list[Key]:
        """What a span that belongs to it may be known by."""
        keys: list[Key] = [("span", span.span_id) for span in self.spans]
        keys += [("response", span.response_id) for span in self.spans if span.response_id]
        return keys + [("words", digest) for digest in self.words]

    def waits(self, now: float, first_turn: int) -> bool:
        """Say whether more may come of it.

        Args:
            now: The time, by `monotonic`.
            first_turn: The number of the first of the proxy's turns that have begun and not come yet.
        """
        if now < self.until:
            return True
        if first_turn <= self.before and now < self.since + _FOR_OTHER_TRACES_S:
            return True
        return now < self.since + _AT_MOST_S and (bool(self.turns) or self.waits_for_stream)


class Written(NamedTuple):
    """What is remembered of a call that has been written.

    Attributes:
        times: When it began and ended, in nanoseconds.
        makers: What made its spans.
        words: Digests of what was asked and answered last.
    """

    times: tuple[int, int]
    makers: set[tuple[str, str]]
    words: set[bytes]

    def agrees(self, words: bytes) -> bool:
        """Say whether a span with these words may be of the call: what says something else is of another one."""
        return not words or not self.words or words in self.words


def overlap(span: CallSpan, times: tuple[int, int]) -> bool:
    """Say whether a span and a call were at the same time: else the same id is of two calls, as in a test's answers."""
    return span.started_ns < times[1] and times[0] < span.ended_ns


def begins_before_end(inner: tuple[int, int], outer: tuple[int, int]) -> bool:
    """Say whether what has another as its parent can stand in it: a parent that has ended before has been left current.

    OpenLLMetry's LangChain does that where a call has failed; the next call is no part of it.
    """
    return inner[0] <= outer[1]


def nested(span: CallSpan, times: tuple[int, int]) -> bool:
    """Say whether a span stands within a call, or around it, by its times."""
    began, ended = times
    return (began <= span.started_ns and span.ended_ns <= ended) or (
        span.started_ns <= began and ended <= span.ended_ns
    )


def twice(span: CallSpan, makers: Collection[tuple[str, str]], times: tuple[int, int]) -> bool:
    """Say whether a span tells again of a call that one of the same maker has told of.

    LiteLLM may write a stream twice, and gives both spans the time at which the call began.
    """
    return span.maker in makers and span.started_ns == times[0]


def asked(span: CallSpan) -> bytes:
    """Return a digest of what was asked, by which a stream's end is known to belong to its beginning."""
    if not (span.awaits_answer or span.answers):
        return b""
    said = span.said
    return blake2b(to_json([span.client_model, said.request, said.messages, said.system]), digest_size=16).digest()
