"""The turns of a document one after another, by their bytes: read in pieces, each byte once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.store.document import TURN_END, TURN_START, TURNS_START

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_convlog.store.locked_file import LockedFile

_PIECE_BYTES = 1 << 18


def turns_start(file: LockedFile, end: int) -> int:
    """Return the offset of the line break before a document's first turn; 0 where there is none before `end`."""
    found = file.find(TURNS_START, 0, end)
    return found + len(TURNS_START) - 1 if found >= 0 else 0


def turn_bytes(file: LockedFile, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and the bytes of each turn that lies whole between two offsets, one turn at a time in memory.

    Args:
        file: A document of ours.
        start: At or before the line break before the first of them.
        end: Behind the last.
    """
    buffer = bytearray()
    offset = start  # of the buffer's first byte
    searched = 0
    while True:
        stop = buffer.find(TURN_END, searched)
        if stop < 0:
            searched = max(0, len(buffer) - len(TURN_END) + 1)
            piece = file.read(offset + len(buffer), min(_PIECE_BYTES, end - offset - len(buffer)))
            if not piece:
                return
            buffer += piece
            continue
        stop += len(TURN_END)
        begin = buffer.find(TURN_START, 0, stop)
        if begin >= 0:
            yield offset + begin + 1, bytes(memoryview(buffer)[begin + 1 : stop])
        del buffer[:stop]
        offset += stop
        searched = 0
