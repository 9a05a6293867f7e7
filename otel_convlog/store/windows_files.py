"""Conversation files on Windows, with the functions of `otel_convlog.store.posix_files`.

Windows neither replaces nor removes a file that is open, and keeps everybody from reading bytes that are locked. So the
lock is not on the conversation's file: a writer closes that file to replace it, and holds the lock on, and a program
that knows nothing of locks reads it at any time. It is on one of a few files in ``.locks`` in the log's directory,
chosen by the conversation's name. They are never removed, because a name that is being removed cannot be opened. Two
conversations may share one: then they wait for each other, which costs time and nothing else, as a thread holds one
lock at a time.

The locks exclude readers from each other too, which hold them only while they look. A holder's end frees its lock.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, contextmanager, suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING
from zlib import crc32

from filelock import lock_descriptor, unlock_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LOCKS = 64
_POLL_S = 0.005  # how often to look whether a lock is free
_PATIENCE_S = 0.5  # how long to wait for another program, a virus scanner say, to close a file
_RETRY_S = 0.01

_MODE = 0o600
_DIRECTORY_MODE = 0o700
_BINARY = getattr(os, "O_BINARY", 0)  # other systems, where tests run this too, know no other kind


class OpenFile:
    """An open file, and the lock that keeps others out of it, if it has one.

    Args:
        descriptor: Its open file descriptor.
        lock: Its lock.
    """

    def __init__(self, descriptor: int, lock: _Lock | None = None) -> None:
        self.descriptor = descriptor
        self.status = os.fstat(descriptor)
        self._lock = lock

    def read(self, offset: int, count: int) -> bytes:
        """Read some of the bytes at an offset; none at the file's end."""
        os.lseek(self.descriptor, offset, os.SEEK_SET)
        return os.read(self.descriptor, count)

    def write(self, offset: int, pieces: list[memoryview]) -> int:
        """Write pieces, and return how many bytes of them have been written."""
        os.lseek(self.descriptor, offset, os.SEEK_SET)
        return os.write(self.descriptor, b"".join(pieces))

    def unlock(self) -> None:
        """Give up the lock, and stay open."""
        if self._lock is not None:
            self._lock.release()

    def close(self) -> None:
        """Close the file; it keeps its lock."""
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)

    def replace(self, path: Path, new: Path) -> None:
        """Close this file and put a new one in its place; it keeps its lock.

        Raises:
            PermissionError: Another program, or a reader of ours, has it open.
        """
        self.close()
        _patiently(lambda: os.replace(new, path))  # noqa: PTH105  the call whose promise this rests on, by its own name

    def remove(self, path: Path) -> None:
        """Close this file and remove it; it keeps its lock.

        Raises:
            PermissionError: Another program, or a reader of ours, has it open.
        """
        self.close()
        _patiently(path.unlink)


class _Lock:
    """The lock on an open file, which it closes.

    Args:
        descriptor: The file's open descriptor.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._taken = False

    def take(self, *, wait: bool) -> None:
        """Take the lock.

        Raises:
            BlockingIOError: Another holds it, and `wait` is False.
        """
        self._taken = lock_descriptor(self._descriptor, blocking=wait, poll_interval=_POLL_S)
        if not self._taken:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))

    def release(self) -> None:
        """Give it up, if that has not been done before, and close the file."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            try:
                if self._taken:
                    unlock_descriptor(descriptor)  # Windows promises no time for the unlocking of a file that is closed
            finally:
                os.close(descriptor)


@contextmanager
def exclusive(path: Path) -> Iterator[OpenFile]:
    """Open a file for writing, made where it is not there yet, and keep all others out of it."""
    with _locked(_open_lock(path), wait=True) as lock:
        path.parent.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        with _opened(path, os.O_RDWR | os.O_CREAT, lock) as file:
            yield file


@contextmanager
def exclusive_if_free(path: Path) -> Iterator[OpenFile | None]:
    """Open a file that is there, and keep all others out of it; None where another holds it, or it is there no more."""
    with ExitStack() as stack:
        file = None
        with suppress(BlockingIOError, FileNotFoundError):
            lock = stack.enter_context(_locked(_open_lock(path), wait=False))
            file = stack.enter_context(_opened(path, os.O_RDWR, lock))
        yield file


@contextmanager
def shared(path: Path) -> Iterator[OpenFile]:
    """Open a file for reading, and keep writers out of it."""
    with ExitStack() as stack:
        lock = None
        with suppress(FileNotFoundError):  # no writer has been there: somebody's copy
            lock = stack.enter_context(_locked(os.open(_lock_path(path), os.O_RDONLY), wait=True))
        yield stack.enter_context(_opened(path, os.O_RDONLY, lock))


def open_private(path: Path, flags: int) -> int:
    """Open a file, which where it is made is its owner's alone; not through a symbolic link."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return os.open(path, flags | _BINARY, _MODE)


def sync_folder(folder: Path) -> None:
    """Do nothing: Windows writes names with the files that are synced, and does not sync a folder."""


def _lock_path(path: Path) -> Path:
    number = crc32(os.fsencode(os.path.normcase(path.name))) % _LOCKS
    return path.parent.parent / ".locks" / f"{number:02}"


def _open_lock(path: Path) -> int:
    lock_path = _lock_path(path)
    flags = os.O_RDWR | os.O_CREAT
    try:
        return open_private(lock_path, flags)
    except FileNotFoundError:  # the log's first turn
        lock_path.parent.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        lock_path.parent.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        return open_private(lock_path, flags)


@contextmanager
def _locked(descriptor: int, *, wait: bool) -> Iterator[_Lock]:
    """Hold the lock on an open file, then close it.

    Raises:
        BlockingIOError: Another holds it, and `wait` is False.
    """
    lock = _Lock(descriptor)
    try:
        lock.take(wait=wait)
        yield lock
    finally:
        lock.release()


@contextmanager
def _opened(path: Path, flags: int, lock: _Lock | None) -> Iterator[OpenFile]:
    descriptor = open_private(path, flags)
    file = OpenFile(descriptor, lock)
    try:
        yield file
    finally:
        file.close()


def _patiently(change: Callable[[], None]) -> None:
    """Try again for a while what another's open file prevents."""
    deadline = monotonic() + _PATIENCE_S
    while True:
        try:
            return change()
        except PermissionError:
            if monotonic() >= deadline:
                raise
        sleep(_RETRY_S)
