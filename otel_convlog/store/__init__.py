"""One JSON file per conversation per day: the file is the truth, and whatever else is known can be found out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.store import commit, retention
from otel_convlog.store.access import access_of
from otel_convlog.store.catalog import Catalog, FileState
from otel_convlog.store.document import RenderedTurn, render
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
    from collections.abc import Sequence
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

    def write(self, path: Path, turns: Sequence[RenderedTurn]) -> None:
        """Write turns of one file; they are with the operating system when this returns.

        A turn whose id the file already holds replaces that one in its place, any other is appended.

        Args:
            path: Their file, from `path_of`.
            turns: At least one, in the order in which they shall stand.

        Raises:
            OSError: They could not be written. What was in the file is still there.
        """
        rest, repaired = list(turns), False
        while rest:
            with locked_file(path, durable=self._fsync, access=self.access) as file:
                whole = commit.inspect(file)
                if whole is None and file.size:
                    # A file that is not whole after its repair has met a fault of ours, which must not hold up the log.
                    repair(file, rest[0], salvage=not repaired)
                    repaired = True
                    continue
                count = self._write_step(file, whole, rest)
            rest = rest[count:]

    def prune(self, *, max_age_days: float | None, max_bytes: int | None) -> int:
        """Remove conversations that are past the bounds; see `otel_convlog.store.retention.prune`."""
        return retention.prune(self.directory, self._catalog, max_age_days=max_age_days, max_bytes=max_bytes)

    def close(self) -> None:
        """Close the catalog. Writing goes on being possible, and opens it again."""
        self._catalog.close()

    def _write_step(self, file: LockedFile, whole: commit.Whole | None, turns: Sequence[RenderedTurn]) -> int:
        """Write the first of the turns, as many as go in one step; return how many these are."""
        known = self._known_turns.of(file, whole) if whole else set()
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
        first_offset = commit.append(file, whole, added)
        self._known_turns.add(
            file.path,
            [turn.turn_id for turn in added],
            commit.offsets(first_offset, added)[-1],
            commit.end_of(first_offset, added),
        )
        self._note(file, whole, first_offset, added)
        return len(added)

    def _note(
        self, file: LockedFile, before: commit.Whole | None, first_offset: int, turns: Sequence[RenderedTurn]
    ) -> None:
        """Tell the catalog, while the file is locked, so that it hears of turns in the order of the file."""
        last = turns[-1]
        state = FileState(
            file=file.path.relative_to(self.directory).as_posix(),
            conversation_id=last.conversation_id,
            route=str(turns[0].route),
            created_at=before.times.created_at.decode() if before else turns[0].started_at,
            updated_at=last.updated_at,
            turn_count=(before.turn_count if before else 0) + len(turns),
            inode=file.inode,
            tail_offset=commit.end_of(first_offset, turns),
            size=file.size,
        )
        known_to = before.tail_offset if before else 0
        placed = list(zip(commit.offsets(first_offset, turns), turns, strict=True))
        self._catalog.add(state, known_to, [(turn.entry, offset, len(turn.body)) for offset, turn in placed])
