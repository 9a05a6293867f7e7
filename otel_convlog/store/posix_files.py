"""Conversation files on Linux and macOS.

The lock is ``flock`` on the file itself: it is gone when its holder dies, and it needs no file beside. A writer that
replaces the file leaves waiting ones with a lock on a file that is not there any more, so each looks again, once it has
the lock, whether the path still names the file that it has opened.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

assert sys.platform != "win32"  # noqa: S101  this is how a type checker is told which system's names are meant

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


class OpenFile:
    """An open file, and the lock on it, if it has one.

    Args:
        descriptor: Its open file descriptor.
        status: Its state, where the caller knows it.
    """

    def __init__(self, descriptor: int, status: os.stat_result | None = None) -> None:
        self.descriptor = descriptor
        self.status = status or os.fstat(descriptor)

    def read(self, offset: int, count: int) -> bytes:
        """Read some of the bytes at an offset; none at the file's end."""
        return os.pread(self.descriptor, count, offset)

    def write(self, offset: int, pieces: list[memoryview]) -> int:
        """Write pieces, and return how many bytes of them have been written."""
        if hasattr(os, "pwritev"):
            return os.pwritev(self.descriptor, pieces, offset)
        return os.pwrite(self.descriptor, b"".join(pieces), offset)  # macOS before 11

    def unlock(self) -> None:
        """Give up the lock, and stay open."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close a file that has no lock."""
        os.close(self.descriptor)

    def replace(self, path: Path, new: Path) -> None:
        """Put a new file in the place of this one, which keeps its lock."""
        os.replace(new, path)  # noqa: PTH105  the call that POSIX promises to be atomic, by its own name

    def remove(self, path: Path) -> None:
        """Remove this file, which keeps its lock."""
        path.unlink()


@contextmanager
def exclusive(path: Path) -> Iterator[OpenFile]:
    """Open a file for writing, made where it is not there yet, and keep all others out of it."""
    _refuse_link(path.parent)
    while True:
        try:
            descriptor, new = open_private(path, os.O_RDWR), None
        except FileNotFoundError:
            descriptor, new = _create(path)
        with _locked(descriptor, fcntl.LOCK_EX):
            if new is not None:
                _give_name(descriptor, new, path)
            if (status := _status_at(path, descriptor)) is not None:
                yield OpenFile(descriptor, status)
                return


@contextmanager
def exclusive_if_free(path: Path) -> Iterator[OpenFile | None]:
    """Open a file that is there, and keep all others out of it; None where another holds it, or it is there no more."""
    _refuse_link(path.parent)
    try:
        descriptor = open_private(path, os.O_RDWR)
    except FileNotFoundError:
        yield None
        return
    try:
        with _locked(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
            status = _status_at(path, descriptor)
            yield OpenFile(descriptor, status) if status else None
    except BlockingIOError:
        yield None


@contextmanager
def shared(path: Path) -> Iterator[OpenFile]:
    """Open a file for reading, and keep writers out of it."""
    with _locked(open_private(path, os.O_RDONLY), fcntl.LOCK_SH) as descriptor:
        yield OpenFile(descriptor)


def open_private(path: Path, flags: int) -> int:
    """Open a file, which where it is made is its owner's alone; not through a symbolic link."""
    # Not waiting for a pipe's other end, should the path be one.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, _MODE)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
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


def _refuse_link(folder: Path) -> None:
    if os.path.islink(folder):  # noqa: PTH114  at half the cost
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))


def _create(path: Path) -> tuple[int, str]:
    """Make an empty file, which gets the path's name once it is locked: no reader finds it empty.

    Returns:
        Its descriptor, and what it is to be linked from.
    """
    try:
        return _create_nameless(path)
    except FileNotFoundError:  # the day's first turn
        path.parent.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        path.parent.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        return _create_nameless(path)


def _create_nameless(path: Path) -> tuple[int, str]:
    """Make a file that is gone with the process, where there is such a thing; else one with a name of its own."""
    if sys.platform == "linux":
        try:
            descriptor = os.open(path.parent, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, _MODE)
        except FileNotFoundError:
            raise
        except OSError:  # not on every file system
            pass
        else:
            return descriptor, f"/proc/self/fd/{descriptor}"
    name = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    return open_private(name, os.O_RDWR | os.O_TRUNC | os.O_CREAT), str(name)


def _give_name(descriptor: int, new: str, path: Path) -> None:
    """Give a new file its name; where another writer was faster the caller sees it, and opens that writer's file."""
    try:
        os.link(new, path, src_dir_fd=descriptor, follow_symlinks=True)  # any descriptor lets it follow the link
    except FileExistsError:
        pass
    except OSError:  # a file system without links: for a moment a reader may find an empty file, which the caller opens
        with suppress(FileExistsError):
            os.close(open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    finally:
        if new.endswith(".new"):
            with suppress(FileNotFoundError):
                os.unlink(new)  # noqa: PTH108  its name is text


def _status_at(path: Path, descriptor: int) -> os.stat_result | None:
    """Return the open file's state, or None where the path names another file by now."""
    try:
        at_path = os.lstat(path)
    except FileNotFoundError:
        return None
    status = os.fstat(descriptor)
    return status if os.path.samestat(at_path, status) else None
