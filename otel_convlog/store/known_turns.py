"""Which turns a file holds, so that one that comes a second time replaces the first instead of standing twice.

Kept in memory for the files written last. A file that this process does not know is read once, which also shows damage
between its two ends; of one that others write too, only what has been added is read. Where nobody has written since,
nothing is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.jsontext import from_any_json, from_json
from otel_convlog.store.document import SEPARATOR, TURN_ID
from otel_convlog.store.locked_file import Stamp
from otel_convlog.store.turn_bytes import turn_bytes, turns_start

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from otel_convlog.store.commit import Whole
    from otel_convlog.store.locked_file import LockedFile

_MOST_FILES = 1024
_MOST_TURNS = 200_000  # about 20 MB
# Times of modification that change by themselves: Windows, and network file systems, settle them when a file is closed.
_MOST_ALARMS = 8
_WINDOW_BYTES = 1024  # from a turn's beginning this far at most stands its id


@dataclass
class _Known:
    whole: Whole
    stamp: Stamp
    turn_ids: set[str]
    read_to: int = 0
    last_id: str = ""
    last_offset: int = 0  # of the last turn that was read


class KnownTurns:
    """The ids of the turns in the files that this process has written last.

    Entries are read and changed only by the holder of the file's lock, so there is no lock here.
    """

    def __init__(self) -> None:
        self._files: dict[str, _Known] = {}
        self._turns = 0
        self._alarms = 0  # files that had another time of modification, and their size still

    def whole(self, file: LockedFile) -> Whole | None:
        """Return what the file's two ends say, where nobody has written to it since this process has."""
        known = self._files.get(str(file.path))
        return known.whole if known is not None and known.stamp == file.stamp else None

    def of(self, file: LockedFile, whole: Whole) -> set[str] | None:
        """Return the ids of the turns in the file; None where it turns out to be damaged between its two ends."""
        key = str(file.path)
        known = self._files.pop(key, None)
        if known is not None:
            self._turns -= len(known.turn_ids)
        if known is None or self._may_be_written_over(known, file) or not _is_still(known, file, whole):
            known = _Known(whole, file.stamp, set())
        if known.read_to < whole.tail_offset and not _read(known, file, whole):
            return None
        known.whole, known.stamp = whole, file.stamp
        self._keep(key, known)
        return known.turn_ids

    def add(self, file: LockedFile, turn_ids: Sequence[str], last_offset: int, whole: Whole) -> None:
        """Note the turns that this process has appended itself: where the last of them stands, and what the file is."""
        known = self._files.get(str(file.path))
        if known is not None:
            before = len(known.turn_ids)
            known.turn_ids.update(turn_ids)
            known.last_id, known.last_offset, known.read_to = turn_ids[-1], last_offset, whole.tail_offset
            known.whole, known.stamp = whole, file.stamp
            self._turns += len(known.turn_ids) - before

    def doubt(self, path: Path) -> None:
        """Look at the file's two ends before the next write, because one has failed."""
        known = self._files.get(str(path))
        if known is not None:
            known.stamp = Stamp(known.stamp.inode, -1, 0)

    def _may_be_written_over(self, known: _Known, file: LockedFile) -> bool:
        before, now = known.stamp, file.stamp
        if before == now or (before.inode, before.size) != (now.inode, now.size):  # turns make it longer
            return False
        self._alarms += 1
        return self._alarms <= _MOST_ALARMS

    def _keep(self, key: str, known: _Known) -> None:
        self._files[key] = known
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
    if known.stamp == file.stamp:
        return True
    if known.stamp.inode != file.stamp.inode:
        return False
    if known.whole.times.created_at != whole.times.created_at or known.read_to > whole.tail_offset:
        return False
    return TURN_ID + known.last_id.encode() + b'"' in file.read(known.last_offset, _WINDOW_BYTES)


def _read(known: _Known, file: LockedFile, whole: Whole) -> bool:
    """Read the turns that are not known yet; False where what stands there is not JSON."""
    end = whole.tail_offset
    start = known.read_to or turns_start(file, end)
    expected = start + (len(SEPARATOR) if known.read_to else 1)
    in_a_row = True
    try:
        for offset, body in turn_bytes(file, start, end):
            turn = from_json(body)
            if isinstance(turn, dict) and isinstance(turn_id := turn.get("turn_id"), str):
                known.turn_ids.add(turn_id)
                known.last_id, known.last_offset = turn_id, offset
            in_a_row = in_a_row and offset == expected
            expected = offset + len(body) + len(SEPARATOR)
        if not in_a_row or expected != end + len(SEPARATOR):
            from_any_json(file.read(0, file.size))  # something else stands among the turns: it may be JSON as well
    except ValueError:
        return False
    known.read_to = end
    return True
