"""One JSON file per conversation per day: the file is the truth, and whatever else is known can be found out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.store import commit
from otel_convlog.store.document import render
from otel_convlog.store.known_turns import KnownTurns
from otel_convlog.store.layout import conversation_path
from otel_convlog.store.locked_file import locked_file
from otel_convlog.store.repair import repair

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from otel_convlog.record import IdentifiedTurn
    from otel_convlog.store.document import RenderedTurn
    from otel_convlog.store.locked_file import LockedFile

__all__ = ["ConversationStore"]

_DAY = len("YYYY-MM-DD")


class ConversationStore:
    """Writes turns into the conversation files of one directory. Threads and processes may share the directory.

    Args:
        directory: Where the day folders go; made when the first turn is written.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._known_turns = KnownTurns()

    def path_of(self, turn: IdentifiedTurn) -> Path:
        """Return the file that a turn belongs into."""
        return conversation_path(self.directory, turn.record.started_at[:_DAY], turn.identity.conversation_id)

    def write(self, path: Path, turns: Sequence[IdentifiedTurn]) -> None:
        """Write turns of one file; they are with the operating system when this returns.

        A turn whose id the file already holds replaces that one in its place, any other is appended.

        Args:
            path: Their file, from `path_of`.
            turns: At least one, in the order in which they shall stand.

        Raises:
            OSError: They could not be written. What was in the file is still there.
        """
        rendered = list({turn.turn_id: turn for turn in map(render, turns)}.values())
        while rendered:
            with locked_file(path) as file:
                rendered = self._write_step(file, rendered)

    def _write_step(self, file: LockedFile, turns: list[RenderedTurn]) -> list[RenderedTurn]:
        """Write what can be written before the path names another file; return the rest."""
        if file.size == 0:
            commit.create(file, turns)
            return []
        whole = commit.inspect(file)
        if whole is None:
            repair(file, turns[0])
            return turns
        known = self._known_turns.of(file, whole)
        for turn in turns:
            if turn.turn_id in known and commit.replace_turn(file, whole, turn):
                return [other for other in turns if other is not turn]
        tail_offset = commit.append(file, whole, turns)
        self._known_turns.add(file.path, [turn.turn_id for turn in turns], tail_offset)
        return []
