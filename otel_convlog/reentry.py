"""What comes into the middle of an export on the very thread that is at it: from a signal's handler, or a destructor.

The locks that it would need are held by that thread, so it is set aside until the thread has come out of there.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan


class Reentry:
    """Knows which threads are in the middle, and keeps what has come there."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, in a forked child: what was set aside is the parent's to export."""
        self._threads: set[int] = set()
        self._aside: deque[Sequence[ReadableSpan]] = deque()
        self._to_end: int | None = None

    @property
    def is_here(self) -> bool:
        """Whether this thread is in the middle."""
        return get_ident() in self._threads

    @property
    def is_anywhere(self) -> bool:
        """Whether any thread is."""
        return bool(self._threads)

    @property
    def holds_any(self) -> bool:
        """Whether anything is set aside."""
        return bool(self._aside)

    @contextmanager
    def middle(self, end: Callable[[], object]) -> Iterator[None]:
        """Be in the middle within the block.

        Args:
            end: Called behind the block where this thread was told to end in it.
        """
        self._threads.add(get_ident())
        try:
            yield
        finally:
            self._threads.discard(get_ident())
            if self._to_end == get_ident():
                self._to_end = None
                end()

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

    def end_behind(self) -> None:
        """Have the end come when this thread is out of the middle."""
        self._to_end = get_ident()
