"""Adding turns to a conversation's file, at a cost that does not depend on the file's length.

A turn goes to where the document's tail is, with a new tail behind it, in an order in which a crash at any point leaves
every earlier turn whole, and what is not whole can be told from what is:

1. what lies beyond the file's old end, with a blank for the last byte: it takes all the space, so that a full disk is
   met here, where cutting the file at its old end undoes everything;
2. what overlaps the old tail, with a NUL for the comma before the first turn: half of the new bytes and half of the old
   ones may together be JSON again, and the NUL says that they are not to be read;
3. the document's ``updated_at``;
4. the comma: from here on the turns are whole;
5. the last byte: a file without it is not whole.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.store import document
from otel_convlog.store.locked_file import replacement_file, sync_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_convlog.store.document import RenderedTurn, Times
    from otel_convlog.store.locked_file import LockedFile

_WINDOW_BYTES = 1 << 12  # holds the head and the tail of all but absurd documents


class Whole(NamedTuple):
    """What a whole document's ends say of it.

    Attributes:
        tail: The tail's bytes, which begin at `tail_offset`.
    """

    times: Times
    tail_offset: int
    tail: bytes
    turn_count: int


class Written(NamedTuple):
    """What has been written.

    Attributes:
        first_offset: Where in the file the first of the turns stands.
        whole: What the document's ends say now.
    """

    first_offset: int
    whole: Whole


def inspect(file: LockedFile) -> Whole | None:
    """Read both ends of a file; None where it is no whole document of ours."""
    window = _WINDOW_BYTES
    while True:
        times = document.find_times(file.read(0, window))
        ending = file.read(max(0, file.size - window), window)
        if not ending.endswith(document.LAST_BYTE):
            return None
        found = document.find_tail(ending)
        if times and found:
            offset, turn_count = found
            tail = ending[offset:]
            return Whole(times, file.size - len(tail), tail, turn_count)
        if window >= file.size:
            return None
        window *= 16  # a route or model name of kilobytes


def create(file: LockedFile, turns: Sequence[RenderedTurn]) -> Written:
    """Write a document into an empty file.

    Raises:
        OSError: It could not be written; the file is gone again.
    """
    first, last = turns[0], turns[-1]
    head = document.head(
        {
            "conversation_id": first.conversation_id,
            "route": first.route,
            "created_at": first.started_at,
            "updated_at": last.updated_at,
        }
    )
    pieces = _with_tail(turns, len(turns))[1:]
    try:
        file.write(0, head, *pieces)
        file.write(file.size - 1, document.LAST_BYTE)
        file.renew_stamp()
        file.sync()
        sync_folder(file)
    except OSError:
        with suppress(OSError):
            file.truncate(0)
            file.remove()
        raise
    times = document.find_times(head)
    assert times is not None  # noqa: S101  it is ours
    return Written(len(head), Whole(times, end_of(len(head), turns), _tail_of(pieces), len(turns)))


def append(file: LockedFile, whole: Whole, turns: Sequence[RenderedTurn]) -> Written:
    """Append turns to a whole document.

    Raises:
        OSError: They could not be written; the document is the old one, as far as the disk still takes a write.
    """
    updated_at = turns[-1].updated_at.encode()
    pieces = _with_tail(turns, whole.turn_count + len(turns))
    new_size = whole.tail_offset + sum(map(len, pieces))
    tail = _tail_of(pieces)
    written = Written(
        whole.tail_offset + len(document.SEPARATOR),
        Whole(
            whole.times._replace(updated_at=updated_at),
            new_size - len(tail),
            tail,
            whole.turn_count + len(turns),
        ),
    )
    old_size = file.size
    if new_size <= old_size:  # the old tail repeats a model name longer than a whole turn
        with replacement_file(file) as new:
            file.copy_to(new, 0, whole.tail_offset, 0)
            new.write(whole.tail_offset, *pieces)
            new.write(whole.times.updated_at_offset, updated_at)
            new.write(new_size - 1, document.LAST_BYTE)
        return written
    overlapping, beyond = _split(pieces, len(whole.tail))
    try:
        file.write(old_size, *beyond)
        file.write(whole.tail_offset, document.UNFINISHED, overlapping[1:])
        file.write(whole.times.updated_at_offset, updated_at)
        file.write(whole.tail_offset, overlapping[:1])
        file.write(new_size - 1, document.LAST_BYTE)
    except BaseException:  # also a signal's handler that ends the process: the turn waits, and is written at its end
        with suppress(OSError):
            file.write(whole.times.updated_at_offset, whole.times.updated_at)
            file.write(whole.tail_offset, whole.tail)
            file.truncate(old_size)
        raise
    file.renew_stamp()
    _sync_or_rewrite(file)
    return written


def offsets(first_offset: int, turns: Sequence[RenderedTurn]) -> list[int]:
    """Return where turns stand that have been written one after another."""
    lengths = [len(turn.body) + len(document.SEPARATOR) for turn in turns[:-1]]
    return list(accumulate(lengths, initial=first_offset))


def end_of(first_offset: int, turns: Sequence[RenderedTurn]) -> int:
    """Return the tail's offset behind turns that have been written one after another."""
    return offsets(first_offset, turns)[-1] + len(turns[-1].body)


