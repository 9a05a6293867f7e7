"""Which turns a file holds, so that one that comes a second time replaces the first instead of standing twice.

Kept in memory for the files written last. Of a file that others write too, only what has been added is read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.store.document import TURN_ID

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from otel_convlog.store.commit import Whole
    from otel_convlog.store.locked_file import LockedFile

_MOST_FILES = 1024
_MOST_TURNS = 200_000  # about 20 MB
_LONGEST_ID_BYTES = 256


@dataclass
class _Known:
    inode: int
    created_at: bytes  # an inode's number is used again, a conversation's time is not
    read_to: int
    turn_ids: set[str]


class KnownTurns:
    """The ids of the turns in the files that this process has written last.

    Entries are read and changed only by the holder of the file's lock, so there is no lock here.
    """

    def __init__(self) -> None:
        self._files: dict[Path, _Known] = {}
        self._turns = 0

    def of(self, file: LockedFile, whole: Whole) -> set[str]:
        """Return the ids of the turns in the file."""
        known = self._files.pop(file.path, None)
        if known is not None:
            self._turns -= len(known.turn_ids)
        if known is None or known.inode != file.inode or known.created_at != whole.times.created_at:
            known = _Known(file.inode, whole.times.created_at, 0, set())
        if known.read_to < whole.tail_offset:
            known.turn_ids.update(_turn_ids(file, known.read_to, whole.tail_offset))
            known.read_to = whole.tail_offset
        self._keep(file.path, known)
        return known.turn_ids

    def add(self, path: Path, turn_ids: Iterable[str], read_to: int) -> None:
        """Note the turns that this process has appended itself, up to the offset of the new tail."""
        known = self._files.get(path)
        if known is not None:
            before = len(known.turn_ids)
            known.turn_ids.update(turn_ids)
            known.read_to = read_to
            self._turns += len(known.turn_ids) - before

    def _keep(self, path: Path, known: _Known) -> None:
        self._files[path] = known
        self._turns += len(known.turn_ids)
        while len(self._files) > 1 and (len(self._files) > _MOST_FILES or self._turns > _MOST_TURNS):
            try:
                oldest = self._files.pop(next(iter(self._files)))
            except (KeyError, RuntimeError):  # another thread was faster
                break
            self._turns -= len(oldest.turn_ids)


def _turn_ids(file: LockedFile, start: int, end: int) -> Iterable[str]:
    while (start := file.find(TURN_ID, start, end)) >= 0:
        start += len(TURN_ID)
        yield file.read(start, _LONGEST_ID_BYTES).partition(b'"')[0].decode("utf-8", "replace")
