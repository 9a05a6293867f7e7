"""How much may be in memory at once, of all requests together."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from otel_convlog.collecting.refusal import come_again

if TYPE_CHECKING:
    from collections.abc import Iterator


class Room:
    """A number of bytes that requests share. For one event loop.

    Args:
        most_bytes: How many they are.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.taken_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more fits in."""
        return self.taken_bytes >= self.most_bytes

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Give a request a share, which is given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self.taken_bytes -= share.bytes


class Share:
    """What one request takes of the room.

    Args:
        room: The room.

    Attributes:
        bytes: How much it is.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self.bytes = 0

    def take(self, count: int) -> None:
        """Take more.

        Raises:
            RefusedError: There is no more room now.
        """
        if self._room.taken_bytes + count > self._room.most_bytes:
            raise come_again(f"{self._room.taken_bytes} bytes wait to be written, and no more are taken now")
        self._room.taken_bytes += count
        self.bytes += count
