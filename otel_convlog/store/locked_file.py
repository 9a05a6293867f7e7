"""A conversation's file, opened for one process and thread at a time.

How a file is opened, locked and replaced differs: `otel_convlog.store.posix_files`, `otel_convlog.store.windows_files`.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.store.access import OWNER, make_folder, set_mode

if sys.platform == "win32":
    from otel_convlog.store import windows_files as _files
else:
    from otel_convlog.store import posix_files as _files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_convlog.store.access import Access

_CHUNK_BYTES = 1 << 20
_MOST_PIECES = 512  # of one call; systems allow 1,024 (IOV_MAX) and more


class Stamp(NamedTuple):
    """What tells a file, and one state of it, from another.

    Attributes:
        size: In bytes.
        modified_ns: When it was written last, as its file system has it.
    """

    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """Return that of a file with this status."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


class LockedFile:
    """An open file with reads and writes at offsets; writes are whole or raise.

    Args:
        path: What it was opened as.
        opened: The open file; the caller closes it.
        durable: Whether what is written shall survive the loss of power (`sync`).

    Raises:
        OSError: It is not a regular file.
    """

    def __init__(self, path: Path, opened: _files.OpenFile, *, durable: bool = False) -> None:
        self.path = path
        self.durable = durable
        self._opened = opened
        if not stat.S_ISREG(opened.status.st_mode):
            raise OSError(f"{path} is not a regular file")
        self.mode = stat.S_IMODE(opened.status.st_mode)
        self.stamp = Stamp.of(opened.status)  # as it was opened, or stamped last
        self.size = self.stamp.size

    def read(self, offset: int, count: int) -> bytes:
        """Read `count` bytes, or fewer at the file's end."""
        pieces: list[bytes] = []
        while count > 0 and (piece := self._opened.read(offset, count)):
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
        first = 0
        while first < len(views):
            written = self._opened.write(offset, views[first : first + _MOST_PIECES])
            offset += written
            while first < len(views) and written >= len(views[first]):
                written -= len(views[first])
                first += 1
            if written:
                views[first] = views[first][written:]
        self.size = max(self.size, offset)

    def renew_stamp(self) -> None:
        """Take the stamp anew, behind the last write."""
        self.stamp = Stamp.of(os.fstat(self._opened.descriptor))

    def truncate(self, size: int) -> None:
        """Cut the file off at `size`."""
        os.ftruncate(self._opened.descriptor, size)
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
            os.fsync(self._opened.descriptor)

    def unlock(self) -> None:
        """Let writers in, and go on reading."""
        self._opened.unlock()

    def remove(self) -> None:
        """Remove the file, which must not be read or written any more.

        Raises:
            OSError: It is still there.
        """
        self._opened.remove(self.path)

    def replace(self, new: Path) -> None:
        """Put a new file in the place of this one, which must not be read or written any more.

        Raises:
            OSError: This one is still there.
        """
        self._opened.replace(self.path, new)


@contextmanager
def locked_file(path: Path, *, durable: bool = False, access: Access = OWNER) -> Iterator[LockedFile]:
    """Open a conversation's file for writing, made where it is not there yet, and hold it exclusively.

    Args:
        path: The file.
        durable: Whether what is written shall survive the loss of power.
        access: Who may read it, where it is made.

    Raises:
        OSError: It cannot be opened; also where the path is a symbolic link, or no regular file.
    """
    if not path.parent.exists():
        make_folder(path.parent.parent, access)
        make_folder(path.parent, access)
    with _files.exclusive(path) as opened:
        file = LockedFile(path, opened, durable=durable)
        if not file.size:
            set_mode(opened.descriptor, access.file)
        yield file


@contextmanager
def locked_file_if_free(path: Path) -> Iterator[LockedFile | None]:
    """Open a file that is there, and hold it exclusively; None where another holds it, or it is there no more."""
    with _files.exclusive_if_free(path) as opened:
        yield LockedFile(path, opened) if opened else None


@contextmanager
def shared_file(path: Path) -> Iterator[LockedFile]:
    """Open a conversation's file for reading, and keep writers out of it until `LockedFile.unlock`, or the block's end.

    Raises:
        OSError: It cannot be opened.
    """
    with _files.shared(path) as opened:
        yield LockedFile(path, opened)


@contextmanager
def replacement_file(file: LockedFile) -> Iterator[LockedFile]:
    """Make a file, and put it in the place of a locked one, which must not be read or written any more after that.

    Its name is always the same, so that one that a crash has left over is used again.

    Raises:
        OSError: It could not be written, or put there; the locked one is as it was.
    """
    temporary = file.path.with_name(f".{file.path.name}.tmp")
    temporary.unlink(missing_ok=True)
    opened = _files.OpenFile(_files.open_private(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    try:
        try:
            set_mode(opened.descriptor, file.mode)
            new = LockedFile(temporary, opened, durable=file.durable)
            yield new
            new.sync()
        finally:
            opened.close()
        file.replace(temporary)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(file)


def sync_folder(file: LockedFile) -> None:
    """Put a file's name on the disk, if it shall survive the loss of power; and its day folder's, which may be new."""
    if file.durable:
        for folder in (file.path.parent, file.path.parent.parent):
            _files.sync_folder(folder)


def write_private_file(path: Path, data: bytes) -> None:
    """Write a file that is its owner's alone in the place of what is there, so that nobody finds a part of it.

    Raises:
        OSError: It cannot be written; what is there stays.
    """
    make_folder(path.parent, OWNER)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    make_private_file(new)
    new.write_bytes(data)
    os.replace(new, path)  # noqa: PTH105  as in posix_files


def make_private_file(path: Path, access: Access = OWNER) -> None:
    """Make a file that is its owner's alone, or its group's too, where it is not there yet.

    Raises:
        OSError: It cannot be made; also where the path is a symbolic link.
    """
    descriptor = _files.open_private(path, os.O_RDWR | os.O_CREAT)
    try:
        set_mode(descriptor, access.file)
    finally:
        os.close(descriptor)
