"""Keeping the log within bounds: whole conversations go, the ones that were written to longest ago first."""

from __future__ import annotations

import glob
import logging
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from otel_convlog.store import document
from otel_convlog.store.layout import is_conversation_file, matching
from otel_convlog.store.locked_file import locked_file_if_free
from otel_convlog.times import format_datetime

if TYPE_CHECKING:
    from pathlib import Path

    from otel_convlog.store.catalog import Catalog

_logger = logging.getLogger(__name__)

_HEAD_BYTES = 1 << 12


@dataclass
class _Conversation:
    """All files of one conversation: one a day, and what was kept beside them."""

    sizes: dict[Path, int] = field(default_factory=dict)
    beside: int = 0  # bytes of what was kept beside them
    updated_at: str = ""

    @property
    def size(self) -> int:
        return sum(self.sizes.values()) + self.beside


def prune(directory: Path, catalog: Catalog, *, max_age_days: float | None, max_bytes: int | None) -> int:
    """Remove conversations that are too old, then the oldest until the rest is within the bytes.

    The conversation written last always stays, as does one that is being written now, and every file that is not one of
    this log's.

    Args:
        directory: The log's directory.
        catalog: Its catalog, which forgets what is removed.
        max_age_days: How long ago a conversation may have been written last; None for any time.
        max_bytes: How large all conversations may be together; None for any size.

    Returns:
        How many conversations were removed.
    """
    conversations = sorted(_conversations(directory).values(), key=lambda conversation: conversation.updated_at)
    total = sum(conversation.size for conversation in conversations)
    oldest = ""
    if max_age_days is not None:
        oldest = format_datetime(datetime.now(timezone.utc) - timedelta(days=max_age_days))
    removed = 0
    refused: list[OSError] = []
    for conversation in conversations[:-1]:
        if conversation.updated_at >= oldest and (max_bytes is None or total <= max_bytes):
            break
        try:
            if _remove(directory, conversation, catalog):
                total -= conversation.size
                removed += 1
        except OSError as error:  # on Windows also where somebody reads it
            refused.append(error)
    if removed:
        _logger.info("%d conversations were removed from %s by its retention settings", removed, directory)
    if refused:
        _logger.warning("retention could not remove %d conversations: %s", len(refused), refused[0])
    return removed


def _conversations(directory: Path) -> dict[str, _Conversation]:
    found: dict[str, _Conversation] = {}
    for path in matching(directory, "????-??-??/*.json"):
        if not is_conversation_file(path):
            continue
        try:
            with path.open("rb") as file:
                times = document.find_times(file.read(_HEAD_BYTES))
            size = path.stat().st_size
            beside = sum(kept.stat().st_size for kept in _beside(path))
        except OSError:
            continue
        if times is None:  # another program's
            continue
        conversation = found.setdefault(path.name, _Conversation())
        conversation.sizes[path] = size
        conversation.beside += beside
        conversation.updated_at = max(conversation.updated_at, times.updated_at.decode())
    return found


def _remove(directory: Path, conversation: _Conversation, catalog: Catalog) -> bool:
    """Remove a conversation's files; False where one of them is being written, or has been since it was looked at."""
    name = next(iter(conversation.sizes)).name
    if set(matching(directory, f"????-??-??/{glob.escape(name)}")) != set(conversation.sizes):
        return False  # it goes on in another day's file
    for path, size in sorted(conversation.sizes.items(), reverse=True):
        with locked_file_if_free(path) as file:
            if file is None or file.size != size:
                return False
            file.remove()
            for beside in _beside(path):
                beside.unlink()
            catalog.forget(path.relative_to(directory).as_posix())
        with suppress(OSError):  # other conversations of that day
            path.parent.rmdir()
    return True


def _beside(path: Path) -> list[Path]:
    """Return what was kept beside a file, and what a process that was killed has left of writing it."""
    name = path.name
    ours = re.compile(rf"{re.escape(name)}\.damaged-\d+|\.{re.escape(name)}\.(tmp|\d+-\d+\.new)")
    return [found for found in path.parent.glob(f"*{glob.escape(name)}.*") if ours.fullmatch(found.name)]
