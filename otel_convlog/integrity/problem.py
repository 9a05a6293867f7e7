"""What can be wrong with a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

KINDS = {
    # a file as a whole
    "no-file": "it is no regular file, or a link",
    "folder": "it stands in no day's folder",
    "unreadable": "it cannot be read",
    "empty": "it is empty",
    "torn": "it ends in the middle of a document",
    "zeros": "there are zero bytes in it",
    "no-json": "it is not JSON",
    "no-document": "it is JSON, but no conversation",
    "layout": "it is JSON in another layout than the format's",
    "file-name": "its name is not that of its conversation",
    "mode": "everybody on the machine may read it",
    "leftover": "a process that was killed has left it",
    # its head and tail
    "created-at": "created_at is not when its first turn started",
    "updated-at": "updated_at is of none of its turns",
    "turn-count": "turn_count is not how many turns there are",
    "last": "last_client_model or last_backend is not that of the turn written last",
    # its turns
    "between-turns": "something else stands between two turns",
    "turn-json": "a turn is not JSON",
    "turn-layout": "a turn is in another layout than the format's",
    "turn-keys": "a turn lacks a key, or has others, or in another order",
    "turn-values": "a value of a turn is of another type than the format says",
    "turn-id": "a turn's id is none, or not that of its span",
    "turn-twice": "two turns have the same id",
    "turn-conversation": "a turn names another conversation",
    "turn-time": "a turn's time is none of the format's",
    "turn-day": "a turn started on another day",
    "turn-offsets": "a stream has not as many times as events",
    "continues": "a turn continues one that is not in its conversation",
    # the catalog
    "catalog": "it is no database, or of another release, or not there",
    "catalog-lacks": "a file is not in the catalog",
    "catalog-gone": "the catalog has a file that is not there",
    "catalog-conversation": "the catalog says something else of a conversation than its file",
    "catalog-turns": "the catalog says something else of a file's turns, or where they stand",
    "evidence": "a turn cannot be recognised, or would be in another conversation",
    # nothing that is damaged: what the catalog itself knows that it has to read, and what was never recorded
    "catalog-behind": "the catalog has not read a file as it is now",
    "incomplete": "a limit has cut something off",
}


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Attributes:
        path: Where.
        kind: One of `KINDS`.
        detail: What exactly.
        turn_id: In which turn; empty where it is not one turn's.
    """

    path: Path
    kind: str
    detail: str = ""
    turn_id: str = ""

    @property
    def is_damage(self) -> bool:
        """Whether it is more than something to know: a catalog that wants reading, a turn that a limit has cut."""
        return self.kind not in ("catalog-behind", "incomplete")
