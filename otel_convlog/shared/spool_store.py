"""The store of an exporter whose turns go to a shared log: a spool, which may take so much and no more."""

from __future__ import annotations

import errno
from time import monotonic
from typing import TYPE_CHECKING

from otel_convlog.shared.spool import spool_state
from otel_convlog.store import ConversationStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from otel_convlog.store import RenderedTurn

_LOOK_S = 1.0


class SpoolStore(ConversationStore):
    """Writes turns into a spool. One that is full is like a full disk: turns wait in memory until it takes them.

    Args:
        directory: The spool.
        most_bytes: How much may wait there, about: what other processes write is seen a moment later.
        fsync: As for `ConversationStore`; likewise `group_access`.
    """

    def __init__(self, directory: Path, *, most_bytes: int, fsync: bool = False, group_access: str = "none") -> None:
        super().__init__(directory, fsync=fsync, group_access=group_access)
        self._most_bytes = most_bytes
        self._size_bytes = 0
        self._next_look = 0.0

    def write(
        self, path: Path, turns: Sequence[RenderedTurn], on_written: Callable[[int], object] | None = None
    ) -> None:
        """Write turns of one file; see `ConversationStore.write`.

        Raises:
            OSError: Not all could be written, or the spool is full.
        """
        if monotonic() >= self._next_look:
            self._next_look = monotonic() + _LOOK_S
            self._size_bytes = spool_state(self.directory).size_bytes
        size_bytes = sum(len(turn.body) for turn in turns)
        if self._size_bytes + size_bytes > self._most_bytes:
            raise OSError(errno.ENOSPC, "turns wait for the shared log, and SPOOL_BYTES allows no more", str(path))
        super().write(path, turns, on_written)
        self._size_bytes += size_bytes
