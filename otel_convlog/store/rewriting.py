"""Changing what is written already, one file at a time, each through a new file that takes its place at once."""

from __future__ import annotations

from contextlib import contextmanager
from time import monotonic, sleep
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from otel_convlog.jsontext import from_any_json, to_indented_json
from otel_convlog.store import commit, document
from otel_convlog.store.layout import is_conversation_file, matching
from otel_convlog.store.locked_file import locked_file_if_free, replacement_file
from otel_convlog.store.turn_bytes import turn_bytes, turns_start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from otel_convlog.jsontext import Json
    from otel_convlog.store.locked_file import LockedFile

    Turn: TypeAlias = "dict[str, Json]"

_PATIENCE_S = 30.0
_LOOK_S = 0.01
HEAD_BYTES = 1 << 16


class Rewritten(NamedTuple):
    """What became of a file: how many of its turns were changed, and the ids of those that were removed."""

    changed: int = 0
    removed: tuple[str, ...] = ()


def told(paths: Iterable[Path], on_progress: Callable[[int, int], None] | None) -> Iterator[Path]:
    """Yield paths, and tell after each how many are done, and of how many; of None nobody is told."""
    known = list(paths)
    for done, path in enumerate(known, start=1):
        yield path
        if on_progress is not None:
            on_progress(done, len(known))


def conversation_files(directory: Path) -> Iterator[Path]:
    """Yield the conversations' files."""
    for path in matching(directory, "????-??-??/*.json"):
        if is_conversation_file(path):
            yield path


def kept_beside(directory: Path) -> Iterator[Path]:
    """Yield what stands beside conversations: copies of damaged files, and what a crash has left of new ones."""
    for pattern in ("*.json.damaged-*", ".*.json.tmp", ".*.json.*.new"):
        yield from matching(directory, f"????-??-??/{pattern}")


@contextmanager
def held(path: Path) -> Iterator[LockedFile | None]:
    """Hold a file exclusively, once its writers let go of it; None where it is not there.

    Raises:
        OSError: Somebody has held it for half a minute.
    """
    deadline = monotonic() + _PATIENCE_S
    while True:
        with locked_file_if_free(path) as file:
            if file is not None or not path.exists():
                yield file
                return
        if monotonic() > deadline:
            raise OSError(f"{path} is being written all the time")
        sleep(_LOOK_S)


def rewrite(file: LockedFile, change: Callable[[Turn], Turn | None], *, dry_run: bool = False) -> Rewritten | None:
    """Change the turns of a document.

    Args:
        file: The document, held; it must not be used any more.
        change: Given a turn, returns it, the same object where nothing changes; None where it is to go.
        dry_run: Whether only to say what would be.

    Returns:
        What has been changed; None where the file is no whole document. One without turns is removed.

    Raises:
        OSError: The new file could not be written; the old one is as it was.
    """
    whole = commit.inspect(file)
    if whole is None:
        return None
    start, end = turns_start(file, whole.tail_offset), whole.tail_offset
    changes: dict[int, Turn | None] = {}
    removed: list[str] = []
    first = last = None
    for offset, body in turn_bytes(file, start, end):
        turn = from_any_json(body)
        if not isinstance(turn, dict):
            continue
        new = change(turn)
        if new is not turn:
            changes[offset] = new
        if new is None:
            removed.append(str(turn.get("turn_id", "")))
        else:
            first, last = first or new, new
    result = Rewritten(len(changes) - len(removed), tuple(removed))
    if not changes or dry_run:
        return result
    if first is None or last is None:
        file.remove()
        return result
    with replacement_file(file) as new_file:
        fields = document.head_fields(file.read(0, HEAD_BYTES))
        if removed:
            fields["created_at"], fields["updated_at"] = first.get("started_at"), last.get("updated_at")
        _write(file, new_file, document.head(fields), changes, (start, end))
        count = whole.turn_count - len(removed)
        model, backend = to_indented_json(last.get("client_model")), to_indented_json(last.get("backend"))
        new_file.write(new_file.size, document.tail(model, backend, count))
    return result


def _write(
    file: LockedFile, new_file: LockedFile, head: bytes, changes: dict[int, Turn | None], where: tuple[int, int]
) -> None:
    new_file.write(0, head)
    separator = b""
    for offset, body in turn_bytes(file, *where):
        turn = changes.get(offset, ...)
        if turn is None:
            continue
        new_file.write(new_file.size, separator, body if turn is ... else document.turn_body(turn))
        separator = document.SEPARATOR


def rewrite_text(
    file: LockedFile, change: Callable[[Turn], Turn | None], change_text: Callable[[str], str], *, dry_run: bool = False
) -> bool:
    """Change a file that is no whole document: the turns that are whole in it, and the rest as the text that it is.

    Args:
        file: The file, held; it must not be used any more.
        change: As for `rewrite`.
        change_text: Returns a text as it is to be.
        dry_run: Whether only to say what would be.

    Returns:
        Whether there is anything to change.

    Raises:
        OSError: The new file could not be written; the old one is as it was.
    """
    data = file.read(0, file.size)
    pieces: list[bytes] = []
    end = 0
    for offset, body in turn_bytes(file, 0, file.size):
        pieces += (data[end:offset], _changed_body(body, change))
        end = offset + len(body)
    text = b"".join([*pieces, data[end:]]).decode("utf-8", "surrogateescape")
    new = change_text(text).encode("utf-8", "surrogateescape")
    if new == data:
        return False
    if not dry_run:
        with replacement_file(file) as new_file:
            new_file.write(0, new)
    return True


def _changed_body(body: bytes, change: Callable[[Turn], Turn | None]) -> bytes:
    try:
        turn = from_any_json(body)
    except ValueError:  # bytes of several turns, as a crash can mix them
        return body
    if not isinstance(turn, dict):
        return body
    new = change(turn)
    return body if new is turn or new is None else bytes(document.turn_body(new))
