"""The turns of this process that have begun and may not have been exported yet.

Spans of an instrumented upstream call end before their turn does. The exporter asks here whether there is a turn that
they may belong to, and waits for it.
"""

from __future__ import annotations

import weakref
from collections import deque
from itertools import count
from time import time_ns
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext

_MOST_ENDED = 1024
_WAIT_NS = 10 * 10**9  # from the end of a turn to its span at the exporter: a batch processor takes five


class OpenTurn(NamedTuple):
    """A turn that has begun.

    Attributes:
        number: Turns are numbered as they begin.
        trace_id: The trace of its span.
    """

    number: int
    trace_id: int


_numbers = count(1)
_open: dict[int, tuple[OpenTurn, weakref.ref[Span]]] = {}  # by span id
_ended: deque[tuple[int, OpenTurn, int]] = deque(maxlen=_MOST_ENDED)  # span id, the turn, and when, in nanoseconds


def begin(span: Span, context: SpanContext) -> None:
    """Note a turn that begins. One that is never finalized is forgotten when its span is."""
    span_id = context.span_id
    turn = OpenTurn(next(_numbers), context.trace_id)
    _open[span_id] = (turn, weakref.ref(span, lambda _: _open.pop(span_id, None)))


def end(span_id: int) -> None:
    """Note that a turn has ended; its span is on its way."""
    known = _open.pop(span_id, None)
    if known is not None:
        _ended.append((span_id, known[0], time_ns()))


def under_way(since_ns: int = 0) -> dict[int, OpenTurn]:
    """Return the turns that have begun, without those that ended long ago.

    Args:
        since_ns: Those that ended before that time do not count either, in nanoseconds since the epoch.

    Returns:
        The turns by their spans' ids.
    """
    if not (_open or _ended):
        return {}
    since_ns = max(since_ns, time_ns() - _WAIT_NS)
    # Each of the two copies is one step, which no other thread comes into.
    found = {span_id: turn for span_id, turn, ended_ns in list(_ended) if ended_ns >= since_ns}
    found.update({span_id: known[0] for span_id, known in list(_open.items())})
    return found
