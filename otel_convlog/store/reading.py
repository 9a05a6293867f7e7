"""Reading what the store has written, beside the writers."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from otel_convlog.identity.grouping import question_of, remember
from otel_convlog.jsontext import from_any_json
from otel_convlog.store import commit, document
from otel_convlog.store.catalog import Catalog
from otel_convlog.store.entries import FileState, describe
from otel_convlog.store.evidence import Evidence
from otel_convlog.store.layout import is_conversation_file, matching
from otel_convlog.store.locked_file import LockedFile, Stamp, shared_file
from otel_convlog.store.turn_bytes import turn_bytes, turns_start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_convlog.jsontext import Json

_logger = logging.getLogger(__name__)

ALL_READ = "all files read"  # what the catalog notes once a pass through all files has ended

_WINDOW_BYTES = 1 << 16
_MOST_TRIES = 3
_PATIENCE_S = 30.0  # of a reindex for the writers, which do not wait that long for it


@dataclass(frozen=True)
class StoredTurn:
    """A turn in its file.

    Attributes:
        offset: Where its JSON begins, in bytes from the file's beginning; `length` is in bytes too.
        value: Its JSON.
    """

    offset: int
    length: int
    value: dict[str, Json]


@dataclass(frozen=True)
class Conversation:
    """A conversation's file, as the catalog describes it.

    Attributes:
        path: The file.
        first_user_text: The beginning of what its user said first; likewise `last_reply`.
        input_tokens: The sum over its turns, as far as they say; likewise `output_tokens`, and `duration_ms`.
        errors: The number of turns with an error.
    """

    path: Path
    conversation_id: str
    route: str
    created_at: str
    updated_at: str
    turn_count: int
    first_user_text: str
    last_reply: str
    last_client_model: str
    last_backend: str
    input_tokens: int
    output_tokens: int
    duration_ms: float
    errors: int


def read_document(path: Path) -> dict[str, Json]:
    """Read one whole document.

    Raises:
        FileNotFoundError: There is none.
        ValueError: The file holds no document (e.g. a crash has torn it, and nothing has been written to it since).
    """
    with shared_file(path) as file:
        data = file.read(0, file.size)
    value = from_any_json(data)
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object")  # noqa: TRY004  one kind of error for a bad file
    return value


def iterate_turns(path: Path) -> Iterator[StoredTurn]:
    """Yield the turns of a document one after another, with no more than one of them in memory.

    Writers are not kept waiting: what stands before the tail that the file has now does not change any more.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no whole document of ours.
    """
    with _opened(path) as (file, whole):
        yield from _turns(file, whole.tail_offset)


def iterate_bodies(path: Path) -> Iterator[bytes]:
    """Yield the bytes of the turns of a document, as `iterate_turns` does."""
    with _opened(path) as (file, whole):
        for _, body in turn_bytes(file, turns_start(file, whole.tail_offset), whole.tail_offset):
            yield body


def read_turn(path: Path, offset: int, length: int) -> dict[str, Json]:
    """Read one turn by its place, as the catalog or `iterate_turns` gives it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There is no turn at that place.
    """
    with _opened(path) as (file, _):
        return _turn(file, offset, file.read(offset, length))


def list_conversations(
    directory: Path, *, limit: int = 50, offset: int = 0, conversation_id: str | None = None
) -> list[Conversation]:
    """List the conversations' files, the ones written last first, from the catalog alone.

    Args:
        directory: The log's directory.
        limit: The most there shall be.
        offset: How many of the first to leave out.
        conversation_id: Only this conversation's: one file a day.
    """
    catalog = Catalog(directory)
    try:
        where, wanted = ("", ()) if conversation_id is None else ("WHERE conversation_id = ?", (conversation_id,))
        rows = catalog.query(  # `where` is one of the two texts above
            "SELECT c.*, total(t.input_tokens) AS input_tokens, total(t.output_tokens) AS output_tokens,"  # noqa: S608
            " total(t.duration_ms) AS duration_ms, total(t.error) AS errors"
            f" FROM (SELECT * FROM conversations {where} ORDER BY updated_at DESC LIMIT ? OFFSET ?) c"
            " JOIN turns t ON t.file = c.file GROUP BY c.file ORDER BY c.updated_at DESC",
            (*wanted, limit, offset),
        )
    finally:
        catalog.close()
    return [
        Conversation(
            path=directory / row["file"],
            conversation_id=row["conversation_id"],
            route=row["route"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            turn_count=row["turn_count"],
            first_user_text=row["first_user_text"],
            last_reply=row["last_reply"],
            last_client_model=row["last_client_model"],
            last_backend=row["last_backend"],
            input_tokens=int(row["input_tokens"]),
            output_tokens=int(row["output_tokens"]),
            duration_ms=row["duration_ms"],
            errors=int(row["errors"]),
        )
        for row in rows
    ]


def reindex(
    directory: Path, *, everything: bool = False, on_progress: Callable[[int, int], object] | None = None
) -> int:
    """Bring the catalog up to date with the files.

    Args:
        directory: The log's directory.
        everything: Read all files, not only those that have changed since the catalog has read them.
        on_progress: Told, before each file, how many have been looked at, of how many.

    Returns:
        How many files were read. One that is not whole is passed over; it is repaired when it is next written to.

    Raises:
        OSError: The catalog cannot be written.
    """
    catalog = Catalog(directory, patience_s=_PATIENCE_S)
    evidence = Evidence(catalog)
    try:
        known = catalog.known_files()
        present: set[str] = set()
        read: set[str] = set()
        paths = matching(directory, "*/*.json")
        for number, path in enumerate(paths):
            if on_progress is not None:
                on_progress(number, len(paths))
            if not is_conversation_file(path):
                continue
            name = path.relative_to(directory).as_posix()
            present.add(name)
            before = None if everything else known.get(name)
            for _ in range(_MOST_TRIES):  # again where a writer has added to it meanwhile, whose turn would be missing
                now = _stamp_at(path)
                if now is None or now == before or not _index(catalog, evidence, path, name):
                    break
                read.add(name)
                before = now
        for name in set(known) - present:
            if not (directory / name).exists():
                catalog.forget(name)
        catalog.note(ALL_READ, "yes")
    finally:
        catalog.close()
    return len(read)


def index_file(directory: Path, catalog: Catalog, path: Path) -> None:
    """Read one file into the catalog anew, where it is a whole document.

    Raises:
        OSError: The catalog cannot be written.
    """
    _index(catalog, Evidence(catalog), path, path.relative_to(directory).as_posix())


def _stamp_at(path: Path) -> Stamp | None:
    try:
        return Stamp.of(path.lstat())
    except OSError:
        return None


def _index(catalog: Catalog, evidence: Evidence, path: Path, name: str) -> bool:
    """Read a file into the catalog; False where it is no whole document."""
    try:
        with _opened(path) as (file, whole):
            head = document.head_fields(file.read(0, _WINDOW_BYTES))
            turns = _turns(file, whole.tail_offset)
            entries = []
            noted = True
            for turn in turns:
                entries.append((describe(turn.value), turn.offset, turn.length))
                noted = _remember(evidence, turn.value, str(head.get("conversation_id", ""))) and noted
            state = FileState(
                file=name,
                conversation_id=str(head.get("conversation_id", "")),
                route=str(head.get("route", "")),
                created_at=whole.times.created_at.decode(),
                updated_at=whole.times.updated_at.decode(),
                turn_count=whole.turn_count,
                tail_offset=whole.tail_offset,
                stamp=file.stamp,
            )
    except (OSError, ValueError):
        return False
    if not (catalog.replace(state, entries) and noted):
        raise OSError(f"{catalog.path} cannot be written; {path} is not in it")
    return True


def _remember(evidence: Evidence, value: dict[str, Json], conversation_id: str) -> bool:
    """Keep what later turns are recognised by, one turn at a time, so that no writer waits long.

    The file that a turn stands in is its conversation's, whatever the turn says: somebody may have put it there.

    Returns:
        Whether the evidence could be had.
    """
    turn = document.turn_of(value)
    try:
        question = question_of(turn)
    except Exception:
        _logger.exception("the history of %s could not be read", turn.record.turn_id)
        return True
    if question is None:
        return True
    had = False
    with evidence.session() as session:
        if session is not None:
            had = True
            remember(question, replace(turn.identity, conversation_id=conversation_id), session)
    return had


@contextmanager
def _opened(path: Path) -> Iterator[tuple[LockedFile, commit.Whole]]:
    with shared_file(path) as file:
        whole = commit.inspect(file)
        if whole is None:
            raise ValueError(f"{path} is not a whole document of this log")
        file.unlock()
        yield file, whole


def _turns(file: LockedFile, end: int) -> Iterator[StoredTurn]:
    for offset, body in turn_bytes(file, turns_start(file, end), end):
        yield StoredTurn(offset, len(body), _turn(file, offset, body))


def _turn(file: LockedFile, offset: int, body: bytes) -> dict[str, Json]:
    value = from_any_json(body)
    if not isinstance(value, dict):
        raise ValueError(f"{file.path} has no turn at {offset}")  # noqa: TRY004  one kind of error for a bad file
    return value
