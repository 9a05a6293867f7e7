"""Brings rendered turns to their files: what the disk refuses waits, and is tried again before what is newer."""

from __future__ import annotations

import logging
import threading
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from otel_convlog.pending import PendingTurns
from otel_convlog.reentry import tried_twice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from otel_convlog.metrics import ExporterMetrics
    from otel_convlog.store import ConversationStore, RenderedTurn

_logger = logging.getLogger(__name__)


class TurnDelivery:
    """Writes turns, and counts those that are written and those that are lost.

    Args:
        store: Where they go.
        most_bytes: How many bytes of turns may wait for the disk.
        metrics: Are told what is counted.

    Attributes:
        turns_written: How many turns this process has written.
        bytes_written: How many bytes they were.
        turns_failed: How many turns this process has lost: neither written nor kept for another try.
    """

    def __init__(self, store: ConversationStore, most_bytes: int, metrics: ExporterMetrics) -> None:
        self._store = store
        self._pending = PendingTurns(most_bytes)
        self._metrics = metrics
        self.reset()

    @property
    def waiting_bytes(self) -> int:
        """How many bytes of turns wait because the disk has refused them."""
        return self._pending.bytes

    def deliver(self, turns: dict[Path, list[RenderedTurn]], *, at_once: bool = False, deadline: float = inf) -> int:
        """Write turns, those that wait before the new ones of the same file.

        Args:
            turns: The new ones, by their files. What is written, waits, or is lost, is taken out.
            at_once: Whether what waits is tried though it has been tried a moment ago.
            deadline: After that, by `time.monotonic`, nothing more that waits is tried.

        Returns:
            How many turns are lost.
        """
        waiting = self._pending.take(at_once=at_once)
        lost = 0
        anything = bool(waiting or turns)
        untried = dict(waiting)
        try:
            for path in waiting:
                if monotonic() >= deadline:
                    break
                lost += self._try_again(path, untried)
            for path in list(turns):
                if self._pending.waits(path):
                    lost += self._keep(path, turns[path])
                else:
                    lost += self._try(path, turns[path])
                del turns[path]
        finally:  # also when a signal's handler ends the process here
            for path, old in untried.items():
                self._pending.put_back(path, old)
        if anything:
            self._pending.settle()
        return lost

    def give_up(self) -> None:
        """Count what still waits as lost."""
        self.lose(self._pending.give_up())

    def lose(self, turns: int) -> None:
        """Count turns that are lost."""
        if turns:
            with self._count_lock:
                self.turns_failed += turns
            self._metrics.failed(turns)

    def reset(self) -> None:
        """Begin to count in a forked child: what was counted is the parent's, and one of its threads may be at it."""
        self._count_lock = threading.Lock()
        self.turns_written = 0
        self.bytes_written = 0
        self.turns_failed = 0

    def _try_again(self, path: Path, untried: dict[Path, list[RenderedTurn]]) -> int:
        turns = untried[path]
        steps: list[int] = []
        lost: list[RenderedTurn] = []
        try:
            self._store.write(path, turns, steps.append)
        except OSError:
            untried[path] = turns[sum(steps) :]  # they wait on
        except Exception:
            lost = turns[sum(steps) :]
            _logger.exception("%d turns of %s are lost", len(lost), path)
            del untried[path]
            self._pending.drop(path, lost)
            self.lose(len(lost))
        else:
            del untried[path]
        if written := turns[: sum(steps)]:
            self._pending.written(path, written)
            self._count_written(written)
        return len(lost)

    def _try(self, path: Path, turns: list[RenderedTurn]) -> int:
        steps: list[int] = []
        lost = 0
        try:
            tried_twice(lambda: self._store.write(path, turns[sum(steps) :], steps.append))
        except OSError as error:
            lost = self._keep(path, turns[sum(steps) :], error)
        except Exception:
            lost = len(turns) - sum(steps)
            _logger.exception("%d turns of %s are lost", lost, path)
            self.lose(lost)
        else:
            self._pending.works()
        if written := turns[: sum(steps)]:
            self._count_written(written)
        return lost

    def _keep(self, path: Path, turns: list[RenderedTurn], error: OSError | None = None) -> int:
        lost = self._pending.keep(path, turns, error)
        self.lose(lost)
        return lost

    def _count_written(self, turns: Sequence[RenderedTurn]) -> None:
        size_bytes = sum(len(turn.body) for turn in turns)
        with self._count_lock:
            self.turns_written += len(turns)
            self.bytes_written += size_bytes
        self._metrics.written(len(turns), size_bytes)
