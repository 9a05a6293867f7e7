"""Turns that the disk has refused, waiting in memory for it to work again."""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING

from otel_convlog.forks import after_fork_in_child

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from otel_convlog.store import RenderedTurn

_logger = logging.getLogger(__name__)

_PAUSE_S = 1.0  # between two tries while turns come in: a try may be slow, and a turn of a request waits for it


class PendingTurns:
    """Keeps turns up to a number of bytes, in their order; says when trouble begins and when it ends.

    Args:
        most_bytes: How many bytes of turns may wait.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._reset()
        # What waits in a parent is the parent's to write; its lock may be held by a thread that the child lacks.
        after_fork_in_child(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[Path, list[RenderedTurn]] = {}
        self._in_hand: set[Path] = set()  # files whose waiting turns are being tried
        self._bytes = 0  # of what waits, and of what is being tried
        self._next_try = 0.0
        self._trouble = False
        self._works = True  # whether the last write did
        self._full = False
        self._lost = 0  # since trouble began
        self._waited = 0
        self._closed = False

    @property
    def bytes(self) -> int:
        """How many bytes of turns are waiting, or being tried again."""
        return self._bytes

    def take(self, *, at_once: bool) -> dict[Path, list[RenderedTurn]]:
        """Take what waits, to try it again; `written`, `put_back` or `drop` must follow for each file.

        Args:
            at_once: Also shortly after the last try.
        """
        with self._lock:
            now = monotonic()
            if not self._turns or (not at_once and now < self._next_try):
                return {}
            self._next_try = now + _PAUSE_S
            taken = {path: turns for path, turns in self._turns.items() if path not in self._in_hand}
            for path in taken:
                del self._turns[path]
                self._in_hand.add(path)
            return taken

    def written(self, path: Path, turns: Sequence[RenderedTurn]) -> None:
        """Note that turns which were taken have been written."""
        with self._lock:
            self._in_hand.discard(path)
            self._bytes -= _size(turns)
            self._waited += len(turns)
            self._works = True

    def drop(self, path: Path, turns: Sequence[RenderedTurn]) -> None:
        """Forget turns which were taken, and which another try would not help."""
        with self._lock:
            self._in_hand.discard(path)
            self._bytes -= _size(turns)
            self._lost += len(turns)

    def put_back(self, path: Path, turns: Sequence[RenderedTurn]) -> None:
        """Let turns which were taken wait on, before those that have come since."""
        with self._lock:
            self._in_hand.discard(path)
            if self._closed:
                self._bytes -= _size(turns)
                self._lost += len(turns)
            else:
                self._turns[path] = [*turns, *self._turns.get(path, [])]

    def works(self) -> None:
        """Note that new turns have been written."""
        if not self._works:
            with self._lock:
                self._works = True

    def waits(self, path: Path) -> bool:
        """Say whether turns of this file wait, so that a later one must not be written before them."""
        return bool(self._trouble) and (path in self._turns or path in self._in_hand)

    def keep(self, path: Path, turns: Sequence[RenderedTurn], error: OSError | None = None) -> int:
        """Let new turns wait, which could not be written, or come behind others that wait.

        Returns:
            How many there was no room for: these are lost.
        """
        with self._lock:
            begins = error is not None and not self._trouble
            self._works = self._works and error is None
            if begins:
                self._trouble = True
                self._next_try = monotonic() + _PAUSE_S
            kept = 0
            for turn in turns:
                if self._closed or self._bytes + len(turn.body) > self._most_bytes:
                    break
                self._turns.setdefault(path, []).append(turn)
                self._bytes += len(turn.body)
                kept += 1
            lost = len(turns) - kept
            self._lost += lost
            overflows = bool(lost) and not self._full
            self._full = self._full or bool(lost)
        if begins:
            _logger.error("turns cannot be written to %s: %s; they wait in memory", path, error)
        if overflows:
            _logger.error(
                "%d bytes of turns wait, and OTEL_EXPORTER_CONVLOG_QUEUE_BYTES allows %d; further ones are lost",
                self._bytes,
                self._most_bytes,
            )
        return lost

    def settle(self) -> None:
        """Say that trouble has ended, when something has been written and nothing waits any more."""
        with self._lock:
            if not self._trouble or not self._works or self._turns or self._in_hand:
                return
            waited, lost = self._waited, self._lost
            self._trouble = self._full = False
            self._waited = self._lost = 0
        _logger.warning("turns can be written again: %d that waited have been, %d are lost", waited, lost)

    def give_up(self) -> int:
        """Drop what still waits, because the process ends; what is refused from now on is lost at once.

        Returns:
            How many turns are lost by that.
        """
        with self._lock:
            self._closed = True
            count = sum(map(len, self._turns.values()))
            paths = list(self._turns)
            self._bytes -= sum(map(_size, self._turns.values()))
            self._turns = {}
        if count:
            _logger.error("%d turns that could not be written are lost, of %s", count, ", ".join(map(str, paths[:3])))
        return count


def _size(turns: Sequence[RenderedTurn]) -> int:
    return sum(len(turn.body) for turn in turns)
