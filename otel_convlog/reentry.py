"""What comes into the middle of something on the very thread that is at it: from a signal's handler, or a destructor.

The locks that it would need are held by that thread, so it has to wait until the thread has come out of there.
"""

from __future__ import annotations

import inspect
from collections import deque
from threading import get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from opentelemetry.sdk.trace import ReadableSpan


class Reentry:
    """Knows which threads are in the middle, within ``with``, and keeps what has come there."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, in a forked child: what was set aside is the parent's to export."""
        self._frames: dict[int, FrameType | None] = {}  # by the threads that are in the middle, who is
        self._aside: deque[Sequence[ReadableSpan]] = deque()
        self._ends: dict[int, Callable[[], object]] = {}

    def __enter__(self) -> None:
        frame = inspect.currentframe()
        self._frames[get_ident()] = frame and frame.f_back

    def __exit__(self, *_: object) -> None:
        self._frames.pop(get_ident(), None)
        end = self._ends.pop(get_ident(), None)
        if end is not None:
            end()

    @property
    def is_here(self) -> bool:
        """Whether this thread is in the middle."""
        middle = self._frames.get(get_ident())
        if middle is None:
            return False
        frame = inspect.currentframe()
        while frame is not None:
            if frame is middle:
                return True
            frame = frame.f_back
        # A handler that raises may have come between the note that somebody is there and the block that ends that.
        self._frames.pop(get_ident(), None)
        return False

    @property
    def is_anywhere(self) -> bool:
        """Whether any thread is."""
        return bool(self._frames)

    @property
    def holds_any(self) -> bool:
        """Whether anything is set aside."""
        return bool(self._aside)

    def set_aside(self, spans: Sequence[ReadableSpan]) -> None:
        """Keep spans that have come here."""
        self._aside.append(spans)

    def taken(self) -> Iterator[Sequence[ReadableSpan]]:
        """Yield what was set aside, also what comes meanwhile."""
        while True:
            try:
                spans = self._aside.popleft()
            except IndexError:
                return
            yield spans

    def end_behind(self, end: Callable[[], object]) -> None:
        """Have something called when this thread is out of the middle."""
        self._ends[get_ident()] = end