def replace_turn(file: LockedFile, whole: Whole, turn: RenderedTurn) -> bool:
    """Put a turn in the place of the one with its id, through a file that then replaces this one.

    Returns:
        Whether the file holds a turn with that id.

    Raises:
        OSError: The new file could not be written; the old one is as it was.
    """
    place = _find_turn(file, whole, turn.turn_id)
    if place is None:
        return False
    start, end = place
    with replacement_file(file) as new:
        offset = file.copy_to(new, 0, start, 0)
        new.write(offset, turn.body)
        offset = file.copy_to(new, end, whole.tail_offset, offset + len(turn.body))
        new.write(offset, document.tail(turn.last_client_model, turn.last_backend, whole.turn_count))
        new.write(whole.times.updated_at_offset, turn.updated_at.encode())
        if file.find(document.TURN_START, 0, start) < 0:  # it is the document's first turn
            new.write(whole.times.created_at_offset, turn.started_at.encode())
    return True


def _sync_or_rewrite(file: LockedFile) -> None:
    """Sync; where that fails, write everything to a new file, since a second sync of this one would mean nothing."""
    try:
        file.sync()
    except OSError:
        with replacement_file(file) as new:
            file.copy_to(new, 0, file.size, 0)


def _find_turn(file: LockedFile, whole: Whole, turn_id: str) -> tuple[int, int] | None:
    turns_start = file.find(document.TURNS_START, 0, whole.tail_offset)
    marker = file.find(document.TURN_ID + turn_id.encode() + b'"', max(0, turns_start), whole.tail_offset)
    if marker < 0:
        return None
    start = file.rfind(document.TURN_START, 0, marker + 1) + 1
    end = file.find(document.TURN_END, marker, whole.tail_offset) + len(document.TURN_END)
    return start, end


def _with_tail(turns: Sequence[RenderedTurn], turn_count: int) -> list[bytes | memoryview]:
    """Return the turns, a separator before each, and a tail, with a blank for the document's last byte."""
    last = turns[-1]
    pieces: list[bytes | memoryview] = []
    for turn in turns:
        pieces += (document.SEPARATOR, turn.body)
    pieces += (document.tail(last.last_client_model, last.last_backend, turn_count)[:-1], b" ")
    return pieces


def _tail_of(pieces: list[bytes | memoryview]) -> bytes:
    """Return the tail that stands at the end of the pieces, as it is when the document is whole."""
    return b"".join((pieces[-2], document.LAST_BYTE))


def _split(pieces: list[bytes | memoryview], count: int) -> tuple[bytes, list[bytes | memoryview]]:
    """Return the first bytes of the pieces, joined, and the pieces behind them."""
    first: list[bytes | memoryview] = []
    for index, piece in enumerate(pieces):
        first.append(piece[:count])
        if len(piece) >= count:
            return b"".join(first), [piece[count:], *pieces[index + 1 :]]
        count -= len(piece)
    return b"".join(first), []
