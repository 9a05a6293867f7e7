"""The turns of a machine that are on their way to the shared log: a log of its own, which forgets what is delivered.

What is delivered is removed, so whatever is found is to be delivered, after a crash as well; what had been delivered
just before that is recognised there.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.integrity.mending import repair_log
from otel_convlog.jsontext import from_any_json
from otel_convlog.shared.spooled_seal import without_seal
from otel_convlog.store import commit
from otel_convlog.store.access import OWNER, make_folder
from otel_convlog.store.catalog import Catalog
from otel_convlog.store.layout import is_day
from otel_convlog.store.locked_file import locked_file_if_free, make_private_file, shared_file
from otel_convlog.store.turn_bytes import turn_bytes, turns_start

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_convlog.jsontext import Json

_TORN_S = 5.0  # how long a file may be torn before it is mended: its writer may be at it
_MENDING_INTERVAL_S = 60.0
_EMPTY_DAY_S = 2 * 86_400
_MOST_DELIVERED = 256  # files that are remembered; what one that is not has is delivered again, and recognised
_DAY = len("YYYY-MM-DD")
ASIDE = "undeliverable"
_NO_DAY = "undated"

_logger = logging.getLogger(__name__)


class ReadFile:
    """Which file it is that has been read: its inode is no other file's as long as this is there.

    Args:
        path: Where it is.
        inode: Its inode.

    Attributes:
        inode: Its inode; 0 where another file is there already.
    """

    def __init__(self, path: Path, inode: int) -> None:
        self.inode = inode
        self._descriptor = -1
        if sys.platform != "win32":  # where no number is used again, and where a file that is open is not replaced
            self._descriptor = os.open(path, os.O_RDONLY)
            if os.fstat(self._descriptor).st_ino != inode:
                self.inode = 0

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


class SpooledTurn(NamedTuple):
    """A turn in the spool.

    Attributes:
        value: Its JSON; `body` is its bytes.
        seal: What is compared of it, where its JSON does not tell that.
        path: Where the file is that it stands in, `file` which one that is, and `end` where the turn ends in it.
    """

    turn_id: str
    started_at: str
    value: dict[str, Json]
    body: bytes
    seal: str | None
    path: Path
    file: ReadFile
    end: int


class SpoolState(NamedTuple):
    """How much waits: in bytes, in how many files, and since when, in seconds; 0 where nothing does."""

    size_bytes: int
    files: int
    oldest_s: float


class Spool:
    """The spool of one machine. For one thread of one process at a time.

    Args:
        directory: Where it is.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._catalog = Catalog(directory)
        self._delivered: dict[Path, tuple[ReadFile, int]] = {}  # how far a file is, which could not be removed yet
        self._refused: set[Path] = set()
        self._next_mending = 0.0

    def state(self) -> SpoolState:
        """Say how much waits."""
        return spool_state(self.directory)

    def take(self, most_turns: int, most_bytes: int) -> list[SpooledTurn]:
        """Return turns that are to be delivered, those of the files first that have waited longest.

        Args:
            most_turns: How many at most.
            most_bytes: With how many bytes, but for the last of them.

        Returns:
            Some of them, each file's in its order. They stay in the spool until `done`.
        """
        batch: list[SpooledTurn] = []
        size_bytes = 0
        for _, path in sorted((status.st_mtime_ns, path) for path, status in _files(self.directory)):
            for turn in self._turns(path):
                batch.append(turn)
                size_bytes += len(turn.body)
                if len(batch) >= most_turns or size_bytes >= most_bytes:
                    return batch
        return batch

    def done(self, turns: Iterable[SpooledTurn]) -> None:
        """Remove turns that are delivered; those of a file that holds others are removed with the last of these."""
        ends: defaultdict[tuple[Path, ReadFile], int] = defaultdict(int)
        for turn in turns:
            ends[turn.path, turn.file] = max(ends[turn.path, turn.file], turn.end)
        for (path, file), end in ends.items():
            self._delivered[path] = (file, end)
            self._remove_if_done(path)
        while len(self._delivered) > _MOST_DELIVERED:  # each has a descriptor
            del self._delivered[next(iter(self._delivered))]

    def put_aside(self, turn: SpooledTurn) -> None:
        """Keep a turn that cannot be delivered in a file beside, and go on behind it."""
        day = turn.started_at[:_DAY] if is_day(turn.started_at[:_DAY]) else _NO_DAY
        path = self.directory / ASIDE / day / f"{turn.path.stem}-{turn.end}.json"
        make_folder(path.parent.parent, OWNER)
        make_folder(path.parent, OWNER)
        make_private_file(path)
        path.write_bytes(turn.body)
        _logger.error("a turn cannot be delivered, and is kept in %s", path)
        self.done([turn])

    def close(self) -> None:
        """Close the spool's catalog."""
        self._catalog.close()

    def _turns(self, path: Path) -> Iterator[SpooledTurn]:
        try:
            with shared_file(path) as file:
                whole = commit.inspect(file)
                if whole is None:
                    self._mend(path)
                    return
                file.unlock()
                read, start = self._delivered.get(path, (None, 0))
                if read is None or file.stamp.inode != read.inode:  # one that was delivered has been replaced
                    read, start = ReadFile(path, file.stamp.inode), 0
                if start == whole.tail_offset:
                    self._remove_if_done(path)
                    return
                for offset, body in turn_bytes(file, start or turns_start(file, whole.tail_offset), whole.tail_offset):
                    value = from_any_json(body)
                    if isinstance(value, dict):
                        turn_id, started_at = str(value.get("turn_id", "")), str(value.get("started_at", ""))
                        end = offset + len(body)
                        lean, seal = without_seal(value, body)
                        yield SpooledTurn(turn_id, started_at, value, lean, seal, path, read, end)
        except FileNotFoundError:
            self._delivered.pop(path, None)
        except (OSError, ValueError) as error:
            if path not in self._refused:
                self._refused.add(path)
                _logger.warning("%s cannot be read, so its turns are not delivered: %s", path, error)

    def _remove_if_done(self, path: Path) -> None:
        read, end = self._delivered[path]
        with suppress(OSError), locked_file_if_free(path) as file:
            if file is None:
                if not path.exists():
                    del self._delivered[path]
                return
            whole = commit.inspect(file)
            if file.stamp.inode != read.inode or whole is None or whole.tail_offset != end:
                return
            file.remove()
            del self._delivered[path]
        if path not in self._delivered:
            self._catalog.forget(path.relative_to(self.directory).as_posix())
            with suppress(OSError):  # others are in it
                if time() - path.parent.stat().st_ctime > _EMPTY_DAY_S:
                    path.parent.rmdir()

    def _mend(self, path: Path) -> None:
        """Make torn files whole, where nobody is about to do so: their next writer does."""
        if time() - path.stat().st_mtime < _TORN_S or monotonic() < self._next_mending:
            return
        self._next_mending = monotonic() + _MENDING_INTERVAL_S
        for mended in repair_log(self.directory):
            _logger.warning("%s: %s", mended.path, mended.what)


def spool_state(directory: Path) -> SpoolState:
    """Say how much waits in a spool."""
    size_bytes = files = 0
    oldest_ns = 0
    for _, status in _files(directory):
        size_bytes += status.st_size
        files += 1
        oldest_ns = min(oldest_ns or status.st_mtime_ns, status.st_mtime_ns)
    return SpoolState(size_bytes, files, max(0.0, time() - oldest_ns / 1e9) if files else 0.0)


def _files(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the files of conversations in a spool, with what the system says of them."""
    try:
        folders = [entry.path for entry in os.scandir(directory) if is_day(entry.name)]
    except FileNotFoundError:
        return
    for folder in sorted(folders):
        with suppress(OSError), os.scandir(folder) as entries:  # it is gone, or no folder
            for entry in entries:
                if entry.name.endswith(".json"):
                    with suppress(FileNotFoundError):
                        yield Path(entry.path), entry.stat(follow_symlinks=False)
