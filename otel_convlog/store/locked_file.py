"""A conversation's file, opened for one process and thread at a time.

The lock is ``flock`` on the file itself: it is gone when its holder dies, and it needs no file beside. A writer that
replaces the file (`replacement_file`) leaves waiting ones with a lock on a file that is not there any more,
so each looks again, once it has the lock, whether the path still names the file that it has opened.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK_BYTES = 1 << 20
_MOST_PIECES = 512  # of one call; systems allow 1,024 (IOV_MAX) and more

_MODE = 0o600
_DIRECTORY_MODE = 0o700

# A forked child gets copies of the descriptors that other threads of its parent have open, and with them a share in
# their locks, which would then outlive the parent's hold on them.
_open_descriptors: set[int] = set()


def _close_inherited() -> None:
    for descriptor in _open_descriptors:
        os.close(descriptor)
    _open_descriptors.clear()


os.register_at_fork(after_in_child=_close_inherited)


class LockedFile:
    """An open file with reads and writes at offsets; writes are whole or raise.

    Args:
        path: What it was opened as.
        descriptor: Its open file descriptor; the caller closes it.
        durable: Whether what is written shall survive the loss of power (`sync`).
        status: Its state, where the caller knows it.

    Raises:
        OSError: It is not a regular file.
    """

    def __init__(
        self, path: Path, descriptor: int, *, durable: bool = False, status: os.stat_result | None = None
    ) -> None:
        self.path = path
        self.durable = durable
        self._descriptor = descriptor
        status = status or os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is not a regular file")
        self.inode = status.st_ino
        self.size = status.st_size

    def read(self, offset: int, count: int) -> bytes:
        """Read `count` bytes, or fewer at the file's end."""
        pieces: list[bytes] = []
        while count > 0 and (piece := os.pread(self._descriptor, count, offset)):
            pieces.append(piece)
            offset += len(piece)
            count -= len(piece)
        return b"".join(pieces)

    def write(self, offset: int, *pieces: bytes | memoryview) -> None:
        """Write all of the pieces, one behind the other, from `offset` on.

        Raises:
            OSError: Not all could be written.
        """
        views = [memoryview(piece) for piece in pieces]
        while views:
            written = _write_some(self._descriptor, views[:_MOST_PIECES], offset)
            offset += written
            while views and written >= len(views[0]):
                written -= len(views.pop(0))
            if views:
                views[0] = views[0][written:]
        self.size = max(self.size, offset)

    def truncate(self, size: int) -> None:
        """Cut the file off at `size`."""
        os.ftruncate(self._descriptor, size)
        self.size = size

    def copy_to(self, other: LockedFile, start: int, end: int, offset: int) -> int:
        """Copy the bytes from `start` to `end` to an offset of another file, piece by piece.

        Returns:
            The offset after them.
        """
        while start < end:
            piece = self.read(start, min(_CHUNK_BYTES, end - start))
            if not piece:
                raise OSError(f"{self.path} has become shorter while it was read")
            other.write(offset, piece)
            start += len(piece)
            offset += len(piece)
        return offset

    def find(self, needle: bytes, start: int, end: int) -> int:
        """Return the offset of the first `needle` that lies whole between `start` and `end`; -1 if there is none."""
        while start < end:
            piece = self.read(start, min(_CHUNK_BYTES, end - start))
            index = piece.find(needle)
            if index >= 0:
                return start + index
            if len(piece) < len(needle):
                break
            start += len(piece) - len(needle) + 1
        return -1

    def rfind(self, needle: bytes, start: int, end: int) -> int:
        """Return the offset of the last `needle` that lies whole between `start` and `end`; -1 if there is none."""
        while start < end:
            begin = max(start, end - _CHUNK_BYTES)
            index = self.read(begin, end - begin).rfind(needle)
            if index >= 0:
                return begin + index
            if begin == start:
                break
            end = begin + len(needle) - 1
        return -1

    def sync(self) -> None:
        """Put what has been written on the disk, if it shall survive the loss of power.

        Raises:
            OSError: It may not be there. The system may have forgotten what it could not write, so that a second sync
                of the same file means nothing.
        """
        if self.durable:
            os.fsync(self._descriptor)

    def unlock(self) -> None:
        """Let writers in, and go on reading."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)


@contextmanager
def locked_file(path: Path, *, durable: bool = False) -> Iterator[LockedFile]:
    """Open a conversation's file for writing, made where it is not there yet, and hold it exclusively.

    Raises:
        OSError: It cannot be opened; also where the path is a symbolic link, or no regular file.
    """
    while True:
        try:
            descriptor, new = _open(path, os.O_RDWR), None
        except FileNotFoundError:
            descriptor, new = _create_beside(path)
        with _locked(descriptor, fcntl.LOCK_EX):
            if new is not None:
                _give_name(new, path)
            if (status := _status_at(path, descriptor)) is not None:
                yield LockedFile(path, descriptor, durable=durable, status=status)
                return


@contextmanager
def locked_file_if_free(path: Path) -> Iterator[LockedFile | None]:
    """Open a file that is there, and hold it exclusively; None where another holds it, or it is there no more."""
    try:
        descriptor = _open(path, os.O_RDWR)
    except FileNotFoundError:
        yield None
        return
    try:
        with _locked(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield LockedFile(path, descriptor) if _status_at(path, descriptor) else None
    except BlockingIOError:
        yield None


@contextmanager
def shared_file(path: Path) -> Iterator[LockedFile]:
    """Open a conversation's file for reading, and keep writers out of it until `LockedFile.unlock`, or the block's end.

    Raises:
        OSError: It cannot be opened.
    """
    with _locked(_open(path, os.O_RDONLY), fcntl.LOCK_SH) as descriptor:
        yield LockedFile(path, descriptor)


@contextmanager
def replacement_file(file: LockedFile) -> Iterator[LockedFile]:
    """Make a file, and put it in the place of a locked one.

    Its name is always the same, so that one that a crash has left over is used again.

    Raises:
        OSError: It could not be written, or put there; the locked one is as it was.
    """
    temporary = file.path.with_name(f".{file.path.name}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        new = LockedFile(temporary, descriptor, durable=file.durable)
        yield new
        new.sync()
        os.replace(temporary, file.path)  # noqa: PTH105  the call that POSIX promises to be atomic, by its own name
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    sync_folder(file)


def sync_folder(file: LockedFile) -> None:
    """Put a file's name on the disk, if it shall survive the loss of power; and its day folder's, which may be new."""
    if file.durable:
        for folder in (file.path.parent, file.path.parent.parent):
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def _locked(descriptor: int, operation: int) -> Iterator[int]:
    """Hold a lock on an open file, then close it."""
    _open_descriptors.add(descriptor)
    try:
        fcntl.flock(descriptor, operation)
        yield descriptor
    finally:
        _open_descriptors.discard(descriptor)
        try:
            # Not left to close: a child that was forked just now may still share the descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)


def _create_beside(path: Path) -> tuple[int, Path]:
    """Make an empty file beside a path, which gets the path's name once it is locked: no reader finds it empty."""
    new = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    flags = os.O_RDWR | os.O_TRUNC
    try:
        return _open(new, flags | os.O_CREAT), new
    except FileNotFoundError:  # the day's first turn
        path.parent.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        path.parent.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        return _open(new, flags | os.O_CREAT), new


def _give_name(new: Path, path: Path) -> None:
    """Give a new file its name; where another writer was faster the caller sees it, and opens that writer's file."""
    try:
        os.link(new, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links: for a moment a reader may find an empty file, which the caller opens
        with suppress(FileExistsError):
            os.close(_open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    finally:
        new.unlink(missing_ok=True)


def _open(path: Path, flags: int) -> int:
    # Not waiting for a pipe's other end, should the path be one.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, _MODE)


def _write_some(descriptor: int, views: list[memoryview], offset: int) -> int:
    """Write pieces, and return how many bytes of them have been written."""
    if hasattr(os, "pwritev"):
        return os.pwritev(descriptor, views, offset)
    return os.pwrite(descriptor, b"".join(views), offset)  # macOS before 11


def _status_at(path: Path, descriptor: int) -> os.stat_result | None:
    """Return the open file's state, or None where the path names another file by now."""
    try:
        at_path = os.lstat(path)
    except FileNotFoundError:
        return None
    status = os.fstat(descriptor)
    return status if os.path.samestat(at_path, status) else None
