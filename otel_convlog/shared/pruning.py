"""Keeping a shared log within bounds: whole conversations go, the ones that were written to longest ago first."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from time import monotonic
from typing import TYPE_CHECKING

from otel_convlog.shared.changing import remove_conversation
from otel_convlog.times import format_datetime

if TYPE_CHECKING:
    from otel_convlog.shared.database import Database
    from otel_convlog.shared.objects import Objects

_INTERVAL_S = 600.0
_MOST = 1_000  # conversations that are looked for at once

# Of each conversation when it was written last, and how many bytes it and all newer ones have.
_OLDEST = """
    SELECT conversation_id, version FROM (
        SELECT conversation_id, version, updated_at,
            sum(size) OVER (ORDER BY updated_at DESC, conversation_id) AS with_newer,
            row_number() OVER (ORDER BY updated_at DESC, conversation_id) AS place
        FROM (SELECT conversation_id, max(version) AS version, max(updated_at) AS updated_at, sum(size_bytes) AS size
            FROM convlog_files GROUP BY conversation_id) conversations
    ) ordered
    WHERE place > 1 AND (updated_at < %(oldest)s OR with_newer > %(most)s) ORDER BY updated_at LIMIT %(limit)s
"""


class Pruner:
    """Removes conversations that are past the bounds; the one written last always stays.

    Args:
        database: The database.
        objects: The store.
        max_age_days: How long ago a conversation may have been written last; None for any time.
        max_bytes: How large all turns may be together; None for any size.
    """

    def __init__(
        self, database: Database, objects: Objects, *, max_age_days: float | None, max_bytes: int | None
    ) -> None:
        self._database = database
        self._objects = objects
        self._max_age_days = max_age_days
        self._max_bytes = max_bytes
        self._next = 0.0

    def prune_sometimes(self) -> None:
        """Remove what is due, now and then.

        Raises:
            AwayError: The database or the store cannot be used now.
        """
        if (self._max_age_days is not None or self._max_bytes is not None) and monotonic() >= self._next:
            self._next = monotonic() + _INTERVAL_S
            self.prune()

    def prune(self) -> int:
        """Remove what is due; return how many conversations that were.

        Raises:
            AwayError: The database or the store cannot be used now.
        """
        oldest = ""
        if self._max_age_days is not None:
            oldest = format_datetime(datetime.now(timezone.utc) - timedelta(days=self._max_age_days))
        removed = 0
        while now := sum(
            remove_conversation(self._database, self._objects, conversation_id, version)
            for conversation_id, version in self._due(oldest)
        ):
            removed += now
        return removed

    def _due(self, oldest: str) -> list[tuple[str, int]]:
        """Return conversations that are past the bounds, and what they are now: one that goes on meanwhile stays."""
        bounds = {"oldest": oldest, "most": self._max_bytes, "limit": _MOST}
        with self._database.transaction() as connection:
            return [(row[0], row[1]) for row in connection.execute(_OLDEST, bounds).fetchall()]
