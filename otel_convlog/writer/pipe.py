"""The proxy's end of the pipe to its writer's process, which takes frames whole and in order."""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import FileIO

if sys.platform != "win32":
    import fcntl

_PIPE_BYTES = 1 << 20  # as much as Linux lets anybody have


class FramePipe:
    """Writes frames to a pipe, waiting for room or not. For one thread at a time.

    Args:
        pipe: Its raw end.
    """

    def __init__(self, pipe: FileIO) -> None:
        self._pipe = pipe
        self._rest: memoryview | None = None  # of a frame of which a part is written
        self._waits = True
        if sys.platform != "win32":  # where pipes always wait
            os.set_blocking(pipe.fileno(), False)
            self._waits = False
        if sys.platform == "linux":
            with suppress(OSError):
                fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    @property
    def may_have_room(self) -> bool:
        """Whether `write_now` may write something."""
        return self._rest is None and not self._waits

    def write_now(self, frame: bytes) -> bool:
        """Write a frame, or as much of it as there is room for; only where the pipe `may_have_room`.

        Returns:
            Whether that is all of it. If not, `write` goes on with the rest.

        Raises:
            OSError: Nobody reads.
            ValueError: The pipe is closed.
        """
        rest = memoryview(frame)
        rest = rest[self._pipe.write(rest) or 0 :]
        self._rest = rest or None
        return not rest

    def write(self, frame: bytes) -> None:
        """Write a frame, after the rest of one before it, and wait for room.

        Raises:
            OSError: Nobody reads.
            ValueError: The pipe is closed.
        """
        for piece in (self._rest, memoryview(frame)):
            left = piece
            while left:
                written = self._pipe.write(left)
                if written is None:
                    _wait_for_room(self._pipe.fileno())
                left = left[written or 0 :]
            self._rest = None


def _wait_for_room(descriptor: int) -> None:
    if sys.platform != "win32":  # where a write waits itself
        poll = select.poll()  # select() knows no descriptors past 1,023
        poll.register(descriptor, select.POLLOUT)
        poll.poll()
