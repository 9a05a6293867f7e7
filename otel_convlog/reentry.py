"""What comes into the middle of something on the very thread that is at it: from a signal's handler, or a destructor.

The locks that it would need are held by that thread, so it has to wait until the thread has come out of there. And a
handler may raise, at any moment: what the thread had in hand then is kept, for whoever comes next.
"""

from __future__ import annotations

import sys
from collections import deque
from threading import get_ident
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import FrameType

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_convlog.record import TurnRecord
    from otel_convlog.store import RenderedTurn

_P = ParamSpec("_P")
_T = TypeVar("_T")

_MOST_TRIES = 2  # what is not a handler's doing would fail for ever


class InHand:
    """What a thread is about to write. Of its attributes the last one that is not None counts.

    Attributes:
        spans: Finished spans, as they have come.
        records: The turns that were read from them.
        files: The same as they are to be written, by their files; those that are written, or wait, are gone from it.
    """

    def __init__(self, spans: Sequence[ReadableSpan] = ()) -> None:
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
        self._kept: deque[InHand] = deque()
        self._ends: dict[int, Callable[[], object]] = {}

    def middle(self, in_hand: InHand | None = None) -> _Middle:
        """Return the middle, as a context manager.

        Args:
            in_hand: What this thread has in hand there. Where the block does not come to its end, it is kept.
        """
        return _Middle(self, in_hand)

    @property
    def is_here(self) -> bool:
        """Whether this thread is in the middle."""
        middle = self._middles.get(get_ident())
        if middle is None:
            return False
        if is_running(middle.frame):
            return True
        # A handler that raises may have come between the note that somebody is there and the block that ends that.
        self._leave(middle, whole=False)
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
        self._kept.append(InHand(spans))

    def taken(self) -> Iterator[InHand]:
        """Yield what is kept, also what comes meanwhile."""
        while True:
            try:
                in_hand = self._kept.popleft()
            except IndexError:
                return
            yield in_hand

    def end_behind(self, end: Callable[[], object]) -> None:
        """Have something called when this thread is out of the middle."""
        self._ends[get_ident()] = end

    def _enter(self, middle: _Middle) -> None:
        self._middles[get_ident()] = middle

    def _leave(self, middle: _Middle, *, whole: bool) -> None:
        in_hand = middle.in_hand
        if in_hand is not None and not whole:
            in_hand.tries += 1
            if in_hand.tries < _MOST_TRIES:
                self._kept.appendleft(in_hand)  # it was there before what has come meanwhile
        self._middles.pop(get_ident(), None)
        end = self._ends.pop(get_ident(), None)
        if end is not None:
            end()


class _Middle:
    """The middle of something, for one thread."""

    __slots__ = ("_reentry", "frame", "in_hand")

    def __init__(self, reentry: Reentry, in_hand: InHand | None) -> None:
        self._reentry = reentry
        self.in_hand = in_hand
        self.frame: FrameType | None = None

    def __enter__(self) -> None:
        self.frame = sys._getframe(1)  # noqa: SLF001  as logging and typing do
        self._reentry._enter(self)  # noqa: SLF001  a part of it

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._reentry._leave(self, whole=kind is None)  # noqa: SLF001  as above


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
