"""Putting turns into another conversation, where the grouping was wrong: files, catalog and evidence follow.

A turn is written to where it goes before it is removed from where it was: what is killed in between leaves it twice,
and the same command again ends the move.
"""

from __future__ import annotations

import secrets
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.jsontext import from_any_json, to_indented_json
from otel_convlog.store import ConversationStore, commit, document
from otel_convlog.store.access import group_access_of
from otel_convlog.store.catalog import Catalog
from otel_convlog.store.layout import conversation_path
from otel_convlog.store.locked_file import replacement_file
from otel_convlog.store.reading import index_file, iterate_turns
from otel_convlog.store.rewriting import HEAD_BYTES, held, rewrite
from otel_convlog.store.turn_bytes import turn_bytes, turns_start

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from otel_convlog.jsontext import Json
    from otel_convlog.store.locked_file import LockedFile

_DAY = len("YYYY-MM-DD")


@dataclass(frozen=True)
class Moved:
    """What was moved.

    Attributes:
        conversation_id: Where to.
        turns: How many turns.
        files: The files that were written, or removed.
    """

    conversation_id: str
    turns: int
    files: tuple[Path, ...]


def merge(directory: Path, into: str, sources: Iterable[tuple[str, Sequence[Path]]]) -> Moved:
    """Put all turns of some conversations into another.

    Args:
        directory: The log's directory.
        into: The other's id; it may be new.
        sources: The conversations: each one's id and its files.

    Raises:
        OSError: A file could not be written; no turn is lost.
    """
    moved, written = 0, set()
    for source_id, paths in sources:
        if source_id == into:
            continue
        for path in paths:
            turn_ids = {str(turn.value.get("turn_id")) for turn in iterate_turns(path)}
            moved += len(turn_ids)
            written |= _move(directory, path, turn_ids, into, keep_links=True)
    return Moved(into, moved, tuple(sorted(written)))


def split(directory: Path, paths: Sequence[Path], turn_ids: set[str], into: str | None = None) -> Moved:
    """Put some turns of a conversation into one of their own.

    Args:
        directory: The log's directory.
        paths: The conversation's files.
        turn_ids: The turns.
        into: The id of the new conversation; a random one where none is given.

    Raises:
        OSError: A file could not be written; no turn is lost.
    """
    into = into or f"conv_{secrets.token_hex(12)}"
    written: set[Path] = set()
    for path in paths:
        written |= _move(directory, path, turn_ids, into, keep_links=False)
    return Moved(into, len(turn_ids), tuple(sorted(written)))


def put_turns(directory: Path, conversation_id: str, turns: Sequence[dict[str, Json]], *, like: Path) -> set[Path]:
    """Write turns into a conversation's files, in the order in which they started; return those files.

    A turn that a file holds already is replaced.

    Args:
        directory: The log's directory.
        conversation_id: The conversation.
        turns: Their JSON.
        like: The file that they come from: who may read it may read new ones.

    Raises:
        OSError: Not all could be written.
    """
    written: set[Path] = set()
    with closing(ConversationStore(directory, group_access=group_access_of(like))) as store:
        for turn in turns:
            path = conversation_path(directory, str(turn["started_at"])[:_DAY], conversation_id)
            store.write(path, [document.rendered_from(turn, conversation_id)])
            written.add(path)
    for path in written:
        with held(path) as file:
            if file is not None:
                _sort(file)
    return written


def _move(directory: Path, path: Path, turn_ids: set[str], into: str, *, keep_links: bool) -> set[Path]:
    """Move turns of a file into another conversation; return the files that were written or removed."""
    moving: dict[str, dict[str, Json]] = {}
    for turn in iterate_turns(path):
        turn_id = str(turn.value.get("turn_id"))
        if turn_id in turn_ids:
            moving[turn_id] = turn.value
    turns = [_moved(turn, into, turn_ids, keep_links=keep_links) for turn in moving.values()]
    written = put_turns(directory, into, turns, like=path)

    def change(turn: dict[str, Json]) -> dict[str, Json] | None:
        turn_id = str(turn.get("turn_id"))
        if turn_id in moving:
            return None if turn == moving[turn_id] else turn  # it was replaced meanwhile, and stays
        otel = turn.get("otel")
        if isinstance(otel, dict) and otel.get("continues") in turn_ids:
            return {**turn, "otel": {**otel, "continues": None}}
        return turn

    with held(path) as file:
        if file is not None:
            rewrite(file, change)
    with closing(Catalog(directory)) as catalog:
        for changed in (*written, path):
            if changed.exists():
                index_file(directory, catalog, changed)
            else:
                catalog.forget(changed.relative_to(directory).as_posix())
    return {*written, path}


def _moved(turn: dict[str, Json], into: str, moving: set[str], *, keep_links: bool) -> dict[str, Json]:
    """Return a turn for another conversation; it says where it was."""
    otel = turn.get("otel")
    notes = dict(otel) if isinstance(otel, dict) else {}
    if not keep_links and notes.get("continues") not in moving:
        notes["continues"] = None
    before = notes.get("moved_from")
    notes["moved_from"] = [*(before if isinstance(before, list) else []), turn.get("conversation_id")]
    return {**turn, "conversation_id": into, "otel": notes}


def _sort(file: LockedFile) -> None:
    """Put a document's turns into the order in which they started."""
    whole = commit.inspect(file)
    if whole is None:
        return
    turns: list[tuple[str, int, int]] = []
    last: tuple[str, dict[str, Json]] | None = None
    for offset, body in turn_bytes(file, turns_start(file, whole.tail_offset), whole.tail_offset):
        turn = from_any_json(body)
        if isinstance(turn, dict):
            started_at = str(turn.get("started_at"))
            turns.append((started_at, offset, len(body)))
            if last is None or started_at >= last[0]:
                last = (started_at, {name: turn.get(name) for name in ("updated_at", "client_model", "backend")})
    if last is None or turns == sorted(turns):
        return
    turns.sort()
    fields = document.head_fields(file.read(0, HEAD_BYTES))
    fields["created_at"], fields["updated_at"] = turns[0][0], last[1]["updated_at"]
    with replacement_file(file) as new:
        new.write(0, document.head(fields))
        for number, (_, offset, length) in enumerate(turns):
            new.write(new.size, document.SEPARATOR if number else b"", file.read(offset, length))
        model, backend = (to_indented_json(last[1][name]) for name in ("client_model", "backend"))
        new.write(new.size, document.tail(model, backend, len(turns)))
