"""What comes into the middle of something on the very thread that is at it: from a signal's handler, or a destructor.

The locks that it would need are held by that thread, so it has to wait until the thread has come out of there. And a
handler may raise, at any moment: what the thread had in hand then is kept, for whoever comes next.
"""

from __future__ import annotations

import sys
from heapq import heappop, heappush
from itertools import count
from threading import get_ident
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import FrameType

    from opentelemetry.sdk.trace import ReadableSpan
    from typing_extensions import Self

    from otel_convlog.record import TurnRecord
    from otel_convlog.store import RenderedTurn

_P = ParamSpec("_P")
_T = TypeVar("_T")

_numbers = count()
_MOST_TRIES = 2  # where an exception comes that may be no handler's, and would come for ever


class InHand:
    """What a thread is about to write. Of its attributes the last one that is not None counts.

    Attributes:
        spans: Finished spans, as they have come.
        records: The turns that were read from them.
        files: The same as they are to be written, by their files; those that are written, or wait, are gone from it.
    """

    def __init__(self, spans: Sequence[ReadableSpan] = ()) -> None:
        self.number = next(_numbers)  # in the order in which they have come
        self.spans = spans
        self.records: Sequence[TurnRecord] | None = None
        self.files: dict[Path, list[RenderedTurn]] | None = None
        self.tries = 0


class Reentry:
    """Knows which threads are in the middle, within ``with``, and keeps what has come there, or was left there."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, in a forked child: what was set aside, or is in hand, is the parent's to export."""
        self._middles: dict[int, _Middle] = {}  # by the threads that are in the middle
        self._kept: list[tuple[int, InHand]] = []  # a heap, whose functions are one step each to other threads
        self._ends: dict[int, Callable[[], object]] = {}

    def middle(self, in_hand: InHand | None = None) -> _Middle:
        """Return the middle, as a context manager; within one there may be others.

        Args:
            in_hand: What this thread has in hand there. Where the block does not come to its end, it is kept.
        """
        return _Middle(self, in_hand)

    @property
    def is_here(self) -> bool:
        """Whether this thread is in the middle."""
        while (middle := self._middles.get(get_ident())) is not None:
            if is_running(middle.frame):
                return True
            # A handler that raises may have come between the note that somebody is there and the block that ends that.
            self._leave(middle, BaseException)
        return False

    @property
    def is_anywhere(self) -> bool:
        """Whether any thread is, or has left something."""
        return bool(self._middles or self._kept)

    @property
    def holds_any(self) -> bool:
        """Whether anything is kept."""
        return bool(self._kept)

    def set_aside(self, spans: Sequence[ReadableSpan]) -> None:
        """Keep spans that have come here."""
        self._keep(InHand(spans))

    def end_behind(self, end: Callable[[], object]) -> None:
        """Have something called when this thread is out of the middle."""
        self._ends[get_ident()] = end

    def _keep(self, in_hand: InHand) -> None:
        heappush(self._kept, (in_hand.number, in_hand))

    def _enter(self, middle: _Middle) -> None:
        middle.outer = self._middles.get(get_ident())
        self._middles[get_ident()] = middle

    def _leave(self, middle: _Middle, kind: type[BaseException] | None) -> None:
        in_hand = middle.in_hand
        if in_hand is not None and kind is not None:
            in_hand.tries += issubclass(kind, Exception)
            if in_hand.tries < _MOST_TRIES:
                self._keep(in_hand)
        if middle.outer is not None:
            self._middles[get_ident()] = middle.outer
            return
        self._middles.pop(get_ident(), None)
        end = self._ends.pop(get_ident(), None)
        if end is not None:
            end()


class _Middle:
    """The middle of something, for one thread."""

    __slots__ = ("_reentry", "frame", "in_hand", "outer")

    def __init__(self, reentry: Reentry, in_hand: InHand | None) -> None:
        self._reentry = reentry
        self.in_hand = in_hand
        self.frame: FrameType | None = None
        self.outer: _Middle | None = None

    def __enter__(self) -> Self:
        self.frame = sys._getframe(1)  # noqa: SLF001  as logging and typing do
        self._reentry._enter(self)  # noqa: SLF001  a part of it
        return self

    def take(self) -> InHand | None:
        """Take in hand what has been kept longest; return it, None where nothing is."""
        try:
            self.in_hand = heappop(self._reentry._kept)[1]  # noqa: SLF001  as above
        except IndexError:
            return None
        return self.in_hand

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._reentry._leave(self, kind)  # noqa: SLF001  as above


def tried_twice(function: Callable[_P, _T], *arguments: _P.args, **options: _P.kwargs) -> _T:
    """Return what a function returns; it is called once more where it raises: what a handler has raised is over then.

    Raises:
        Exception: It has raised that, and would again.
    """
    try:
        return function(*arguments, **options)
    except Exception:  # noqa: BLE001  a handler may raise anything
        return function(*arguments, **options)


def is_running(frame: FrameType | None, thread: int | None = None) -> bool:
    """Say whether a function's frame is among those that a thread is in.

    Args:
        frame: The frame.
        thread: The thread's identifier; this one's where none is given.
    """
    current = sys._getframe(1) if thread is None else sys._current_frames().get(thread)  # noqa: SLF001  as above
    while current is not None and frame is not None:
        if current is frame:
            return True
        current = current.f_back
    return False
