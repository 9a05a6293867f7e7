"""Turns that the disk has refused, waiting in memory for it to work again."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from time import monotonic
from typing import TYPE_CHECKING

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
        if hasattr(os, "register_at_fork"):
            # What waits in a parent is the parent's to write, and its lock may be held by a thread that a child has
            # not.
            reset = weakref.WeakMethod(self._reset)
            os.register_at_fork(after_in_child=lambda: (method := reset()) and method())

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[Path, list[RenderedTurn]] = {}
        self._bytes = 0
        self._next_try = 0.0
        self._lost = 0  # since trouble began
        self._waited = 0
        self._full = False

    @property
    def bytes(self) -> int:
        """How many bytes of turns are waiting."""
        return self._bytes

    def take(self, *, at_once: bool) -> dict[Path, list[RenderedTurn]]:
        """Take out what waits, to try it again.

        Args:
            at_once: Also shortly after the last try.
        """
        with self._lock:
            if not self._turns or (not at_once and monotonic() < self._next_try):
                return {}
            taken, self._turns, self._bytes = self._turns, {}, 0
            return taken

    def keep(self, path: Path, turns: Sequence[RenderedTurn], error: OSError) -> int:
        """Let turns wait that could not be written.

        Returns:
            How many there was no room for: these are lost.
        """
        with self._lock:
            begins = not self._next_try
            self._next_try = monotonic() + _PAUSE_S
            kept = 0
            for turn in turns:
                if self._bytes + len(turn.body) > self._most_bytes:
                    break
                self._turns.setdefault(path, []).append(turn)
                self._bytes += len(turn.body)
                kept += 1
            lost = len(turns) - kept
            self._lost += lost
            overflows = lost and not self._full
            self._full = self._full or bool(lost)
        if begins:
            _logger.error("turns cannot be written to %s: %s; they wait in memory", path, error)
        if overflows:
            _logger.error(
                "%d bytes of turns wait, as many as OTEL_EXPORTER_CONVLOG_QUEUE_BYTES allows; further ones are lost",
                self._bytes,
            )
        return lost

    def settle(self, count: int) -> None:
        """Note that what was taken out has been tried, and that so many of the turns have been written."""
        with self._lock:
            self._waited += count
            if self._turns or not self._next_try:
                return
            waited, lost = self._waited, self._lost
            self._next_try, self._waited, self._lost, self._full = 0.0, 0, 0, False
        _logger.warning("turns can be written again: %d that waited have been, %d are lost", waited, lost)

    def give_up(self) -> int:
        """Drop what still waits, because the process ends.

        Returns:
            How many turns are lost by that.
        """
        with self._lock:
            count = sum(map(len, self._turns.values()))
            paths = list(self._turns)
            self._turns, self._bytes = {}, 0
        if count:
            _logger.error("%d turns that could not be written are lost, of %s", count, ", ".join(map(str, paths[:3])))
        return count
