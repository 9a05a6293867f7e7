"""Which turns a file holds, so that one that comes a second time replaces the first instead of standing twice.

Kept in memory for the files written last. Of a file that others write too, only what has been added is read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.store.document import TURN_ID, TURNS_START

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from otel_convlog.store.commit import Whole
    from otel_convlog.store.locked_file import LockedFile

_MOST_FILES = 1024
_MOST_TURNS = 200_000  # about 20 MB
_LONGEST_ID_BYTES = 256
_WINDOW_BYTES = 1024  # from a turn's beginning this far at most stands its id


@dataclass
class _Known:
    inode: int
    created_at: bytes
    turn_ids: set[str]
    read_to: int = 0
    last_id: str = ""
    last_offset: int = 0  # of the last turn that was read, or of its id


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
        if known is None or not _is_still(known, file, whole):
            known = _Known(file.inode, whole.times.created_at, set())
        if known.read_to < whole.tail_offset:
            start = known.read_to or max(0, file.find(TURNS_START, 0, whole.tail_offset))
            for turn_id, offset in _turn_ids(file, start, whole.tail_offset):
                known.turn_ids.add(turn_id)
                known.last_id, known.last_offset = turn_id, offset
            known.read_to = whole.tail_offset
        self._keep(file.path, known)
        return known.turn_ids

    def add(self, path: Path, turn_ids: Sequence[str], last_offset: int, read_to: int) -> None:
        """Note the turns that this process has appended itself: where the last of them stands, and where it ends."""
        known = self._files.get(path)
        if known is not None:
            before = len(known.turn_ids)
            known.turn_ids.update(turn_ids)
            known.last_id, known.last_offset, known.read_to = turn_ids[-1], last_offset, read_to
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


def _is_still(known: _Known, file: LockedFile, whole: Whole) -> bool:
    """Say whether what was read of a file still stands there.

    An inode's number alone does not tell: a file system gives that of a file that was replaced to the next but one.
    """
    if known.inode != file.inode or known.created_at != whole.times.created_at or known.read_to > whole.tail_offset:
        return False
    return TURN_ID + known.last_id.encode() + b'"' in file.read(known.last_offset, _WINDOW_BYTES)


def _turn_ids(file: LockedFile, start: int, end: int) -> Iterator[tuple[str, int]]:
    while (start := file.find(TURN_ID, start, end)) >= 0:
        found = file.read(start + len(TURN_ID), _LONGEST_ID_BYTES).partition(b'"')[0]
        yield found.decode("utf-8", "replace"), start
        start += len(TURN_ID)
