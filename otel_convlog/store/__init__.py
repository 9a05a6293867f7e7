"""One JSON file per conversation per day: the file is the truth, and whatever else is known can be found out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.store import commit, retention
from otel_convlog.store.access import access_of
from otel_convlog.store.catalog import Catalog
from otel_convlog.store.document import RenderedTurn, render
from otel_convlog.store.entries import FileState
from otel_convlog.store.evidence import Evidence
from otel_convlog.store.known_turns import KnownTurns
from otel_convlog.store.layout import conversation_path
from otel_convlog.store.locked_file import locked_file
from otel_convlog.store.reading import (
    Conversation,
    StoredTurn,
    iterate_turns,
    list_conversations,
    read_document,
    read_turn,
    reindex,
)
from otel_convlog.store.repair import repair

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from otel_convlog.record import IdentifiedTurn
    from otel_convlog.store.locked_file import LockedFile

__all__ = [
    "Conversation",
    "ConversationStore",
    "RenderedTurn",
    "StoredTurn",
    "iterate_turns",
    "list_conversations",
    "read_document",
    "read_turn",
    "reindex",
    "render",
]

_DAY = len("YYYY-MM-DD")


class ConversationStore:
    """Writes turns into the conversation files of one directory. Threads and processes may share the directory.

    Args:
        directory: Where the day folders go; made when the first turn is written.
        fsync: Whether what is written survives the loss of power, not only the end of the process.
        group_access: What the group may do with files that are made: ``none``, ``read`` or ``write``.
    """

    def __init__(self, directory: Path, *, fsync: bool = False, group_access: str = "none") -> None:
        self.directory = directory
        self.access = access_of(group_access)
        self._fsync = fsync
        self._catalog = Catalog(directory, for_writing=True, access=self.access)
        self.evidence = Evidence(self._catalog)
        self._known_turns = KnownTurns()

    def path_of(self, turn: IdentifiedTurn) -> Path:
        """Return the file that a turn belongs into."""
        return conversation_path(self.directory, turn.record.started_at[:_DAY], turn.identity.conversation_id)

    def write(
        self, path: Path, turns: Sequence[RenderedTurn], on_written: Callable[[int], object] | None = None
    ) -> None:
        """Write turns of one file; they are with the operating system when this returns.

        A turn whose id the file already holds replaces that one in its place, any other is appended.

        Args:
            path: Their file, from `path_of`.
            turns: At least one, in the order in which they shall stand.
            on_written: Told, after each step, how many more of them are written.

        Raises:
            OSError: Not all could be written. What was in the file is still there.
        """
        rest, repaired = list(turns), False
        while rest:
            with locked_file(path, durable=self._fsync, access=self.access) as file:
                whole = self._known_turns.whole(file) or commit.inspect(file)
                known = self._known_turns.of(file, whole) if whole else None
                if known is None and file.size:
                    # A file that is not whole after its repair has met a fault of ours, which must not hold up the log.
                    repair(file, rest[0], salvage=not repaired)
                    repaired = True
                    continue
                count = self._write_step(file, whole, known or set(), rest)
            rest = rest[count:]
            if on_written is not None:
                on_written(count)

    def prune(self, *, max_age_days: float | None, max_bytes: int | None) -> int:
        """Remove conversations that are past the bounds; see `otel_convlog.store.retention.prune`."""
        return retention.prune(self.directory, self._catalog, max_age_days=max_age_days, max_bytes=max_bytes)

    def close(self) -> None:
        """Close the catalog. Writing goes on being possible, and opens it again."""
        self._catalog.close()

    def _write_step(
        self, file: LockedFile, whole: commit.Whole | None, known: set[str], turns: Sequence[RenderedTurn]
    ) -> int:
        """Write the first of the turns, as many as go in one step; return how many these are."""
        new: dict[str, RenderedTurn] = {}
        for turn in turns:
            if turn.turn_id in known or turn.turn_id in new:
                break
            new[turn.turn_id] = turn
        if whole is None:
            self._note(file, None, commit.create(file, list(new.values())), list(new.values()))
            return len(new)
        if not new and commit.replace_turn(file, whole, turns[0]):
            return 1
        added = list(new.values()) or [turns[0]]
        try:
            written = commit.append(file, whole, added)
        except BaseException:
            self._known_turns.doubt(file.path)
            raise
        last_offset = commit.offsets(written.first_offset, added)[-1]
        self._known_turns.add(file, [turn.turn_id for turn in added], last_offset, written.whole)
        self._note(file, whole, written, added)
        return len(added)

    def _note(
        self, file: LockedFile, before: commit.Whole | None, written: commit.Written, turns: Sequence[RenderedTurn]
    ) -> None:
        """Tell the catalog, while the file is locked, so that it hears of turns in the order of the file."""
        whole, last = written.whole, turns[-1]
        state = FileState(
            file=f"{file.path.parent.name}/{file.path.name}",
            conversation_id=last.conversation_id,
            route=str(turns[0].route),
            created_at=whole.times.created_at.decode(),
            updated_at=last.updated_at,
            turn_count=whole.turn_count,
            tail_offset=whole.tail_offset,
            stamp=file.stamp,
        )
        places = commit.offsets(written.first_offset, turns)
        placed = [(turn.entry, offset, len(turn.body)) for turn, offset in zip(turns, places, strict=True)]
        self._catalog.add(state, before.tail_offset if before else 0, placed)
